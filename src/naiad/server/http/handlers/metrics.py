# SPDX-License-Identifier: Apache-2.0
"""The metrics port: Prometheus text on `/metrics`, nothing anywhere else."""

from collections.abc import Callable

from naiad.protocol.rest.response import encode_error
from naiad.server.http.exchange import TEXT, Exchange, Handler

_PROMETHEUS = ((b"Content-Type", b"text/plain; charset=utf-8"),)
_NOT_ALLOWED = encode_error("Method Not Allowed")


def metrics_handler(render_metrics: Callable[[], bytes]) -> Handler:
    """Return the handler of the metrics port; like Triton's it answers any other GET with 200 and nothing."""

    def handle(exchange: Exchange) -> None:
        if exchange.head.method != "GET":
            exchange.respond(405, TEXT, (_NOT_ALLOWED,))
        elif exchange.head.path in {"/metrics", "/metrics/"}:
            exchange.respond(200, _PROMETHEUS, (render_metrics(),))
        else:
            exchange.respond(200, _PROMETHEUS)

    return handle
