# SPDX-License-Identifier: Apache-2.0
"""`POST /v2/models/{m}[/versions/{v}]/generate` and `generate_stream`."""

from functools import partial
from typing import NamedTuple

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.errors import InvalidArgumentError, NaiadError
from naiad.protocol.rest.generate import decode_generate
from naiad.protocol.timing_fields import REQUEST_HEADER, asks_for_timing
from naiad.requests import InferRequest, InferResponse
from naiad.server.http.exchange import Exchange
from naiad.server.http.handlers.generate_responses import (
    EventStream,
    OneObject,
    Respond,
    encode_then,
    respond_with_event,
    respond_with_object,
)
from naiad.server.http.handlers.unknown_model import look_up
from naiad.server.http.tracing import begin_trace
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.server.transport.slow_work import SlowWork
from naiad.telemetry.traces.tracer import Tracer

_INLINE_JSON_BYTES = 1024 * 1024


class _Form(NamedTuple):
    """The form of an answer: `respond` gives one response, `several` takes those of a decoupled model."""

    respond: Respond
    several: type[OneObject] | type[EventStream]


_ONE_OBJECT = _Form(respond_with_object, OneObject)
_STREAM = _Form(respond_with_event, EventStream)


class GenerateHandlers:
    """Answers requests of the generate extension.

    `max_input_bytes` is Triton's `--http-max-input-size`. `forwarding` hands headers to the model, which Triton leaves
    out here.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        slow_work: SlowWork,
        tracer: Tracer,
        max_input_bytes: int,
        forwarding: HeaderForwarding | None,
    ) -> None:
        self._dataplane = dataplane
        self._tracer = tracer
        self._slow_work = slow_work
        self._max_input_bytes = max_input_bytes
        self._forwarding = forwarding

    def generate(self, exchange: Exchange, name: str, version: str) -> None:
        """Answer with one JSON object."""
        self._handle(exchange, name, version, _ONE_OBJECT)

    def generate_stream(self, exchange: Exchange, name: str, version: str) -> None:
        """Answer with server-sent events."""
        self._handle(exchange, name, version, _STREAM)

    def _handle(self, exchange: Exchange, name: str, version: str, form: _Form) -> None:
        model = look_up(self._dataplane, self._dataplane.find, name, version)
        if self._tracer.is_active:
            begin_trace(self._tracer, exchange, model.name)
        if exchange.head.headers.get(b"content-encoding", b"identity") != b"identity":
            raise InvalidArgumentError("Unsupported content-encoding, only 'identity' is supported.")
        decode = partial(decode_generate, exchange.body, model.metadata, version, self._max_input_bytes)
        submit = partial(self._submit, exchange, model, form)
        if len(exchange.body) > _INLINE_JSON_BYTES:
            self._slow_work.run(exchange, decode, submit)
        else:
            submit(decode())

    def _submit(self, exchange: Exchange, model: Model, form: _Form, request: InferRequest) -> None:
        if asks_for_timing(exchange.head.headers.get(REQUEST_HEADER)):
            request = request._replace(wants_timing=True)
        if self._forwarding is not None:
            request = self._forwarding.add_to(request, exchange.head.fields)
        if model.is_decoupled:
            several = form.several(exchange, self._slow_work)
            several.begin(self._dataplane.infer(model, request, several.on_response, exchange.trace))
            return
        ticket = self._dataplane.infer(model, request, partial(self._on_response, exchange, form), exchange.trace)
        if exchange.waiting:
            exchange.on_cancel = ticket.cancel

    def _on_response(self, exchange: Exchange, form: _Form, response: InferResponse | NaiadError) -> None:
        if exchange.waiting:
            exchange.run(self._answer, exchange, form, response)

    def _answer(self, exchange: Exchange, form: _Form, response: InferResponse | NaiadError) -> None:
        encode_then(exchange, self._slow_work, response, partial(form.respond, exchange))
