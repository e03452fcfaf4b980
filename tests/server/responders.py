# SPDX-License-Identifier: Apache-2.0
"""What stands in for a connection, for handlers that answer in one piece."""

from naiad.protocol.http1.responses import Headers
from naiad.server.http.exchange import Buffers, Exchange


class AnswersWhole:
    """A responder without `answer`, which expects no answer in pieces."""

    def begin(self, exchange: Exchange, status: int, headers: Headers) -> None:
        raise AssertionError("an answer in pieces")

    def go_on(self, exchange: Exchange, buffers: Buffers) -> None:
        raise AssertionError("an answer in pieces")

    def finish(self, exchange: Exchange) -> None:
        raise AssertionError("an answer in pieces")

    def cut(self, exchange: Exchange) -> None:
        raise AssertionError("the answer was cut")
