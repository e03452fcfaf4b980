# SPDX-License-Identifier: Apache-2.0
"""What becomes of a decoupled model's responses: one JSON object, or an event each.

May import `protocol`, `errors`, `requests`, the data plane's `Ticket` and its neighbours.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from naiad.engine.dataplane import Ticket
from naiad.errors import NaiadError
from naiad.protocol.http1.responses import Headers
from naiad.protocol.rest.generate import encode_event, encode_generate, with_members
from naiad.protocol.rest.response import encode_error
from naiad.protocol.timing_fields import timing_fields, timing_parameters
from naiad.requests import InferResponse, RequestTiming, is_last
from naiad.server.http.exchange import JSON, Exchange
from naiad.server.transport.slow_work import SlowWork

EVENTS: Headers = ((b"Content-Type", b"text/event-stream; charset=utf-8"),)

_INLINE_JSON_ELEMENTS = 64 * 1024
_FAILED = 400
"""Triton's status for whatever error comes as a response."""
_NOT_ONE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
    "of responses"
)


class Encoded(NamedTuple):
    """A response as JSON, the status that it would have alone, and its `timing` if it is to be told."""

    status: int
    text: bytes
    timing: RequestTiming | None = None


Respond = Callable[[Exchange, Encoded], None]
"""Answers an exchange with a response."""


def encode(response: InferResponse | NaiadError) -> Encoded:
    """Write a response, also one that is an error or cannot be written; runs on the loop or in a thread."""
    if isinstance(response, NaiadError):
        return Encoded(_FAILED, encode_error(str(response)))
    if response.error is not None:
        return Encoded(_FAILED, encode_error(str(response.error)))
    try:
        return Encoded(200, encode_generate(response), response.timing)
    except NaiadError as error:
        return Encoded(_FAILED, encode_error(str(error)))


def is_slow_to_encode(response: InferResponse | NaiadError) -> bool:
    """Tell whether a response is better written in a thread."""
    if isinstance(response, NaiadError):
        return False
    return sum([output.data.size for output in response.outputs]) > _INLINE_JSON_ELEMENTS


def encode_then(
    exchange: Exchange,
    slow_work: SlowWork,
    response: InferResponse | NaiadError,
    then: Callable[[Encoded], None],
) -> None:
    """Write a response, in a thread if it is slow, and call `then` with it."""
    if is_slow_to_encode(response):
        slow_work.run(exchange, partial(encode, response), then)
    else:
        then(encode(response))


def respond_with_object(exchange: Exchange, encoded: Encoded) -> None:
    """Answer with one JSON object, the timing in header fields."""
    headers = JSON
    if encoded.timing is not None:
        headers = (*headers, *timing_fields(encoded.timing, len(exchange.body), len(encoded.text)))
    exchange.respond(encoded.status, headers, (encoded.text,))


def respond_with_event(exchange: Exchange, encoded: Encoded) -> None:
    """Answer with one event."""
    exchange.respond(encoded.status, EVENTS, (_event(exchange, encoded),))


def _event(exchange: Exchange, encoded: Encoded) -> bytes:
    """Write an event, the timing among the response's parameters; it tells the size of the JSON text without."""
    text = encoded.text
    if encoded.timing is not None:
        text = with_members(text, timing_parameters(encoded.timing, len(exchange.body), len(text)))
    return encode_event(text)


def is_nothing(response: InferResponse | NaiadError) -> bool:
    """Tell whether a response only says that the one before was the last."""
    return isinstance(response, InferResponse) and response.says_only_last


class Taker(ABC):
    """Takes the responses to one request of an exchange.

    Lets go of its ticket at the end: it holds the request, which holds this, and so a body under the budget.
    """

    def __init__(self, exchange: Exchange, slow_work: SlowWork) -> None:
        self._exchange = exchange
        self._slow_work = slow_work
        self._ticket: Ticket | None = None
        self._has_all = False

    def begin(self, ticket: Ticket) -> None:
        """Note what the request is known by, unless it has had its last response already."""
        if self._exchange.waiting and not self._has_all:
            self._ticket = ticket
            self._exchange.on_cancel = self._withdraw

    def on_response(self, response: InferResponse | NaiadError) -> None:
        """Take a response, if the client is still there."""
        if is_last(response):
            self._has_all, self._ticket = True, None
        if self._exchange.waiting:
            self._exchange.run(self._take, response)

    @abstractmethod
    def _take(self, response: InferResponse | NaiadError) -> None:
        """Take a response; what this raises becomes the exchange's answer."""

    def _withdraw(self) -> None:
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()


class OneObject(Taker):
    """The only response of a decoupled model; several, or none, are an error under the status of the first."""

    def __init__(self, exchange: Exchange, slow_work: SlowWork) -> None:
        super().__init__(exchange, slow_work)
        self._first: InferResponse | NaiadError | None = None

    def _take(self, response: InferResponse | NaiadError) -> None:
        """Answer when it is clear that a response was the only one, or that it was not."""
        first = self._first
        if not is_nothing(response):
            if first is not None:
                self._refuse(first)
                self._withdraw()
                return
            self._first = first = response
        if not self._has_all:
            return
        if first is None:
            self._refuse(None)
            return
        if isinstance(first, InferResponse) and isinstance(response, InferResponse):
            first = first._replace(timing=response.timing)  # until it was clear
        encode_then(self._exchange, self._slow_work, first, partial(respond_with_object, self._exchange))

    def _refuse(self, first: InferResponse | NaiadError | None) -> None:
        failed = isinstance(first, NaiadError) or (first is not None and first.error is not None)
        respond_with_object(self._exchange, Encoded(_FAILED if failed else 200, encode_error(_NOT_ONE)))


class EventStream(Taker):
    """An event for each response, in their order, under the status of the first.

    The model waits while the client leaves events unread, and while a large one is being written.
    """

    def __init__(self, exchange: Exchange, slow_work: SlowWork) -> None:
        super().__init__(exchange, slow_work)
        self._waiting: deque[InferResponse | NaiadError] = deque()
        self._is_full = False
        self._is_encoding = False
        exchange.on_full = self._on_full

    def begin(self, ticket: Ticket) -> None:
        """Note what the request is known by, unless it has had its last response already."""
        super().begin(ticket)
        self._regulate()

    def _take(self, response: InferResponse | NaiadError) -> None:
        self._waiting.append(response)
        if not self._is_encoding:
            self._send_waiting()

    def _send_waiting(self) -> None:
        while self._waiting:
            response = self._waiting.popleft()
            last = is_last(response)
            if is_nothing(response):
                self._send(last, None)
            elif is_slow_to_encode(response):
                self._is_encoding = True
                self._regulate()
                self._slow_work.run(self._exchange, partial(encode, response), partial(self._on_encoded, last))
                return
            else:
                self._send(last, encode(response))

    def _on_encoded(self, last: bool, encoded: Encoded) -> None:
        self._is_encoding = False
        self._send(last, encoded)
        self._regulate()
        self._send_waiting()

    def _send(self, last: bool, encoded: Encoded | None) -> None:
        exchange = self._exchange
        if not exchange.begun:
            exchange.begin(200 if encoded is None else encoded.status, EVENTS)
        if encoded is not None:
            exchange.send((_event(exchange, encoded),))
        if last:
            exchange.finish()

    def _on_full(self, is_full: bool) -> None:
        self._is_full = is_full
        self._regulate()

    def _regulate(self) -> None:
        if self._ticket is not None:
            self._ticket.hold_back(self._is_full or self._is_encoding)
