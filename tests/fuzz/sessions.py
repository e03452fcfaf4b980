# SPDX-License-Identifier: Apache-2.0
"""Sessions of a gRPC client, as grpcio said them, with their frames in disorder; and a server that does as it likes.

A case is what a client says after its preface. It comes frame by frame; between the frames calls are answered, messages
unpacked, handlers and transport become full and free again, and time passes, by chance drawn from the case itself. Held
against it: a model of what the client allows, of what it may send, and of what its calls were sent.
"""

import random
import zlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from tests.fuzz.mutation import cut

from naiad.errors import UnavailableError
from naiad.protocol.grpc.call import CallHead
from naiad.protocol.grpc.response import EncodedMessage
from naiad.protocol.http2 import frames
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.frames import (
    ACK,
    DATA,
    END_STREAM,
    HEADER_BYTES,
    HEADERS,
    PREFACE,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
)
from naiad.protocol.http2.limits import Http2Limits
from naiad.protocol.http2.streams import Stream
from naiad.server.grpc.call import Call
from naiad.server.grpc.method import Method
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.request_context import RequestContext
from naiad.server.transport.slow_work import SlowWork

T = TypeVar("T")

_LIMITS = Http2Limits(stream_window_bytes=100_000, connection_window_bytes=200_000, concurrent_streams=5, stall_s=30)
_MOST_SENT_BYTES = 40_000
_UNPACKED_BYTES = 100_000
"""More than any message of the sessions has once it is unpacked."""


