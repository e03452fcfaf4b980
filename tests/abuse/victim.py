# SPDX-License-Identifier: Apache-2.0
"""The server that is abused, seen from outside: what it holds, and whether it still serves."""

import json
import os
import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.serving import Serving

SETTLE_S = 20
TOLERANCE_MIB = 72
"""Memory is "back" when it is at most this much above where it was: glibc keeps up to 64 MiB at the top of a thread's
heap, and a large body passes through one of two threads. What leaks shows by its growth (`make soak`)."""

_MODEL = """\
backend: "builtin"
input {{ name: "X" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "Y" data_type: TYPE_FP32 dims: [ -1 ] }}
parameters {{ key: "kind" value {{ string_value: "{kind}" }} }}
parameters {{ key: "delay_us" value {{ string_value: "100000" }} }}
"""


def write_repository(repository: Path) -> None:
    """Write two models, `echo` at once and `slow` after a tenth of a second: FP32 of any length, given back.

    A third one, `repeat`, is decoupled: a response for each element.
    """
    for name, kind in (("echo", "identity"), ("slow", "delay")):
        (repository / name / "1").mkdir(parents=True)
        (repository / name / "config.pbtxt").write_text(_MODEL.format(kind=kind))
    (repository / "repeat" / "1").mkdir(parents=True)
    (repository / "repeat" / "config.pbtxt").write_text(
        'backend: "builtin" parameters { key: "kind" value { string_value: "repeat" } }'
    )


@dataclass(frozen=True)
class Footprint:
    """What a process holds: open descriptors, and resident memory in MiB."""

    descriptors: int
    resident_mib: float


@dataclass(frozen=True)
class Victim:
    """A server process and where it listens."""

    pid: int
    port: int
    grpc_port: int
    metrics_url: str

    @classmethod
    def of(cls, server: Serving) -> "Victim":
        """Return what is to be abused of a server."""
        http, grpc = (int(address.rpartition(":")[2]) for address in (server.http, server.grpc))
        return cls(server.process.pid, http, grpc, server.metrics_url)

    def connect(self, timeout_s: float = 20, source: str = "") -> socket.socket:
        """Open a connection; `source` is the client's address."""
        return socket.create_connection(("127.0.0.1", self.port), timeout_s, (source, 0) if source else None)

    def connect_grpc(self) -> socket.socket:
        """Open a connection to the gRPC port."""
        return socket.create_connection(("127.0.0.1", self.grpc_port), 20)

    def pending(self, model: str = "slow") -> int:
        """Return how many requests wait for a model, as its metrics tell."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            found = re.search(
                rf'nv_inference_pending_request_count{{model="{model}",version="1"}} (\d+)', str(answer.read(), "utf-8")
            )
        assert found
        return int(found[1])

    def until(self, condition: Callable[[], bool], within_s: float = SETTLE_S) -> None:
        """Wait until something is true."""
        deadline_s = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline_s, f"it did not come true within {within_s} s"
            time.sleep(0.01)

    def footprint(self) -> Footprint:
        """Return what the server holds now."""
        statm = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii")
        resident = int(statm.split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
        return Footprint(sum(1 for _ in Path(f"/proc/{self.pid}/fd").iterdir()), resident)

    def threads(self) -> int:
        """Return how many threads the server has now."""
        return sum(1 for _ in Path(f"/proc/{self.pid}/task").iterdir())

    def check_threads_end(self, before: int) -> None:
        """Assert that the server has no more threads than `before`, soon."""
        deadline_s = time.monotonic() + SETTLE_S
        while (now := self.threads()) > before:
            assert time.monotonic() < deadline_s, f"now {now}, before {before}"
            time.sleep(0.02)

    @contextmanager
    def peak_mib(self) -> Iterator[Callable[[], float]]:
        """Yield a function that tells the highest resident memory since the beginning of the block."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", encoding="ascii")  # resets the high-water mark

        def peak() -> float:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            assert found
            return int(found[1]) / 1024

        yield peak

    def check_serves(self) -> None:
        """Assert that an inference comes back right, soon."""
        with self.connect() as client:
            client.sendall(infer_request(4))
            status, body = read_response(client)
        assert status == 200
        assert json.loads(body)["outputs"][0]["data"] == [0.5] * 4

    def settled(self, before: Footprint) -> Footprint:
        """Wait until the server holds no more than `before`, within the tolerance; return what it holds at last."""
        deadline_s = time.monotonic() + SETTLE_S
        while True:
            now = self.footprint()
            is_back = now.descriptors <= before.descriptors and now.resident_mib <= before.resident_mib + TOLERANCE_MIB
            if is_back or time.monotonic() > deadline_s:
                return now
            time.sleep(0.05)

    def check_is_back(self, before: Footprint) -> None:
        """Assert that memory and descriptors are where they were, that no request is left, and that inference works."""
        now = self.settled(before)
        assert now.descriptors <= before.descriptors, f"now {now}, before {before}"
        assert now.resident_mib <= before.resident_mib + TOLERANCE_MIB, f"now {now}, before {before}"
        self.until(lambda: self.pending("slow") == 0 and self.pending("echo") == 0)
        self.check_serves()


