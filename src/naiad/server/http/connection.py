# SPDX-License-Identifier: Apache-2.0
"""One client connection: an `asyncio` protocol between a transport and the handler.

The rules of this file:
- One request at a time. While it is handled, reading goes on, so that a client that leaves is noticed; what is
  pipelined meanwhile waits in the reader's buffer, and above a limit in the kernel.
- Nothing is read into memory of its own before it is known to be wanted: heads pass through the server's one receive
  buffer, a body of known length goes from the socket to its place.
- No timers here: the listener's tick calls `check_time`, so that a request costs no timer.
- After an answer that leaves bytes of the client unread, the connection lingers: were it closed at once, the kernel
  would send a reset, and the client might never see the answer.
May import `errors`, `protocol`, `transport`, and its neighbours `exchange` and `settings`.
"""

import asyncio
import time
from collections.abc import Callable
from enum import Enum, auto
from typing import cast

from naiad.errors import NaiadError
from naiad.protocol.http1.head import HttpError, RequestHead
from naiad.protocol.http1.requests import RequestReader, head_parser
from naiad.protocol.http1.responses import (
    CONTINUE,
    LAST_PIECE,
    Headers,
    is_chunked,
    render_head,
    render_head_of_pieces,
    render_piece,
)
from naiad.protocol.rest.response import encode_error
from naiad.server.http.exchange import JSON, Buffers, Exchange, Handler
from naiad.server.http.settings import HttpSettings, TimeLimits
from naiad.server.transport.bodies import BodyBudget, BodyBuffer
from naiad.server.transport.listener import ListenerState
from naiad.server.transport.unsent import UnsentWatch

_SMALL_BODY_BYTES = 16 * 1024
"""A body up to this size waits for its end where heads do, and is copied out and not charged to the budget."""
_JOINED_RESPONSE_BYTES = 16 * 1024
"""Up to here copying a response into one buffer is cheaper than a vectored write."""

HeadCheck = Callable[[RequestHead], None]
"""Raises `HttpError` for a request that is to be refused before its body is read."""


class HttpState(ListenerState["HttpConnection"]):
    """What the connections of one listener share."""

    __slots__ = ("budget", "check_head", "handler", "parse_head", "settings")

    def __init__(
        self, handler: Handler, settings: HttpSettings, budget: BodyBudget, check_head: HeadCheck | None = None
    ) -> None:
        super().__init__()
        self.handler = handler
        self.check_head = check_head
        self.settings = settings
        self.budget = budget
        self.parse_head = head_parser(settings.limits)


class Phase(Enum):
    """Where a connection stands."""

    IDLE = auto()
    HEAD = auto()
    BODY = auto()
    BUSY = auto()
    """A request is being handled."""
    LINGER = auto()
    """The last answer is given; what still comes is dropped."""
    CLOSING = auto()
    """The transport is closed once it has sent what it holds."""


_READING = frozenset((Phase.IDLE, Phase.HEAD, Phase.BODY))