class _Client:
    """What a client that keeps the rules would take the server's frames for."""

    def __init__(self) -> None:
        self.window = frames.DEFAULT_WINDOW_BYTES
        self.initial_window = frames.DEFAULT_WINDOW_BYTES
        self.most_frame_bytes = frames.DEFAULT_FRAME_BYTES
        self.updates: dict[int, int] = {}
        self.heard_bytes: dict[int, int] = {}
        self.said_bytes: dict[int, int] = {}
        self.credits: dict[int, int] = {0: 0}
        self.begun: set[int] = set()
        self.ended: set[int] = set()
        self.is_introduced = False
        self.is_over = False

    def says(self, whole: bytes) -> None:
        """Take note of what the client allows and uses."""
        kind, flags, stream_id = whole[3], whole[4], int.from_bytes(whole[5:9]) & frames.MAX_STREAM_ID
        payload = whole[HEADER_BYTES:]
        if kind == SETTINGS and not flags & ACK:
            for setting, value in frames.read_settings(memoryview(payload[: len(payload) // 6 * 6])):
                if setting == frames.INITIAL_WINDOW_SIZE:
                    self.initial_window = value
                elif setting == frames.MAX_FRAME_SIZE:
                    self.most_frame_bytes = value
        elif kind == WINDOW_UPDATE:
            increment = int.from_bytes(payload) & frames.MAX_WINDOW_BYTES
            if stream_id:
                self.updates[stream_id] = self.updates.get(stream_id, 0) + increment
            else:
                self.window += increment
        elif kind == DATA:
            for one in (0, stream_id):
                self.said_bytes[one] = self.said_bytes.get(one, 0) + len(payload)

    def hears(self, whole: bytes) -> None:
        """Hold a frame of the server against what it may send."""
        assert not self.is_over, "something after the last GOAWAY"
        kind, flags, stream_id, payload = whole[3], whole[4], int.from_bytes(whole[5:9]), whole[HEADER_BYTES:]
        assert len(payload) == int.from_bytes(whole[:3])
        assert self.is_introduced or kind == SETTINGS
        self.is_introduced = True
        if kind in {HEADERS, DATA}:
            assert stream_id not in self.ended, "something on a stream that has ended"
            assert kind == HEADERS or stream_id in self.begun
            assert len(payload) <= self.most_frame_bytes
            self.begun.add(stream_id)
        if kind == DATA:
            self.window -= len(payload)
            heard = self.heard_bytes[stream_id] = self.heard_bytes.get(stream_id, 0) + len(payload)
            assert self.window >= 0
            assert heard <= self.initial_window + self.updates.get(stream_id, 0)
        if kind == RST_STREAM or (kind in {HEADERS, DATA} and flags & END_STREAM):
            self.ended.add(stream_id)
        if kind == WINDOW_UPDATE:
            self._may_send(stream_id, int.from_bytes(payload))

    def _may_send(self, stream_id: int, increment: int) -> None:
        """The server opens a window by what has come, at most: it is never wider than in the beginning."""
        credit = self.credits[stream_id] = self.credits.get(stream_id, 0) + increment
        if not stream_id:
            credit -= _LIMITS.connection_window_bytes - frames.DEFAULT_WINDOW_BYTES
        assert increment > 0
        assert credit <= self.said_bytes.get(stream_id, 0)


class _Taken:
    """The messages of one call, as it gets them, held against the bytes that came for it."""

    def __init__(self, world: "_World", *, is_unary: bool) -> None:
        self.is_unary = is_unary
        self.given = bytearray()
        self.messages: list[bytes] = []
        self.is_half_closed = False
        self.call: _Call | None = None
        self._world = world

    def on_message(self, message: memoryview) -> None:
        assert not self.is_half_closed, "a message behind the end"
        self.messages.append(bytes(message))
        self._answer()

    def on_half_close(self) -> None:
        assert not self.is_half_closed, "told twice"
        self.is_half_closed = True
        self._answer()

    def _answer(self) -> None:
        self._world.answers.append(self)
        self._hold_back()

    def _hold_back(self) -> None:
        if self.call is not None and self._world.rng.random() < 0.4:
            self.call.hold_back(self._world.rng.random() < 0.5)

    def on_drained(self) -> None:
        self._hold_back()

    def on_cancel(self) -> None:
        assert self.call is not None
        assert self.call.ended

    def check(self) -> None:
        """Assert that the messages are those in the bytes, none left out, none twice."""
        wanted, data = [], memoryview(self.given)
        while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[1:5]):
            message = bytes(data[5 : 5 + int.from_bytes(data[1:5])])
            try:
                wanted.append(zlib.decompress(message, 31) if data[0] else message)
            except zlib.error:
                break
            data = data[5 + int.from_bytes(data[1:5]) :]
        assert self.messages == wanted[: len(self.messages)]


class _Call(Call):
    """A call that tells what bytes it is given."""

    def __init__(self, world: "_World", stream: Stream, taken: _Taken, method: Method) -> None:
        self._taken = taken
        self._room: memoryview | None = None
        super().__init__(world, stream, CallHead(stream.head.path, None, "gzip", frozenset(), ()), method)
        taken.call = self

    def append(self, data: memoryview) -> None:
        self._taken.given += data
        super().append(data)

    def room(self, most_bytes: int) -> memoryview | None:
        self._room = super().room(most_bytes)
        return self._room

    def advance(self, count: int) -> None:
        room, self._room = self._room, None  # a view that is kept keeps its message in the budget
        assert room is not None
        self._taken.given += room[:count]
        del room
        super().advance(count)


class _World(SlowWork):
    """Connection, session and slow work of the calls, and what the server does between two frames."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.budget = BodyBudget()
        self.slow_work: SlowWork = self
        self.response_level = "none"
        self.answers: list[_Taken] = []
        self._all: list[_Taken] = []
        self._later: deque[Callable[[], None]] = deque()
        self._packed: deque[Callable[[], None]] = deque()
        self._client = _Client()
        self.http2 = Connection(self._accept, _LIMITS)
        self.http2.receive(memoryview(PREFACE))
        self._listen()

    # -- what calls want of their session

    def flush_soon(self) -> None:
        pass

    def soon(self, step: Callable[[], None]) -> None:
        self._later.append(step)

    def run(self, context: RequestContext, work: Callable[[], T], then: Callable[[T], None]) -> None:
        self._packed.append(lambda: context.run(lambda: then(work())) if context.waiting else None)

    def _accept(self, stream: Stream) -> None:
        taken = _Taken(self, is_unary=not stream.head.path.endswith("StreamInfer"))
        self._all.append(taken)
        if taken.is_unary:
            method = Method(lambda _, message: taken.on_message(message))
        else:
            method = Method(stream=lambda _: taken)
        stream.sink = _Call(self, stream, taken, method)

    # -- what happens

    def say(self, whole: bytes) -> None:
        """Let the client say a frame, in pieces, the body in its place if there is one."""
        self._client.says(whole)
        while whole:
            room = self.http2.room(self.rng.choice((1, 1000)))
            size = min(len(whole), self.rng.choice((1, 9, 10_000, 100_000)))
            if room is not None:
                size = min(size, len(room))
                room[:size] = whole[:size]
                self.http2.passed_by(size)
            else:
                self.http2.receive(memoryview(whole[:size]))
            whole = whole[size:]
            self._listen()

    def go_on(self) -> None:
        """Let the server do something, or nothing."""
        for act, chance in self._acts:
            if self.rng.random() < chance:
                act(self)
                self._listen()

    def _answer(self) -> None:
        if not self.answers:
            return
        taken = self.answers.pop(self.rng.randrange(len(self.answers)))
        call = taken.call
        assert call is not None
        size = self.rng.choice((0, 1, 100, _MOST_SENT_BYTES))
        made = EncodedMessage([bytes(size)], size)
        if self.rng.random() < 0.05:
            call.fail(UnavailableError("no" * self.rng.choice((1, 5000))))
        elif taken.is_unary:
            call.respond(made)
        elif taken.is_half_closed and self.rng.random() < 0.5:
            call.finish()
        else:
            call.send(made)

    def _unpack(self) -> None:
        if self._packed:
            self._packed.popleft()()

    def _step(self) -> None:
        if self._later:
            self._later.popleft()()

    def _let_go_on(self) -> None:
        for taken in self._all:
            if taken.call is not None and not taken.call.ended:
                taken.call.hold_back(False)

    def _wait(self) -> None:
        self.http2.now_s += self.rng.choice((0.1, 10.0))
        self.http2.check_stalls()
        for stream in tuple(self.http2.streams.values()):
            if isinstance(stream.sink, Call):
                stream.sink.check_progress(self.http2.now_s, 30.0, 10)

    _acts: "Sequence[tuple[Callable[[_World], None], float]]" = (
        (_answer, 0.6),
        (_unpack, 0.5),
        (_step, 0.5),
        (_let_go_on, 0.2),
        (_wait, 0.1),
        (lambda self: self.http2.hold(), 0.1),
        (lambda self: self.http2.release(), 0.2),
        (lambda self: self.http2.ping(), 0.02),
        (lambda self: self.http2.announce_leaving(), 0.01),
        (lambda self: self.http2.leave(), 0.01),
    )

    def _listen(self) -> None:
        heard = b"".join(self.http2.take_output())
        for whole in cut(heard):
            self._client.hears(whole)
        self._client.is_over = self.http2.is_broken
        assert len(self.http2.streams) <= _LIMITS.concurrent_streams
        assert self.budget.in_flight_bytes <= self._client.said_bytes.get(0, 0) + _UNPACKED_BYTES
        assert not (self.http2.is_broken and self.http2.streams)

    def end(self) -> None:
        """Lose the connection: nothing of its calls may be left."""
        self.http2.lose()
        for waiting in (self._later, self._packed):
            while waiting:
                waiting.popleft()()
        for taken in self._all:
            taken.check()
            assert taken.call is not None
            assert taken.call.ended
        assert self.budget.in_flight_bytes == 0


def session(data: bytes) -> None:
    """Hear a client out: the server is never at a loss, keeps to the windows, and hands messages on as they came."""
    world = _World(random.Random(zlib.crc32(data)))
    for whole in cut(data):
        world.say(whole)
        world.go_on()
    world.end()
