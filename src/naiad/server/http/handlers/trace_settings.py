# SPDX-License-Identifier: Apache-2.0
"""`/v2/trace/setting` and `/v2/models/{m}/trace/setting`: the settings of traces, told and changed."""

from naiad.engine.dataplane import DataPlane
from naiad.protocol import trace_settings
from naiad.server.http.exchange import JSON, Exchange
from naiad.telemetry.traces.tracer import Tracer


class TraceSettingsHandlers:
    """Answers from `tracer`, and changes it; `dataplane` says which models there are."""

    def __init__(self, dataplane: DataPlane, tracer: Tracer) -> None:
        self._dataplane = dataplane
        self._tracer = tracer

    def tell(self, exchange: Exchange, model: str = "") -> None:
        """`GET`: those for all models, or for one."""
        self._check(model)
        exchange.respond(200, JSON, (trace_settings.document(self._tracer.settings(model)),))

    def change(self, exchange: Exchange, model: str = "") -> None:
        """`POST`: all that it asks for, or with a wrong setting, nothing."""
        self._check(model)
        self._tracer.change(trace_settings.changes_in_json(exchange.body), model)
        self.tell(exchange, model)

    def _check(self, model: str) -> None:
        if model and not self._dataplane.model_ready(model):
            raise trace_settings.unknown_model(model)
