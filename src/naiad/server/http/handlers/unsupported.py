# SPDX-License-Identifier: Apache-2.0
"""Routes of Triton's that answer with an error: model control, which is off."""

from naiad.errors import NaiadError
from naiad.server.http.exchange import Exchange
from naiad.server.http.router import RouteHandler


def refusal(error: NaiadError) -> RouteHandler:
    """Return a handler that answers every request with `error`."""

    def refuse(exchange: Exchange, *_arguments: str) -> None:
        exchange.fail(error)

    return refuse
