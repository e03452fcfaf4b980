# SPDX-License-Identifier: Apache-2.0
"""One request and its one response, whole or in pieces, as handlers see them.

May import `protocol`, `errors` and `transport`; knows nothing of sockets beyond the `Responder` that takes its answer.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from naiad.errors import NaiadError
from naiad.protocol.http1.head import RequestHead
from naiad.protocol.http1.responses import Headers
from naiad.protocol.rest.response import encode_error
from naiad.server.transport.request_context import RequestContext

JSON: Headers = ((b"Content-Type", b"application/json"),)
TEXT: Headers = ((b"Content-Type", b"text/plain"),)
"""Triton's odd content type for routing errors and health answers, though the errors' bodies are JSON."""

Buffers = Sequence[bytes | memoryview]
Handler = Callable[["Exchange"], None]
"""Handles a request: called on the event loop, answers now or later by `Exchange.respond`."""


class Responder(Protocol):
    """What takes the answer: the connection the request came by."""

    def answer(self, exchange: "Exchange", status: int, headers: Headers, buffers: Buffers) -> None:
        """Send the response to `exchange`, unless the client has gone."""

    def begin(self, exchange: "Exchange", status: int, headers: Headers) -> None:
        """Send the head of a response that comes in pieces."""

    def go_on(self, exchange: "Exchange", buffers: Buffers) -> None:
        """Send a piece, not empty, of the response that has begun."""

    def finish(self, exchange: "Exchange") -> None:
        """End the response that has begun."""

    def cut(self, exchange: "Exchange") -> None:
        """End the response that has begun so that the client sees that it is not whole."""


class Exchange(RequestContext):
    """A request that waits for its response.

    `body` is empty without one; `receiving_since_ns` is when it began to come (monotonic), 0 if it came with the head.
    A handler answers exactly once, by `respond` or `fail`, or in pieces: by `begin`, any number of `send` and `finish`.
    What comes later is ignored. `on_full` may be set to be told by True that the client leaves pieces unread, by False
    that it has read them.
    """

    __slots__ = ("_responder", "begun", "body", "head", "on_full", "receiving_since_ns")

    def __init__(
        self, responder: Responder, head: RequestHead, body: bytes | memoryview, receiving_since_ns: int = 0
    ) -> None:
        self._responder: Responder | None = responder
        self.head = head
        self.body = body
        self.receiving_since_ns = receiving_since_ns
        self.cancelled = False
        self.begun = False
        self.on_cancel = None
        self.trace = None
        self.on_full: Callable[[bool], None] | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to be given to someone."""
        return self._responder is not None

    @property
    def description(self) -> str:
        """Method and path."""
        return f"{self.head.method} {self.head.path}"

    def respond(self, status: int, headers: Headers = JSON, buffers: Buffers = ()) -> None:
        """Answer; `buffers` are bytes or views of bytes, which must not change until they are sent."""
        responder, self._responder = self._responder, None
        self.on_cancel = None
        if responder is None:
            return
        trace = self.trace
        if trace is None:
            responder.answer(self, status, headers, buffers)
        else:
            trace.sending()
            responder.answer(self, status, headers, buffers)
            trace.sent()

    def begin(self, status: int, headers: Headers) -> None:
        """Begin an answer in pieces."""
        if self._responder is not None:
            self.begun = True
            if self.trace is not None:
                self.trace.sending()
            self._responder.begin(self, status, headers)

    def send(self, buffers: Buffers) -> None:
        """Send a piece of an answer; it must not be empty, and not change until it is sent."""
        if self._responder is not None:
            self._responder.go_on(self, buffers)

    def finish(self) -> None:
        """End an answer in pieces."""
        responder, self._responder = self._responder, None
        self.on_cancel = self.on_full = None
        if responder is not None:
            responder.finish(self)
            if self.trace is not None:
                self.trace.sent()

    def fail(self, error: NaiadError, headers: Headers = JSON) -> None:
        """Answer with the error's HTTP status and its text as `{"error": ...}`; cut an answer that has begun."""
        if self.begun:
            responder = self._responder
            self.cancel()
            if responder is not None:
                responder.cut(self)
            return
        self.on_full = None
        self.respond(error.http_status, headers, (encode_error(str(error)),))

    def cancel(self) -> None:
        """Note that the client has gone; called by the connection."""
        self._responder = None
        self.cancelled = True
        self.on_full = None
        self._tell_of_cancel()
        if self.trace is not None:
            self.trace.close()
