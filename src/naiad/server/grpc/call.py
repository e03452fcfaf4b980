# SPDX-License-Identifier: Apache-2.0
"""One gRPC call: joins its messages, hands them to the method's handler, and sends what that answers.

May import `protocol`, `errors`, `method` beside it, and `transport`'s `request_context`, `bodies` and `slow_work`;
knows nothing of sockets beyond the `Session` that it belongs to.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from naiad.errors import InternalError, NaiadError
from naiad.protocol.grpc.call import (
    OK_TRAILERS,
    RESPONSE_HEADERS,
    CallHead,
    GrpcError,
    GrpcStatus,
    ok_trailers,
    response_headers,
    status_of,
    trailers,
    trailers_only,
)
from naiad.protocol.grpc.compression import compressed, decompress, response_encoding
from naiad.protocol.grpc.messages import Message, MessageReader, message_prefix
from naiad.protocol.grpc.response import EncodedMessage
from naiad.protocol.grpc.wire import first_tensor_at
from naiad.protocol.http2.connection import Connection
from naiad.protocol.http2.streams import Stream
from naiad.server.grpc.method import Method, StreamHandler
from naiad.server.transport.bodies import BodyBudget, BodyBuffer, charged, filled
from naiad.server.transport.request_context import RequestContext
from naiad.server.transport.slow_work import SlowWork

Trailing = Callable[[int], Iterable[tuple[bytes, bytes]]]
"""Makes trailing metadata, names in lower case, from the size of the answer's message in bytes."""

_INLINE_COMPRESSED_BYTES = 1024  # deflate expands at most 1032 times, so this takes the loop a millisecond or two
_INLINE_COMPRESSING_BYTES = 16 * 1024
_KEPT_PIECE_BYTES = 64 * 1024


class Session(Protocol):
    """The connection that a call came by."""

    http2: Connection
    budget: BodyBudget
    slow_work: SlowWork
    response_level: str

    def flush_soon(self) -> None:
        """Send what the HTTP/2 connection has to send, before the loop waits again."""

    def soon(self, step: Callable[[], None]) -> None:
        """Call `step` once others have had their turn on the loop."""


