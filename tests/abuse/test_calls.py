# SPDX-License-Identifier: Apache-2.0
"""Clients of gRPC that ask for much with little: what they cost is what they have sent, or a limit."""

import time
from contextlib import ExitStack
from pathlib import Path

from tests.abuse.calls import call, data, greeting, request
from tests.abuse.victim import Victim, infer_request, read_response

from naiad.config.proto import service_pb2
from naiad.protocol.http2 import frames


def check_serves_at_once(victim: Victim) -> None:
    """Assert that the loop is free."""
    started_s = time.monotonic()
    victim.check_serves()
    assert time.monotonic() - started_s < 1


def test_very_many_small_requests_of_a_stream_wait_as_they_came(victim: Victim, is_soak: bool) -> None:
    """15 MB of them; as requests in the model's queue they would take a GB, and minutes to be withdrawn."""
    one = data(request("slow", 4))[frames.HEADER_BYTES :]
    many = one * (15_000_000 // len(one))
    pieces = [frames.frame(frames.DATA, 0, 1, many[at : at + 2**20]) for at in range(0, len(many), 2**20)]
    for _ in range(10 if is_soak else 1):
        with victim.peak_mib() as peak_mib, victim.connect_grpc() as client:
            before = victim.footprint().resident_mib
            client.sendall(greeting() + call("ModelStreamInfer") + b"".join(pieces))
            victim.until(lambda: victim.pending() > 200)
            check_serves_at_once(victim)
            assert victim.pending() < 5000
        assert peak_mib() - before < 64
        check_serves_at_once(victim)
        with victim.connect() as other:  # the row is free
            other.sendall(infer_request(4, "slow"))
            assert read_response(other)[0] == 200


def test_who_asks_for_failures_and_never_reads_fills_no_memory(victim: Victim, is_soak: bool) -> None:
    """An error's text is no body, so no window holds it back; each is 4 KB."""
    failing = service_pb2.ModelMetadataRequest(name="n" * 4000)
    with victim.peak_mib() as peak_mib, ExitStack() as stack:
        before = victim.footprint().resident_mib
        clients = [stack.enter_context(victim.connect_grpc()) for _ in range(8 if is_soak else 1)]
        for client in clients:
            client.sendall(greeting())
            client.setblocking(False)
            stream_id = 1
            try:
                for stream_id in range(1, 100_000, 2):
                    said = call("ModelMetadata", stream_id) + data(failing, stream_id, ends=True)
                    if client.send(said) < len(said):
                        break
                    if stream_id % 501 == 0:
                        check_serves_at_once(victim)  # it has taken note of these
            except BlockingIOError:
                pass
            assert stream_id < 99_999, "it reads on and on"
        assert peak_mib() - before < 100 * len(clients)


def test_calls_that_announce_much_reserve_little(victim: Victim, is_soak: bool) -> None:
    """Each half a GiB; a process may have 65,530 mappings."""
    announced = b"\0" + (2**29).to_bytes(4) + b"x"
    with ExitStack() as stack:
        for _ in range(60 if is_soak else 3):
            client = stack.enter_context(victim.connect_grpc())
            said = (call("ModelInfer", n) + frames.frame(frames.DATA, 0, n, announced) for n in range(1, 2001, 2))
            client.sendall(greeting() + b"".join(said) + frames.frame(frames.PING, 0, 0, b"all said"))
            heard = b""
            while b"all said" not in heard:
                heard += client.recv(65536)
        assert len(Path(f"/proc/{victim.pid}/maps").read_text(encoding="utf-8").splitlines()) < 1500
