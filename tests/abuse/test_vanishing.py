# SPDX-License-Identifier: Apache-2.0
"""Clients that die in the middle of something: what they had asked for is withdrawn, and nothing of them stays.

`test_connections` has those of HTTP that die within a body or an answer; here are those of gRPC, those that have memory
registered, and the slots that requests hold.
"""

import json
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.abuse.calls import call, data, greeting, request
from tests.abuse.conftest import MOST_IN_FLIGHT
from tests.abuse.victim import Victim, head, infer_request, read_response, vanish

from naiad.config.proto import service_pb2
from naiad.protocol.http2 import frames

LARGE_BYTES = 8 * 2**20
"""One of these is below the tolerance for memory, and as many as are sent are far above."""

Leave = Callable[[socket.socket], None]


def leaves() -> pytest.MarkDecorator:
    """Run a test with clients that are killed with something unread, and with ones that just close."""
    return pytest.mark.parametrize("leave", [vanish, socket.socket.close], ids=["reset", "close"])


def read(client: socket.socket, least_bytes: int) -> None:
    """Read until as many bytes have come."""
    count = 0
    while count < least_bytes:
        piece = client.recv(min(65536, least_bytes - count))
        assert piece, f"closed after {count} bytes"
        count += len(piece)


def check_turn_comes_at_once(victim: Victim) -> None:
    """Assert that no requests of those who have left are before one for the slow model."""
    with victim.connect() as client:
        started_s = time.monotonic()
        client.sendall(infer_request(4, "slow"))
        assert read_response(client)[0] == 200
        assert time.monotonic() - started_s < 2


@leaves()
def test_who_dies_within_a_grpc_message_leaves_nothing(victim: Victim, leave: Leave, is_soak: bool) -> None:
    half = data(request("echo", 2 * LARGE_BYTES))[:LARGE_BYTES]
    for _ in range(200 if is_soak else 20):
        with victim.connect_grpc() as client:
            client.sendall(greeting() + call("ModelInfer") + half)
            leave(client)


@leaves()
@pytest.mark.parametrize("method", ["ModelInfer", "ModelStreamInfer"])
@pytest.mark.parametrize("window_bytes", [frames.DEFAULT_WINDOW_BYTES, frames.MAX_WINDOW_BYTES], ids=["small", "large"])
def test_who_dies_within_a_grpc_answer_leaves_nothing(
    victim: Victim, leave: Leave, method: str, window_bytes: int, is_soak: bool
) -> None:
    """With a small window the server still holds most of the answer; with a large one the kernel has some of it."""
    asked = call(method) + data(request("echo", LARGE_BYTES), ends=method == "ModelInfer")
    for _ in range(200 if is_soak else 20):
        with victim.connect_grpc() as client:
            client.sendall(greeting(window_bytes) + asked)
            read(client, 60_000)
            leave(client)


