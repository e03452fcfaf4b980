# SPDX-License-Identifier: Apache-2.0
"""A gRPC connection over a transport that the test fills and empties: what becomes of a client that doesn't read."""

import asyncio
from collections.abc import Iterator

import pytest

from naiad.protocol.grpc.response import EncodedMessage
from naiad.protocol.http2 import frames
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.server.grpc.call import Call
from naiad.server.grpc.connection import GrpcConnection, GrpcState
from naiad.server.grpc.method import Method
from naiad.server.grpc.settings import GrpcSettings, TimeLimits
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.slow_work import SlowWork

_ENOUGH = 2**20
"""A window that no answer of these tests fills."""


class FakeTransport(asyncio.Transport):
    """Notes what it is told; `unsent_bytes` is what it says it holds."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent_bytes = 0
        self.reads = True
        self.is_aborted = False
        self.has_eof = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def is_closing(self) -> bool:
        return self.is_aborted

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.has_eof = True

    def abort(self) -> None:
        self.is_aborted = True


class Port:
    """A port without sockets, whose method answers with as many bytes as it is asked for."""

    def __init__(self, settings: GrpcSettings) -> None:
        self.slow_work = SlowWork()
        self.state = GrpcState({"/a.B/C": Method(_answer)}, settings, BodyBudget(), self.slow_work)

    def connect(self) -> tuple[GrpcConnection, FakeTransport]:
        connection, transport = GrpcConnection(self.state), FakeTransport()
        connection.connection_made(transport)
        return connection, transport


def _answer(call: Call, message: memoryview) -> None:
    size = int(bytes(message))
    call.respond(EncodedMessage([bytes(size)], size))


def port(settings: GrpcSettings) -> Iterator[Port]:
    made = Port(settings)
    yield made
    made.slow_work.close()


@pytest.fixture
def two_connections() -> Iterator[Port]:
    yield from port(GrpcSettings(max_connections=2))


@pytest.fixture
def small_and_fast() -> Iterator[Port]:
    yield from port(GrpcSettings(paused_bytes=10_000, times=TimeLimits(stall_s=5.0, linger_s=2.0)))


def say(connection: GrpcConnection, data: bytes) -> None:
    connection.get_buffer(-1)[: len(data)] = data
    connection.buffer_updated(len(data))


def ask(stream_id: int, size: int) -> bytes:
    """Return the frames of a call that asks for an answer of so many bytes."""
    path = (b":path", b"/a.B/C"), (b"content-type", b"application/grpc")
    block = encode_fields(((b":method", b"POST"), (b":scheme", b"http"), *path))
    message = str(size).encode()
    framed = b"\0" + len(message).to_bytes(4) + message
    return frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block) + frames.frame(
        frames.DATA, frames.END_STREAM, stream_id, framed
    )


GREETING = (
    frames.PREFACE
    + frames.settings(((frames.INITIAL_WINDOW_SIZE, _ENOUGH),))
    + frames.frame(frames.WINDOW_UPDATE, 0, 0, _ENOUGH.to_bytes(4))
)


def test_one_connection_too_many_is_told_and_sent_away(two_connections: Port) -> None:
    for _ in range(2):
        assert not two_connections.connect()[1].has_eof
    connection, transport = two_connections.connect()
    say(connection, GREETING)
    assert b"the server has 2 connections already" in transport.written
    assert transport.has_eof


def test_nothing_is_read_while_too_much_waits_for_a_client_that_does_not_read(small_and_fast: Port) -> None:
    connection, transport = small_and_fast.connect()
    say(connection, GREETING)
    connection.pause_writing()
    say(connection, ask(1, 9000))
    assert transport.reads
    say(connection, ask(3, 9000))
    assert not transport.reads
    before = len(transport.written)
    connection.resume_writing()
    assert transport.reads
    assert len(transport.written) - before > 18_000


def test_nothing_is_read_while_the_transport_holds_too_much(small_and_fast: Port) -> None:
    """Heads and trailers go past all windows: calls that fail would fill the transport as long as one sends them."""
    connection, transport = small_and_fast.connect()
    say(connection, GREETING)
    transport.unsent_bytes = 9_990
    connection.pause_writing()
    say(connection, ask(1, 0))
    assert transport.reads
    transport.unsent_bytes = 10_001
    say(connection, ask(3, 0))
    assert not transport.reads
    transport.unsent_bytes = 0
    connection.resume_writing()
    assert transport.reads


def test_a_client_that_takes_nothing_is_cut_and_one_that_takes_little_is_not(small_and_fast: Port) -> None:
    connection, transport = small_and_fast.connect()
    say(connection, GREETING + frames.SETTINGS_ACK)
    transport.unsent_bytes = 100
    connection.pause_writing()
    for now_s in (4.0, 8.0, 12.0):
        transport.unsent_bytes -= 1
        connection.check_time(now_s)
    connection.check_time(17.0)
    assert not transport.is_aborted
    connection.check_time(17.1)
    assert transport.is_aborted


def test_a_client_that_leaves_too_much_unread_at_the_end_is_cut_when_it_has_lingered(small_and_fast: Port) -> None:
    connection, transport = small_and_fast.connect()
    say(connection, b"GET / HTTP/1.1\r\n\r\n")
    assert transport.has_eof
    connection.check_time(2.0)
    assert not transport.is_aborted
    connection.check_time(2.1)
    assert transport.is_aborted
