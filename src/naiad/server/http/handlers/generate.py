# SPDX-License-Identifier: Apache-2.0
"""`POST /v2/models/{m}[/versions/{v}]/generate` and `generate_stream`, for models that give one answer."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.errors import InvalidArgumentError, NaiadError, UnsupportedError
from naiad.protocol.generate import decode_generate, encode_event, encode_generate
from naiad.protocol.http1 import Headers
from naiad.protocol.rest import encode_error
from naiad.requests import InferRequest, InferResponse
from naiad.server.http.exchange import JSON, Exchange
from naiad.server.http.handlers.unknown_model import look_up
from naiad.server.http.tracing import begin_trace
from naiad.server.slow_work import SlowWork
from naiad.telemetry.traces.tracer import Tracer

_INLINE_JSON_BYTES = 1024 * 1024
_INLINE_JSON_ELEMENTS = 64 * 1024

_EVENTS: Headers = ((b"Content-Type", b"text/event-stream; charset=utf-8"),)


class _Form(NamedTuple):
    """The form of an answer: `wrap` makes the body of its JSON text."""

    headers: Headers
    wrap: Callable[[bytes], bytes]


_ONE_OBJECT = _Form(JSON, bytes)
_STREAM = _Form(_EVENTS, encode_event)


class GenerateHandlers:
    """Answers requests of the generate extension; `max_input_bytes` is Triton's `--http-max-input-size`."""

    def __init__(self, dataplane: DataPlane, slow_work: SlowWork, tracer: Tracer, max_input_bytes: int) -> None:
        self._dataplane = dataplane
        self._tracer = tracer
        self._slow_work = slow_work
        self._max_input_bytes = max_input_bytes

    def generate(self, exchange: Exchange, name: str, version: str) -> None:
        """Answer with one JSON object."""
        self._handle(exchange, name, version, _ONE_OBJECT)

    def generate_stream(self, exchange: Exchange, name: str, version: str) -> None:
        """Answer with server-sent events."""
        self._handle(exchange, name, version, _STREAM)

    def _handle(self, exchange: Exchange, name: str, version: str, form: _Form) -> None:
        model = self._find(name, version)
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

    def _find(self, name: str, version: str) -> Model:
        model = look_up(self._dataplane, self._dataplane.find, name, version)
        if model.is_decoupled:
            raise UnsupportedError("the generate extension for decoupled models is not supported by this server")
        return model

    def _submit(self, exchange: Exchange, model: Model, form: _Form, request: InferRequest) -> None:
        ticket = self._dataplane.infer(model, request, partial(self._on_response, exchange, form), exchange.trace)
        if exchange.waiting:
            exchange.on_cancel = ticket.cancel

    def _on_response(self, exchange: Exchange, form: _Form, response: InferResponse | NaiadError) -> None:
        if exchange.waiting:
            exchange.run(self._answer, exchange, form, response)

    def _answer(self, exchange: Exchange, form: _Form, response: InferResponse | NaiadError) -> None:
        if isinstance(response, NaiadError):
            exchange.respond(response.http_status, form.headers, (form.wrap(encode_error(str(response))),))
            return
        respond = partial(_respond, exchange, form)
        encode = partial(encode_generate, response)
        if sum([output.data.size for output in response.outputs]) > _INLINE_JSON_ELEMENTS:
            self._slow_work.run(exchange, encode, respond)
        else:
            respond(encode())


def _respond(exchange: Exchange, form: _Form, text: bytes) -> None:
    exchange.respond(200, form.headers, (form.wrap(text),))
