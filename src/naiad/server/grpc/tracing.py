# SPDX-License-Identifier: Apache-2.0
"""How a request over gRPC comes by its trace. May import `telemetry` and `call`."""

from naiad.server.grpc.call import Call
from naiad.telemetry.traces.trace import Trace
from naiad.telemetry.traces.tracer import Tracer


def begun_trace(tracer: Tracer, call: Call, model_name: str) -> Trace | None:
    """Return the trace of a request that is there, if it is to have one; only for a tracer that is active."""
    parent = dict(call.head.metadata).get("traceparent")
    trace = tracer.sample(model_name, "GRPC", None if parent is None else parent.decode("latin-1"))
    if trace is not None:
        trace.received(call.receiving_since_ns)
    return trace