class HttpConnection(asyncio.BufferedProtocol):
    """See the module's rules; the methods up to `resume_writing` are asyncio's."""

    def __init__(self, state: HttpState) -> None:
        self._state = state
        self._reader = RequestReader(state.settings.limits, state.parse_head)
        self._transport = cast(asyncio.Transport, None)
        self._phase = Phase.IDLE
        self._since_s = state.now_s
        self._head: RequestHead | None = None
        self._body: BodyBuffer | None = None
        self._body_mark = 0
        self._body_since_ns = 0
        self._exchange: Exchange | None = None
        self._advancing = False
        self._reading_paused = False
        self._write_paused = False
        self._unsent = UnsentWatch()
        self._answered_bytes = 0
        self._is_hurried = False

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up the transport, or refuse it when there are too many."""
        self._transport = cast(asyncio.Transport, transport)
        state = self._state
        state.enter(self)
        if state.draining:
            self._close()
            return
        most = state.settings.max_connections
        if len(state.connections) > most:
            self._refuse(HttpError(503, f"the server has {most} connections already; close some, or retry later"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget everything; the client has gone."""
        self._enter(Phase.CLOSING)
        self._cancel_exchange()
        self._drop_body()
        self._state.leave(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go: to their place in a body, or to the shared receive buffer."""
        if self._body is not None and self._reader.remaining:
            return self._body.room()
        return self._state.receive_view

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what has come."""
        if self._phase is Phase.LINGER or self._phase is Phase.CLOSING:
            return
        if self._body is not None and self._reader.remaining:
            self._advance_body(self._body, nbytes)
            return
        buffer = self._reader.buffer
        buffer.lend(self._state.receive_buffer, nbytes)
        self._advance()
        buffer.keep()

    def eof_received(self) -> bool:
        """Treat the end of the client's stream as its leaving; what is answered already is still sent."""
        self._cancel_exchange()
        return False

    def pause_writing(self) -> None:
        """Answer no further request until the client has taken the last answer."""
        self._write_paused = True
        self._unsent.begin(self._transport, self._state.now_s)
        self._tell_full(True)

    def resume_writing(self) -> None:
        """Go on with requests that wait."""
        self._write_paused = False
        self._tell_full(False)
        self._advance()

    # -- the request coming in

    def _advance(self) -> None:
        """Read and handle requests as long as there are whole ones; never nested."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._phase in _READING and not self._write_paused and self._read_request():
                pass
        except NaiadError as error:
            self._refuse(error)
        finally:
            self._advancing = False
        self._regulate_reading()

    def _read_request(self) -> bool:
        """Read on, and hand on a request that is complete; return whether there may be another behind it."""
        reader = self._reader
        head = self._head
        if head is None:
            head = reader.next_head()
            if head is None:
                self._wait_for_head()
                return False
            check = self._state.check_head
            if check is not None:
                self._head = head  # what is refused is answered as its request asked
                check(head)
                self._head = None
        if self._body is None:
            small_body = reader.take_body(_SMALL_BODY_BYTES)
            if small_body is not None:
                self._dispatch(head, small_body)
                return len(reader.buffer) > 0
            if self._head is None:
                self._begin_body(head)
        if self._body is None or not reader.read_body(self._body):
            return False
        self._dispatch(head, self._take_body(), self._body_since_ns)
        return len(reader.buffer) > 0

    def _wait_for_head(self) -> None:
        phase = Phase.HEAD if len(self._reader.buffer) else Phase.IDLE
        if phase is not self._phase:
            self._enter(phase)

    def _begin_body(self, head: RequestHead) -> None:
        self._body_since_ns = time.monotonic_ns()
        if head.chunked:
            self._body = BodyBuffer(self._state.budget, None)
        elif head.content_length > _SMALL_BODY_BYTES:
            self._state.budget.admit(head.content_length)
            self._body = BodyBuffer(self._state.budget, head.content_length, _json_length(head))
        self._body_mark = 0
        self._head = head
        self._enter(Phase.BODY)
        if head.expect_continue and not len(self._reader.buffer):
            self._transport.write(CONTINUE)

    def _advance_body(self, body: BodyBuffer, count: int) -> None:
        """Count bytes that went straight into a body."""
        try:
            body.advance(count)
        except NaiadError as error:
            self._refuse(error)
            return
        self._reader.passed_by(count)
        if not self._reader.remaining:
            self._advance()

    def _take_body(self) -> memoryview:
        body, self._body = self._body, None
        assert body is not None  # noqa: S101
        return body.finish()

    def _drop_body(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.discard()

    def _regulate_reading(self) -> None:
        """Stop reading while too much waits that cannot be handled yet."""
        waits = self._phase is Phase.BUSY or self._write_paused
        too_much = waits and len(self._reader.buffer) > self._state.settings.pipeline_bytes
        if too_much is self._reading_paused:
            return
        self._reading_paused = too_much
        if too_much:
            self._transport.pause_reading()
        elif not self._transport.is_closing():
            self._transport.resume_reading()

    # -- the answer going out

    def _dispatch(self, head: RequestHead, body: bytes | memoryview, body_since_ns: int = 0) -> None:
        self._head = head
        self._enter(Phase.BUSY)
        exchange = self._exchange = Exchange(self, head, body, body_since_ns)
        exchange.run(self._state.handler, exchange)

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Buffers) -> None:
        """Send the response to `exchange`, then go on with the next request or close."""
        if exchange is not self._exchange:
            return
        head = exchange.head
        keep_alive = head.keep_alive and not self._state.draining
        self._exchange = self._head = None
        self._send(head, status, headers, buffers, keep_alive)
        self._go_on_with_next(keep_alive)

    def _go_on_with_next(self, keep_alive: bool) -> None:
        if not keep_alive:
            self._close()
            return
        self._enter(Phase.IDLE)
        if len(self._reader.buffer):
            self._advance()

    def begin(self, exchange: Exchange, status: int, headers: Headers) -> None:
        """Send the head of a response whose body is to come in pieces."""
        if exchange is self._exchange:
            keep_alive = exchange.head.keep_alive and not self._state.draining
            self._answered_bytes = 0
            self._transport.write(render_head_of_pieces(status, headers, exchange.head, keep_alive))

    def go_on(self, exchange: Exchange, buffers: Buffers) -> None:
        """Send a piece of a response's body."""
        if exchange is self._exchange:
            pieces = render_piece(buffers, exchange.head)
            self._answered_bytes += sum(map(len, pieces))
            self._transport.write(b"".join(pieces))

    def finish(self, exchange: Exchange) -> None:
        """End a response whose body came in pieces, then go on with the next request or close."""
        if exchange is not self._exchange:
            return
        head = exchange.head
        self._exchange = self._head = None
        if is_chunked(head):
            self._transport.write(LAST_PIECE)
        self._go_on_with_next(head.keep_alive and is_chunked(head) and not self._state.draining)

    def cut(self, exchange: Exchange) -> None:
        """Close in the middle of a response."""
        if exchange is self._exchange:
            self._exchange = self._head = None
            self._transport.abort()

    def _tell_full(self, is_full: bool) -> None:
        exchange = self._exchange
        if exchange is not None and exchange.on_full is not None:
            exchange.run(exchange.on_full, is_full)

    def _send(
        self, head: RequestHead | None, status: int, headers: Headers, buffers: Buffers, keep_alive: bool
    ) -> None:
        size_bytes = self._answered_bytes = sum(map(len, buffers))
        first = render_head(status, headers, size_bytes, head, keep_alive)
        if head is not None and head.method == "HEAD":
            buffers = ()
        if size_bytes <= _JOINED_RESPONSE_BYTES:
            self._transport.write(b"".join((first, *buffers)))
        else:
            self._transport.writelines((first, *buffers))

    def _refuse(self, error: NaiadError) -> None:
        """Answer a request that cannot be read, and read no more of this connection."""
        head, self._head = self._head, None
        self._drop_body()
        status, headers = error.http_status, JSON
        if isinstance(error, HttpError):
            status, headers = error.status, (*JSON, *error.headers)
        self._send(head, status, headers, (encode_error(str(error)),), keep_alive=False)
        self._linger()

    def _cancel_exchange(self) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()

    # -- the end

    def _close(self) -> None:
        """Close once all is sent; gently, if the client has sent what was not read."""
        if len(self._reader.buffer) or self._reading_paused:
            self._linger()
        else:
            self._unsent.begin(self._transport, self._state.now_s)
            self._enter(Phase.CLOSING)
            self._transport.close()

    def _linger(self) -> None:
        """Half-close, and drop what still comes until the client closes too, or its time is over."""
        self._enter(Phase.LINGER)
        self._regulate_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()

    def drain(self) -> None:
        """Close a connection that waits for a request; part of draining.

        TLS says goodbye and waits for the client's, and one that doesn't read while it has nothing to ask never says
        it. It has its time to `linger`, unless much of an answer may still be on the way to it.
        """
        if self._phase is Phase.IDLE:
            self._is_hurried = self._answered_bytes <= _JOINED_RESPONSE_BYTES
            self._close()

    def abort(self) -> None:
        """Cut the connection."""
        self._transport.abort()

    # -- time

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since_s = self._state.now_s

    def check_time(self, now_s: float) -> None:
        """Do what is due at `now_s`; called at every tick."""
        times = self._state.settings.times
        phase = self._phase
        age_s = now_s - self._since_s
        has_unsent = self._write_paused or phase is Phase.CLOSING
        if has_unsent and self._unsent.is_stuck(self._transport, now_s, times.stall_s):
            self._transport.abort()  # its memory is needed
        if phase is Phase.IDLE and age_s > times.idle_s:
            self._close()
        elif phase is Phase.HEAD and age_s > times.head_s:
            self._refuse(HttpError(408, f"request head not complete after {times.head_s:g} s, send it at once"))
        elif phase is Phase.BODY and age_s > times.body_s:
            self._check_progress(times)
        elif (phase is Phase.LINGER or (phase is Phase.CLOSING and self._is_hurried)) and age_s > times.linger_s:
            self._transport.abort()

    def _check_progress(self, times: TimeLimits) -> None:
        received = len(self._reader.buffer) if self._body is None else self._body.length
        if received - self._body_mark < times.body_progress_bytes:
            text = f"request body advanced by less than {times.body_progress_bytes} bytes in {times.body_s:g} s"
            self._refuse(HttpError(408, f"{text}, send it without pauses"))
            return
        self._body_mark = received
        self._since_s = self._state.now_s


def _json_length(head: RequestHead) -> int:
    """Return where the binary part of a body will begin, as far as one can tell; only alignment rests on it."""
    value = head.headers.get(b"inference-header-content-length", b"")
    return int(value) if value.isdigit() and len(value) < 10 else 0
