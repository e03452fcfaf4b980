# SPDX-License-Identifier: Apache-2.0
"""`ModelInfer`: a message in, a request to the data plane, a message out; and the way to `ModelStreamInfer`."""

from functools import partial

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.errors import NaiadError, UnsupportedError
from naiad.protocol.grpc.request import RpcRequest, read_infer, read_version
from naiad.protocol.grpc.response import encode_infer
from naiad.protocol.timing_fields import timing_fields
from naiad.requests import InferResponse
from naiad.server.grpc.call import Call
from naiad.server.grpc.handlers.metadata import fields_of, wants_timing
from naiad.server.grpc.handlers.stream import InferenceStream
from naiad.server.grpc.tracing import begun_trace
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.shm.outputs import SharedOutputs
from naiad.shm.regions import Regions
from naiad.telemetry.traces.tracer import Tracer


class InferenceMethods:
    """Answers inference calls.

    Tensors may be in `regions`; `tracer` says which requests are traced, and `forwarding` hands metadata to the models.
    """

    def __init__(
        self, dataplane: DataPlane, regions: Regions, tracer: Tracer, forwarding: HeaderForwarding | None
    ) -> None:
        self._dataplane = dataplane
        self._regions = regions
        self._tracer = tracer
        self._forwarding = forwarding

    def infer(self, call: Call, message: memoryview) -> None:
        """`ModelInfer`."""
        request = read_infer(message)
        declaration = request.declaration
        model = self._dataplane.find(declaration.model_name, read_version(declaration.model_version))
        if model.is_decoupled:
            raise UnsupportedError("ModelInfer RPC doesn't support models with decoupled transaction policy")
        if self._tracer.is_active:
            call.trace = begun_trace(self._tracer, call, model.name)
        asked = request.to_request(self._regions.readable)
        if wants_timing(call.head):
            asked = asked._replace(wants_timing=True)
        if self._forwarding is not None:
            asked = self._forwarding.add_to(asked, fields_of(call.head))
        shared = SharedOutputs(self._regions, declaration.shared) if declaration.shared else None
        on_response = partial(_on_response, call, model, request, shared)
        ticket = self._dataplane.infer(model, asked, on_response, call.trace)
        if call.waiting:
            call.on_cancel = ticket.cancel

    def stream(self, call: Call) -> InferenceStream:
        """`ModelStreamInfer`."""
        return InferenceStream(call, self._dataplane, self._regions, self._tracer, self._forwarding)


def _on_response(
    call: Call, model: Model, request: RpcRequest, shared: SharedOutputs | None, response: InferResponse | NaiadError
) -> None:
    call.run(_answer, call, model, request, shared, response)


def _answer(
    call: Call, model: Model, request: RpcRequest, shared: SharedOutputs | None, response: InferResponse | NaiadError
) -> None:
    if isinstance(response, NaiadError):
        call.fail(response)
        return
    if shared is not None:
        shared.write(response)
    declaration, metadata = request.declaration, model.metadata
    batching = metadata.max_batch_size > 0
    encoded = encode_infer(response, declaration.outputs, metadata.labels, batching, declaration.shared)
    timing = response.timing
    trailing = None if timing is None else partial(timing_fields, timing, call.request_bytes)
    call.respond(encoded, compress_it=True, trailing=trailing)