def head(body_bytes: int | None, *fields: str, model: str = "echo") -> bytes:
    """Return the head of an inference request; `body_bytes` None leaves Content-Length out."""
    length = () if body_bytes is None else (f"Content-Length: {body_bytes}",)
    return "\r\n".join((f"POST /v2/models/{model}/infer HTTP/1.1", "Host: h", *length, *fields, "", "")).encode()


def infer_request(elements: int, model: str = "echo", *, is_binary: bool = False) -> bytes:
    """Return an inference request, head and body, of as many 0.5s, in JSON; with a binary answer if so asked."""
    data = ",".join(["0.5"] * elements)
    asked = ',"parameters":{"binary_data_output":true}' if is_binary else ""
    body = f'{{"inputs":[{{"name":"X","shape":[{elements}],"datatype":"FP32","data":[{data}]}}]{asked}}}'.encode()
    return head(len(body), model=model) + body


def events_request(count: int, delay_ms: int) -> bytes:
    """Return a request for so many events of the decoupled model, with a pause before each."""
    body = json.dumps({"IN": [1] * count, "DELAY": [delay_ms] * count, "WAIT": 0}).encode()
    start = "POST /v2/models/repeat/generate_stream HTTP/1.1"
    return "\r\n".join((start, "Host: h", f"Content-Length: {len(body)}", "", "")).encode() + body


HEALTH = b"GET /v2/health/ready HTTP/1.1\r\nHost: h\r\n\r\n"


def read_response(client: socket.socket) -> tuple[int, bytes]:
    """Read one response, head and body; raises ConnectionError when there is none."""
    received = bytearray()
    while (end := received.find(b"\r\n\r\n")) < 0:
        piece = client.recv(65536)
        if not piece:
            raise ConnectionError(f"closed after {bytes(received)!r}")
        received += piece
    found = re.search(rb"(?i)\r\ncontent-length: (\d+)", received[:end])
    assert found, received
    total = end + 4 + int(found[1])
    while len(received) < total:
        piece = client.recv(1 << 20)
        if not piece:
            raise ConnectionError("closed within a body")
        received += piece
    assert len(received) == total, "more than one response"
    return int(received[9:12]), bytes(received[end + 4 :])


def read_all(client: socket.socket) -> bytes:
    """Read until the server closes; a reset counts as that."""
    received = bytearray()
    while True:
        try:
            piece = client.recv(1 << 20)
        except ConnectionResetError:
            return bytes(received)
        if not piece:
            return bytes(received)
        received += piece


def statuses(received: bytes) -> list[int]:
    """Return the statuses of all responses in a stream."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


def vanish(client: socket.socket) -> None:
    """Close with a reset, as the kernel does for a process that was killed with data unread."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