@leaves()
def test_who_dies_within_a_large_http_answer_leaves_nothing(victim: Victim, leave: Leave, is_soak: bool) -> None:
    size = {"binary_data_size": LARGE_BYTES}
    tensor = {"name": "X", "shape": [LARGE_BYTES // 4], "datatype": "FP32", "parameters": size}
    document = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    fields = f"Inference-Header-Content-Length: {len(document)}"
    asked = head(len(document) + LARGE_BYTES, fields) + document + bytes(LARGE_BYTES)
    for _ in range(200 if is_soak else 20):
        with victim.connect() as client:
            client.sendall(asked)
            assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
            leave(client)


@leaves()
def test_who_dies_within_a_stream_withdraws_its_requests(victim: Victim, leave: Leave, is_soak: bool) -> None:
    """A stream with requests under way, answered and half sent; each holds a megabyte of the server's memory."""
    body = greeting() + call("ModelStreamInfer") + data(request("echo")) + data(request("slow", 2**20)) * 12
    body += data(request("slow", 2**20))[: 2**19]
    for _ in range(50 if is_soak else 8):
        with victim.connect_grpc() as client:
            client.sendall(body)
            victim.until(lambda: victim.pending() >= 10)
            leave(client)
        victim.until(lambda: victim.pending() == 0, within_s=0.8)  # it would take the model longer
    check_turn_comes_at_once(victim)


def repeat(count: int, delay_ms: int) -> Any:
    """Return a request for so many responses of the decoupled model, with a pause before each."""
    values = {"IN": (np.ones(count, np.int32), "INT32"), "DELAY": (np.full(count, delay_ms, np.uint32), "UINT32")}
    values["WAIT"] = np.zeros(1, np.uint32), "UINT32"
    made = service_pb2.ModelInferRequest(model_name="repeat")
    for name, (array, datatype) in values.items():
        made.inputs.add(name=name, datatype=datatype, shape=array.shape)
        made.raw_input_contents.append(array.tobytes())
    return made


@pytest.mark.parametrize("delay_ms", [0, 20], ids=["that it does not read", "that it reads"])
@leaves()
def test_who_dies_within_the_responses_of_a_decoupled_model_stops_it(
    victim: Victim, leave: Leave, delay_ms: int, is_soak: bool
) -> None:
    """Each request has a thread of the model at work, or waiting for the client, which is to end at once."""
    before = victim.threads()
    body = greeting() + call("ModelStreamInfer") + data(repeat(100_000, delay_ms)) * 5
    for _ in range(50 if is_soak else 5):
        with victim.connect_grpc() as client:
            client.sendall(body)
            read(client, 1000)
            victim.until(lambda: victim.threads() >= before + 5)
            leave(client)
    victim.check_threads_end(before)


@leaves()
def test_who_dies_with_calls_under_way_withdraws_them(victim: Victim, leave: Leave) -> None:
    numbers = range(1, 201, 2)
    asked = b"".join(call("ModelInfer", n) + data(request("slow"), n, ends=True) for n in numbers)
    with victim.connect_grpc() as client:
        client.sendall(greeting() + asked)
        victim.until(lambda: victim.pending() >= 90)
        leave(client)
    victim.until(lambda: victim.pending() == 0, within_s=2)
    check_turn_comes_at_once(victim)


def test_calls_that_are_reset_are_withdrawn_and_the_connection_serves_on(victim: Victim) -> None:
    numbers = range(1, 101, 2)
    with victim.connect_grpc() as client:
        client.sendall(greeting() + b"".join(call("ModelStreamInfer", n) + data(request("slow"), n) for n in numbers))
        victim.until(lambda: victim.pending() >= 40)
        client.sendall(b"".join(frames.rst_stream(n, 8) for n in numbers))
        victim.until(lambda: victim.pending() == 0, within_s=2)
        check_turn_comes_at_once(victim)
        client.sendall(call("ModelInfer", 101) + data(request("echo", 2**15), 101, ends=True))
        read(client, 2**15)


# -- slots


def _ask_http(stack: ExitStack, victim: Victim) -> list[socket.socket]:
    clients = [stack.enter_context(victim.connect()) for _ in range(MOST_IN_FLIGHT)]
    for client in clients:
        client.sendall(infer_request(4, "slow"))
    return clients


def _ask_grpc(stack: ExitStack, victim: Victim) -> list[socket.socket]:
    client = stack.enter_context(victim.connect_grpc())
    numbers = range(1, 2 * MOST_IN_FLIGHT, 2)
    client.sendall(greeting() + b"".join(call("ModelInfer", n) + data(request("slow"), n, ends=True) for n in numbers))
    return [client]


def _ask_stream(stack: ExitStack, victim: Victim) -> list[socket.socket]:
    client = stack.enter_context(victim.connect_grpc())
    client.sendall(greeting() + call("ModelStreamInfer") + data(request("slow")) * MOST_IN_FLIGHT)
    return [client]


@leaves()
@pytest.mark.parametrize("ask", [_ask_http, _ask_grpc, _ask_stream], ids=["http", "grpc", "stream"])
def test_the_slots_of_the_dead_are_free_at_once(
    narrow: Victim, leave: Leave, ask: Callable[[ExitStack, Victim], list[socket.socket]]
) -> None:
    def is_full() -> bool:
        with narrow.connect() as client:
            client.sendall(infer_request(4))
            return read_response(client)[0] == 503

    before = narrow.footprint()
    for _ in range(3):
        with ExitStack() as stack:
            clients = ask(stack, narrow)
            narrow.until(is_full)
            for client in clients:
                leave(client)
            # All but the few that were computed meanwhile would still be there without their withdrawal.
            narrow.until(lambda: not is_full() and narrow.pending() == 0, within_s=2)
    narrow.check_is_back(before)


# -- memory


@contextmanager
def shared(size_bytes: int) -> Iterator[str]:
    """Yield the key of a shared memory object."""
    key = f"naiad-abuse-{uuid.uuid4().hex}"
    made = SharedMemory(key, create=True, size=size_bytes)
    try:
        yield "/" + key
    finally:
        made.close()
        made.unlink()


def http(method: str, path: str, document: object = None) -> bytes:
    """Return a request over HTTP."""
    body = b"" if document is None else json.dumps(document).encode()
    return f"{method} /v2/{path} HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def ask_http(victim: Victim, method: str, path: str) -> Any:
    """Send a request over HTTP on a connection of its own; return the answer's document."""
    with victim.connect() as client:
        client.sendall(http(method, path))
        status, body = read_response(client)
        assert status == 200, body
        return json.loads(body) if body else None


def _die_over_http(victim: Victim, key: str, size_bytes: int, leave: Leave) -> None:
    place = {"shared_memory_region": "dead", "shared_memory_byte_size": size_bytes // 2}
    document = {
        "inputs": [{"name": "X", "shape": [size_bytes // 8], "datatype": "FP32", "parameters": place}],
        "outputs": [{"name": "Y", "parameters": place | {"shared_memory_offset": size_bytes // 2}}],
    }
    region = {"key": key, "offset": 0, "byte_size": size_bytes}
    with victim.connect() as client, victim.connect() as other:
        client.sendall(http("POST", "systemsharedmemory/region/dead/register", region))
        assert read_response(client)[0] == 200
        for one in (client, other):
            one.sendall(http("POST", "models/slow/infer", document))
        victim.until(lambda: victim.pending() > 0)
        leave(client)
        leave(other)


def _die_over_grpc(victim: Victim, key: str, size_bytes: int, leave: Leave) -> None:
    asked = service_pb2.ModelInferRequest(model_name="slow")
    given = asked.inputs.add(name="X", datatype="FP32", shape=[size_bytes // 8])
    wanted = asked.outputs.add(name="Y")
    for tensor, offset in ((given, 0), (wanted, size_bytes // 2)):
        tensor.parameters["shared_memory_region"].string_param = "dead"
        tensor.parameters["shared_memory_byte_size"].int64_param = size_bytes // 2
        tensor.parameters["shared_memory_offset"].int64_param = offset
    register = service_pb2.SystemSharedMemoryRegisterRequest(name="dead", key=key, byte_size=size_bytes)
    with victim.connect_grpc() as client:
        client.sendall(greeting() + call("SystemSharedMemoryRegister") + data(register, ends=True))
        client.sendall(call("ModelStreamInfer", 3) + data(asked, 3) * 5)
        victim.until(lambda: victim.pending() > 0)
        leave(client)


@leaves()
@pytest.mark.parametrize("die", [_die_over_http, _die_over_grpc], ids=["http", "grpc"])
def test_a_region_of_the_dead_stays_until_it_is_unregistered_and_is_unmapped_then(
    victim: Victim, leave: Leave, die: Callable[[Victim, str, int, Leave], None], is_soak: bool
) -> None:
    """As with Triton: nobody else knows that its client is dead. Another may go on with it, or take its name."""

    def is_gone(key: str) -> bool:
        return key not in Path(f"/proc/{victim.pid}/maps").read_text(encoding="utf-8")

    for _ in range(20 if is_soak else 3):
        with shared(2 * LARGE_BYTES) as key:
            die(victim, key, 2 * LARGE_BYTES, leave)
            victim.until(lambda: victim.pending() == 0)
            (region,) = ask_http(victim, "GET", "systemsharedmemory/status")
            assert (region["name"], region["key"]) == ("dead", key)
            assert not is_gone(key)
            ask_http(victim, "POST", "systemsharedmemory/region/dead/unregister")
            assert ask_http(victim, "GET", "systemsharedmemory/status") == []
            victim.until(partial(is_gone, key), within_s=2)  # the model may be computing with it
