# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, idle, half there, talk nonsense or vanish: others are served, and nothing stays behind."""

import selectors
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest
from tests.abuse.conftest import READ_TIMEOUT_S
from tests.abuse.victim import (
    HEALTH,
    Victim,
    events_request,
    head,
    infer_request,
    read_all,
    read_response,
    statuses,
    vanish,
)


@contextmanager
def many(victim: Victim, count: int) -> Iterator[list[socket.socket]]:
    """Open connections from several addresses of this machine, each of which has ports of its own."""
    with ExitStack() as stack:
        yield [stack.enter_context(victim.connect(source=f"127.0.0.{2 + n % 4}")) for n in range(count)]


def drip(clients: list[socket.socket], pause_s: float, meanwhile: Callable[[], None]) -> dict[socket.socket, bytes]:
    """Send a byte on every connection now and then until the server has closed all; return what each received."""
    selector = selectors.DefaultSelector()
    received = dict.fromkeys(clients, b"")
    for client in clients:
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ)
    deadline_s = time.monotonic() + 10 * READ_TIMEOUT_S
    while selector.get_map():
        assert time.monotonic() < deadline_s, f"{len(selector.get_map())} connections are still open"
        next_s = time.monotonic() + pause_s
        for key in list(selector.get_map().values()):
            with suppress(OSError):  # closed; its last bytes are still to be read
                key.fileobj.send(b"a")  # type: ignore[union-attr]
        meanwhile()
        while (left_s := next_s - time.monotonic()) > 0:
            for key, _ in selector.select(left_s):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                piece = b""
                with suppress(ConnectionResetError):
                    piece = ready.recv(65536)
                received[ready] += piece
                if not piece:
                    selector.unregister(ready)
            if not selector.get_map():
                break
    selector.close()
    return received


@pytest.mark.parametrize("start", [b"GET /v2 HTTP/1.1\r\nX: ", head(1_000_000)], ids=["head", "body"])
def test_who_drips_is_cut_and_others_are_served(victim: Victim, start: bytes, is_soak: bool) -> None:
    """Slow loris: many connections that never come to an end, but always move."""
    count = 4000 if is_soak else 400
    with many(victim, count) as clients:
        for client in clients:
            client.sendall(start)
        started_s = time.monotonic()
        received = drip(clients, 0.2, victim.check_serves)
        took_s = time.monotonic() - started_s
    assert {tuple(statuses(answer)) for answer in received.values()} == {(408,)}
    assert took_s >= READ_TIMEOUT_S - 1


