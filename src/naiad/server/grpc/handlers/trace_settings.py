# SPDX-License-Identifier: Apache-2.0
"""`TraceSetting`: the settings of traces, changed and told."""

from naiad.config.proto import service_pb2
from naiad.engine.dataplane import DataPlane
from naiad.protocol import trace_settings
from naiad.protocol.grpc.documents import parse
from naiad.server.grpc.call import Call
from naiad.telemetry.traces.tracer import Tracer


class TraceSettingsMethods:
    """Answers from `tracer`, and changes it; `dataplane` says which models there are."""

    def __init__(self, dataplane: DataPlane, tracer: Tracer) -> None:
        self._dataplane = dataplane
        self._tracer = tracer

    def change(self, call: Call, message: memoryview) -> None:
        """`TraceSetting`: tells all, for all models or for one; with a wrong setting nothing is changed."""
        request = parse(service_pb2.TraceSettingRequest, message)
        model = request.model_name
        if model and not self._dataplane.model_ready(model):
            raise trace_settings.unknown_model(model)
        if request.settings:
            self._tracer.change(trace_settings.changes_in_message(request.settings), model)
        call.answer(trace_settings.message(self._tracer.settings(model)))
