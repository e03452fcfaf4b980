# SPDX-License-Identifier: Apache-2.0
"""How an HTTP request comes by its trace. May import `telemetry` and `exchange`."""

from naiad.server.http.exchange import Exchange
from naiad.telemetry.traces.tracer import Tracer


def begin_trace(tracer: Tracer, exchange: Exchange, model_name: str) -> None:
    """Give a request that is there a trace, if it is to have one; only to be called while the tracer is active."""
    parent = exchange.head.headers.get(b"traceparent")
    trace = tracer.sample(model_name, "HTTP", None if parent is None else parent.decode("latin-1"))
    if trace is not None:
        trace.received(exchange.receiving_since_ns)
        exchange.trace = trace
