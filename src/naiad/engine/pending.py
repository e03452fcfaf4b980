# SPDX-License-Identifier: Apache-2.0
"""A request on its way through the engine. Touched on the event loop's thread only, except for its frozen parts."""

from collections.abc import Callable, Mapping

from naiad.engine.signature import BoundRequest
from naiad.errors import NaiadError
from naiad.requests import NO_PARAMETERS, InferRequest, InferResponse, OutputTensor, ParameterValue, RequestTiming
from naiad.telemetry.traces.trace import Trace

OnResponse = Callable[[InferResponse | NaiadError], None]
"""Called with each response; an error, or a response with `final` set, is the last."""


class Pending:
    """One accepted request, until its last response has gone.

    `arrived_ns` is when the engine got it, `queued_ns` when it last joined a queue; both monotonic. `trace` is there if
    the request is traced. `timing` is that of the latest response, if the request asks for it; `parameters` are those
    of the last response. `is_cancelled` says the client no longer wants it, `is_held_back` that it reads nothing for
    now, `is_done` that nothing more will be sent.
    """

    __slots__ = (
        "arrived_ns",
        "bound",
        "is_cancelled",
        "is_done",
        "is_held_back",
        "on_response",
        "parameters",
        "queued_ns",
        "request",
        "timing",
        "trace",
        "version",
    )

    def __init__(
        self,
        request: InferRequest,
        bound: BoundRequest,
        version: str,
        on_response: OnResponse,
        now_ns: int,
        trace: Trace | None = None,
    ) -> None:
        self.request = request
        self.bound = bound
        self.version = version
        self.on_response = on_response
        self.arrived_ns = now_ns
        self.queued_ns = now_ns
        self.timing: RequestTiming | None = None
        self.trace = trace
        self.parameters: Mapping[str, ParameterValue] = NO_PARAMETERS
        self.is_cancelled = False
        self.is_done = False
        self.is_held_back = False

    def answer(self, outputs: tuple[OutputTensor, ...]) -> None:
        """Send the only response, or the last one, unless the client has gone."""
        self.is_done = True
        if not self.is_cancelled:
            name, request_id = self.request.model_name, self.request.id
            self.on_response(InferResponse(name, self.version, outputs, request_id, self.parameters, True, self.timing))

    def answer_in_part(
        self,
        outputs: tuple[OutputTensor, ...],
        parameters: Mapping[str, ParameterValue],
        error: NaiadError | None = None,
    ) -> None:
        """Send a response that is not the last, unless the client has gone."""
        if not self.is_cancelled:
            name, request_id = self.request.model_name, self.request.id
            response = InferResponse(name, self.version, outputs, request_id, parameters, False, self.timing, error)
            self.on_response(response)

    def fail(self, error: NaiadError) -> None:
        """Send an error as the last word, unless the client has gone."""
        self.is_done = True
        if not self.is_cancelled:
            self.on_response(error)