class Call(RequestContext):
    """A call that waits for its answer; the sink of its HTTP/2 stream.

    A unary method answers exactly once, by `respond` or `fail`. A streaming one sends any number of messages by `send`,
    then ends by `finish` or `fail`. What comes after the end is ignored. `receiving_since_ns` is when a message began
    to come (monotonic) that did not come at once; 0 for one that did.
    """

    __slots__ = (
        "_begun",
        "_first",
        "_handler",
        "_handler_holds",
        "_holds",
        "_is_reading_kept",
        "_kept",
        "_mark",
        "_mark_s",
        "_method",
        "_packed",
        "_reader",
        "_session",
        "_stream",
        "_timer",
        "ended",
        "half_closed",
        "head",
        "receiving_since_ns",
    )

    def __init__(self, session: Session, stream: Stream, head: CallHead, method: Method) -> None:
        self.head = head
        self.cancelled = False
        self.ended = False
        self.half_closed = False
        self.on_cancel = None
        self.trace = None
        self.receiving_since_ns = 0
        self._session = session
        self._stream = stream
        self._method = method
        self._begun = False
        self._first: Message | None = None
        self._handler: StreamHandler | None = None
        self._reader: MessageReader | None = MessageReader(self._allocate, self._on_message)
        self._packed: deque[Message] = deque()
        self._kept: deque[bytearray] = deque()
        self._handler_holds = False
        self._holds = False
        self._is_reading_kept = False
        self._mark: int | None = None
        self._mark_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        if head.timeout_ns is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(head.timeout_ns / 1e9, 1e7), self._on_deadline)
        if method.stream is not None:
            self._handler = method.stream(self)
            self.on_cancel = self._handler.on_cancel

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to be given to someone."""
        return not self.ended

    @property
    def description(self) -> str:
        """The method's path."""
        return self.head.path

    # -- the stream's sink

    def append(self, data: memoryview) -> None:
        """Take bytes of the call's body."""
        if self._reader is None:
            return
        if self._holds or self._kept:
            self.run(self._keep, data)
        else:
            self.run(self._reader.append, data)

    def room(self, most_bytes: int) -> memoryview | None:
        """Return where the next bytes can be received directly."""
        return None if self._reader is None or self._holds or self._kept else self._reader.room(most_bytes)

    def advance(self, count: int) -> None:
        """Count bytes that were received there."""
        if self._reader is not None:
            self.run(self._reader.advance, count)

    def end(self) -> None:
        """Note that all messages are there."""
        self.half_closed = True
        self._check_end()

    def _check_end(self) -> None:
        """Tell the handler that there are no more messages, once it has all of them."""
        if not self.half_closed or self._reader is None or self._kept or self._packed:
            return
        if self._reader.received_bytes is not None:
            self.fail(GrpcError(GrpcStatus.INTERNAL, "the call ends in the middle of a message"))
        elif self._handler is None:
            self.run(self._dispatch)
        else:
            self.run(self._handler.on_half_close)

    def reset(self) -> None:
        """Note that the client has gone."""
        if not self.ended:
            self.cancelled = True
            self._close()
            if self.trace is not None:
                self.trace.close()

    def drained(self) -> None:
        """Tell the handler that the client has read what there was."""
        if self._handler is not None and not self.ended:
            self.run(self._handler.on_drained)

    # -- what comes while nobody can take it

    def hold_back(self, holds_back: bool) -> None:
        """Give the handler no more messages than have begun to come, or go on; the client has to wait, too.

        What its window still allows it to send is kept as it is: as requests it would take a hundred times the memory.
        """
        self._handler_holds = holds_back
        self._regulate()

    def _regulate(self) -> None:
        self._holds = self._handler_holds or bool(self._packed)
        if self._holds:
            self._session.http2.hold_back(self._stream, True)
        elif self._kept:
            self._read_kept()
        elif self._stream.holds_back:
            self._session.http2.hold_back(self._stream, False)
            self._session.flush_soon()

    def _keep(self, data: memoryview) -> None:
        self._session.budget.charge(len(data))
        if self._kept and len(self._kept[-1]) < _KEPT_PIECE_BYTES:
            self._kept[-1] += data
        else:
            self._kept.append(bytearray(data))

    def _read_kept(self) -> None:
        """Read a piece of what was kept, and the rest of it later: others want the loop, too."""
        if self._is_reading_kept or self._holds or not self._kept or self._reader is None:
            return
        piece = self._kept.popleft()
        self._session.budget.release(len(piece))
        self._is_reading_kept = True
        self.run(self._reader.append, memoryview(piece))
        self._is_reading_kept = False
        if not self._kept:
            self._check_end()
            self._regulate()
        elif not self._holds:
            self._session.soon(self._read_kept)

    # -- messages coming in

    def _allocate(self, size_bytes: int, beginning: memoryview) -> BodyBuffer:
        budget = self._session.budget
        if size_bytes > budget.limit_bytes:
            raise GrpcError(
                GrpcStatus.RESOURCE_EXHAUSTED,
                f"Received message larger than max ({size_bytes} vs. {budget.limit_bytes})",
            )
        budget.admit(size_bytes)
        self.receiving_since_ns = time.monotonic_ns()
        return BodyBuffer(budget, size_bytes, first_tensor_at(beginning), len(beginning))

    def _on_message(self, message: Message) -> None:
        handler = self._handler
        if handler is None:
            if self._first is None:
                self._first = message
        elif self._packed or message.compressed:
            self._packed.append(message)
            if len(self._packed) == 1:
                self._regulate()
                self._unpack_next()
        else:
            handler.on_message(message.data)

    def _unpack_next(self) -> None:
        """Unpack the first of the messages that wait; those behind it keep their place, compressed or not."""
        message = self._packed[0]
        self._session.slow_work.run(self, partial(self._plain, message), self._on_unpacked)

    def _on_unpacked(self, plain: memoryview) -> None:
        handler = self._handler
        if handler is None or self.ended:
            return
        handler.on_message(plain)
        if self.ended:
            return
        self._packed.popleft()  # only now: meanwhile nothing behind it may be read
        if self._packed:
            self._unpack_next()
        elif self._kept:
            self._regulate()
        else:
            self._check_end()
            self._regulate()

    def _dispatch(self) -> None:
        """Give a unary method its message."""
        message, unary = self._first, self._method.unary
        if message is None or unary is None:
            raise InternalError("Unable to parse request")
        if not message.compressed:
            unary(self, message.data)
        elif len(message.data) <= _INLINE_COMPRESSED_BYTES:
            unary(self, self._plain(message))
        else:
            self._session.slow_work.run(self, partial(self._plain, message), partial(self._handle, unary))

    def _handle(self, unary: "Callable[[Call, memoryview], None]", plain: memoryview) -> None:
        if not self.ended:  # the deadline may have passed meanwhile
            unary(self, plain)

    def _plain(self, message: Message) -> memoryview:
        """Return the message as it was before compression; runs on the loop or in a thread."""
        if not message.compressed:
            return message.data
        return filled(self._session.budget, partial(decompress, message.data, self.head.encoding))

    # -- the answer going out

    @property
    def request_bytes(self) -> int:
        """The size of a unary call's message as it was sent, as long as the call waits for its answer."""
        return 0 if self._first is None else len(self._first.data)

    def answer(self, message: bytes = b"") -> None:
        """Give the only response: a small message that is whole, by default an empty one."""
        self.respond(EncodedMessage([message], len(message)))

    def respond(self, encoded: EncodedMessage, compress_it: bool = False, trailing: Trailing | None = None) -> None:
        """Answer a unary call; `trailing` makes trailing metadata once the size of the message is known."""
        if self.ended:
            return
        encoding = response_encoding(self._session.response_level, self.head.accepts) if compress_it else "identity"
        if encoding == "identity":
            self._respond(encoded, encoding, trailing)
        elif encoded.size_bytes <= _INLINE_COMPRESSING_BYTES:
            self._respond(compressed(encoded, encoding), encoding, trailing)
        else:
            self._session.slow_work.run(
                self, partial(compressed, encoded, encoding), lambda made: self._respond(made, encoding, trailing)
            )

    def _respond(self, encoded: EncodedMessage, encoding: str, trailing: Trailing | None) -> None:
        if self.ended:
            return
        if self.trace is not None:
            self.trace.sending()
        is_compressed = encoding != "identity"
        prefix = message_prefix(encoded.size_bytes, is_compressed)
        self.on_cancel = None
        self._close()
        headers = response_headers(encoding) if is_compressed else RESPONSE_HEADERS
        end = OK_TRAILERS if trailing is None else ok_trailers(trailing(encoded.size_bytes))
        self._session.http2.respond(
            self._stream, headers, (prefix, *encoded.buffers), encoded.size_bytes + len(prefix), end
        )
        self._session.flush_soon()
        if self.trace is not None:
            self.trace.sent()

    def send(self, encoded: EncodedMessage, compress_it: bool = False) -> None:
        """Send a message of a streaming call; a large one goes as it is, since it would hold up the loop."""
        if self.ended:
            return
        encoding = response_encoding(self._session.response_level, self.head.accepts) if compress_it else "identity"
        is_compressed = encoding != "identity" and encoded.size_bytes <= _INLINE_COMPRESSING_BYTES
        if is_compressed:
            encoded = compressed(encoded, encoding)
        prefix = message_prefix(encoded.size_bytes, is_compressed)
        http2 = self._session.http2
        if not self._begun:
            self._begun = True
            http2.send_headers(self._stream, response_headers(encoding))
        http2.send_data(self._stream, (prefix, *encoded.buffers), encoded.size_bytes + len(prefix))
        self._session.flush_soon()

    @property
    def unsent_bytes(self) -> int:
        """What waits for the client to read."""
        return self._stream.waiting_bytes

    def finish(self) -> None:
        """End a streaming call well."""
        if self.ended:
            return
        self.on_cancel = None
        self._close()
        http2 = self._session.http2
        if not self._begun:
            http2.send_headers(self._stream, RESPONSE_HEADERS)
        http2.send_trailers(self._stream, OK_TRAILERS)
        self._session.flush_soon()

    def fail(self, error: NaiadError) -> None:
        """End the call with the error's status and text."""
        if self.ended:
            return
        self._close()
        if self.trace is not None:
            self.trace.sending()
        status, text = status_of(error), str(error)
        block = trailers(status, text) if self._begun else trailers_only(status, text)
        self._session.http2.send_trailers(self._stream, block)
        self._session.flush_soon()
        if self.trace is not None:
            self.trace.sent()

    # -- the end

    def check_progress(self, now_s: float, span_s: float, least_bytes: int) -> None:
        """Fail a call whose message advances by fewer than so many bytes in such a span, or that goes on behind it."""
        received = self._received_bytes()
        if received is None:
            self._mark = None
        elif self._mark is None or received - self._mark >= least_bytes or received < self._mark:
            self._mark, self._mark_s = received, now_s
            self.run(self._charge_first)
        elif now_s - self._mark_s > span_s:
            text = f"request message advanced by less than {least_bytes} bytes in {span_s:g} s, send it without pauses"
            if self._first is not None:
                text = f"the call did not end within {span_s:g} s of its message, end it with the message"
            self.fail(GrpcError(GrpcStatus.DEADLINE_EXCEEDED, text))

    def _received_bytes(self) -> int | None:
        """Return how much there is of what the client has begun to send, None if it has no message under way."""
        if self.half_closed or self._reader is None or self._holds or self._kept:
            return None
        return self._reader.received_bytes if self._first is None else len(self._first.data)

    def _charge_first(self) -> None:
        """Charge a small message that waits for the end of its call; most never wait, and cost nothing."""
        first = self._first
        if first is not None and len(first.data) <= _KEPT_PIECE_BYTES:
            room = charged(self._session.budget, len(first.data))
            room[:] = first.data
            self._first = first._replace(data=room.toreadonly())

    def _on_deadline(self) -> None:
        self._timer = None
        self.fail(GrpcError(GrpcStatus.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def _close(self) -> None:
        """Note the end; whoever works for this call is told, unless the work is done.

        References that would make a circle go too: messages are memory under a budget, not to be left to the garbage
        collector.
        """
        self.ended = True
        reader, self._reader, self._first, self._handler = self._reader, None, None, None
        if reader is not None:
            reader.discard()
        self._packed.clear()
        if self._kept:
            self._session.budget.release(sum(map(len, self._kept)))
            self._kept.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.on_cancel is not None:
            self._tell_of_cancel()
