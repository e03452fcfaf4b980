# SPDX-License-Identifier: Apache-2.0
"""What the engine notes of a traced request: its start and its responses. Only such requests come here.

May import `requests`, `signature` and `telemetry`.
"""

from naiad.engine.pending import OnResponse
from naiad.engine.signature import BoundRequest
from naiad.errors import NaiadError
from naiad.requests import InferRequest, InferResponse
from naiad.telemetry.traces.trace import Trace


def note_start(trace: Trace, request: InferRequest, bound: BoundRequest, version: str, arrived_ns: int) -> None:
    """Note that the model took `request` in at `arrived_ns` (monotonic), and what came with it."""
    trace.request_started(request.model_name, version, request.id, arrived_ns)
    for tensor in request.inputs:
        trace.input_queued(tensor.name, tensor.datatype, tensor.shape, bound.arrays[tensor.name])


def noting_responses(trace: Trace, on_response: OnResponse) -> OnResponse:
    """Return what notes a response and hands it to `on_response`."""

    def note(response: InferResponse | NaiadError) -> None:
        if isinstance(response, NaiadError):
            trace.responded()
            trace.request_ended()
        else:
            for output in response.outputs:
                trace.output_made(output.name, output.datatype, output.shape, output.data)
            if response.outputs or response.error is not None:  # else it only says that there are no more
                trace.responded()
            if response.final:
                trace.request_ended()
        on_response(response)

    return note