def test_ten_thousand_idle_connections_cost_little(victim: Victim, descriptor_limit: int) -> None:
    count = 9_900  # the server takes 10,000, and health checks want some
    if descriptor_limit < count + 500:
        pytest.skip(f"needs {count + 500} descriptors, and this process may have {descriptor_limit} (ulimit -Hn)")
    before = victim.footprint()
    with many(victim, count) as clients:
        for client in clients[:: len(clients) // 100]:
            client.sendall(HEALTH)
            assert read_response(client)[0] == 200
        held = victim.footprint()
        assert held.descriptors >= count
        assert held.resident_mib - before.resident_mib < count * 16 / 1024  # 16 KiB for each
        victim.check_serves()
        for client in clients[-100:]:
            client.sendall(infer_request(4))
        assert {read_response(client)[0] for client in clients[-100:]} == {200}


def test_beyond_the_limit_a_connection_is_told_so_and_room_comes_back(victim: Victim, descriptor_limit: int) -> None:
    limit = 10_000
    if descriptor_limit < limit + 500:
        pytest.skip(f"needs {limit + 500} descriptors, and this process may have {descriptor_limit} (ulimit -Hn)")
    with many(victim, limit) as clients:
        clients[-1].sendall(HEALTH)  # all before it have been accepted when it is answered
        assert read_response(clients[-1])[0] == 200
        with victim.connect() as late:
            assert statuses(read_all(late)) == [503]
        clients.pop().close()
        deadline_s = time.monotonic() + 10
        while True:
            with victim.connect() as next_one:
                next_one.sendall(HEALTH)
                if statuses(next_one.recv(65536)) == [200]:
                    break
            assert time.monotonic() < deadline_s


def test_a_half_closed_connection_is_closed(victim: Victim) -> None:
    with many(victim, 200) as clients:
        for client in clients:
            client.shutdown(socket.SHUT_WR)
        assert all(read_all(client) == b"" for client in clients)


@pytest.mark.parametrize(
    "part", [b"GET /v2", head(100) + b"x" * 50, head(None, "Transfer-Encoding: chunked") + b"5\r\nab"]
)
def test_half_a_request_and_a_half_close_is_forgotten(victim: Victim, part: bytes) -> None:
    with many(victim, 100) as clients:
        for client in clients:
            client.sendall(part)
            client.shutdown(socket.SHUT_WR)
        assert all(read_all(client) == b"" for client in clients)


def test_pipelined_requests_are_answered_up_to_the_garbage(victim: Victim) -> None:
    with many(victim, 50) as clients:
        for client in clients:
            client.sendall(HEALTH * 20 + infer_request(4) + b"\0garbage" * 20_000)
        answers = [read_all(client) for client in clients]
    assert {tuple(statuses(answer)) for answer in answers} == {(200,) * 21 + (400,)}


def test_garbage_alone_is_refused_and_closed(victim: Victim) -> None:
    with many(victim, 100) as clients:
        for number, client in enumerate(clients):
            client.sendall((b"\x16\x03\x01\0", b"{}", b"SSH-2.0-x\r\n", b"GET / HTTP/1.1\r\n: x\r\n\r\n")[number % 4])
        for number, client in enumerate(clients):
            if number % 4 != 2:  # "SSH-2.0-x" may still become a head
                assert statuses(read_all(client)) == [400]


def test_who_sends_and_never_reads_fills_no_memory(victim: Victim, is_soak: bool) -> None:
    """Each asks for some 100 MB of answers; what is not taken is not made."""
    with victim.peak_mib() as peak_mib, many(victim, 50 if is_soak else 10) as clients:
        before = victim.footprint().resident_mib
        request = infer_request(50_000)
        for client in clients:
            client.setblocking(False)
            for _ in range(400):
                try:
                    client.send(request)
                except BlockingIOError:
                    break
        for _ in range(20):
            victim.check_serves()
        assert peak_mib() - before < 8 * len(clients)


def test_who_vanishes_within_a_body_leaves_nothing(victim: Victim, is_soak: bool) -> None:
    for _ in range(200 if is_soak else 20):
        client = victim.connect()
        client.sendall(head(20_000_000))
        client.sendall(bytes(5_000_000))
        vanish(client)


def test_who_vanishes_within_an_answer_leaves_nothing(victim: Victim, is_soak: bool) -> None:
    request = infer_request(300_000)
    for _ in range(200 if is_soak else 20):
        client = victim.connect()
        client.sendall(request)
        assert client.recv(1000)
        vanish(client)


def test_who_vanishes_before_the_answer_leaves_nothing(victim: Victim) -> None:
    with many(victim, 200) as clients:
        for client in clients:
            client.sendall(infer_request(4, "slow"))
        for client in clients:
            vanish(client)
    with victim.connect() as client:  # its turn comes at once, as all of theirs were withdrawn
        started_s = time.monotonic()
        client.sendall(infer_request(4, "slow"))
        assert read_response(client)[0] == 200
        assert time.monotonic() - started_s < 5


def test_who_vanishes_within_a_stream_of_events_leaves_nothing(victim: Victim, is_soak: bool) -> None:
    """Each has a thread of the model at work, which is to end long before it has said all."""
    before = victim.threads()
    for _ in range(10 if is_soak else 2):
        with many(victim, 20) as clients:
            for client in clients:
                client.sendall(events_request(10_000, 20))
            for client in clients:
                assert client.recv(1000)
                vanish(client)
    victim.check_threads_end(before)


def test_who_never_reads_its_events_fills_no_memory(victim: Victim, is_soak: bool) -> None:
    """Each asks for some 7 MB of events; the model waits once a small part of them is unread."""
    before, count = victim.threads(), 50 if is_soak else 4
    with victim.peak_mib() as peak_mib, many(victim, count) as clients:
        resident_mib = victim.footprint().resident_mib
        for client in clients:
            client.sendall(events_request(100_000, 0))
        for client in clients:
            assert client.recv(1000)
        for _ in range(20):
            victim.check_serves()
        # Of that, 3 MiB are the request itself.
        assert peak_mib() - resident_mib < 6 * count
        assert victim.threads() >= before + count
        for client in clients:
            vanish(client)
    victim.check_threads_end(before)
