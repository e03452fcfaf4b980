# SPDX-License-Identifier: Apache-2.0
"""`POST /v2/models/{m}[/versions/{v}]/infer`: bytes in, one request to the data plane, bytes out."""

from functools import partial
from typing import NamedTuple

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.errors import NaiadError, UnsupportedError
from naiad.protocol.compression import compress
from naiad.protocol.http1.content_coding import decompress, request_coding, response_coding
from naiad.protocol.http1.responses import Headers
from naiad.protocol.rest.request import DecodedInfer, OutputEncodings, decode_infer, parse_header_length
from naiad.protocol.rest.response import EncodedInfer, encode_infer
from naiad.protocol.timing_fields import REQUEST_HEADER, asks_for_timing, timing_fields
from naiad.requests import InferResponse, RequestTiming
from naiad.server.http.exchange import JSON, TEXT, Exchange
from naiad.server.http.handlers.unknown_model import look_up
from naiad.server.http.tracing import begin_trace
from naiad.server.transport.bodies import BodyBudget, filled
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.outputs import SharedOutputs
from naiad.shm.regions import Regions
from naiad.telemetry.traces.tracer import Tracer

_INLINE_COMPRESSED_BYTES = 1024  # deflate expands at most 1032 times, so this takes the loop a millisecond or two
_INLINE_JSON_BYTES = 1024 * 1024
_INLINE_COMPRESSING_BYTES = 64 * 1024
_INLINE_JSON_ELEMENTS = 64 * 1024
_LEVEL = 1  # float tensors compress no better at zlib's default level, and JSON a little better in three times the time

_BINARY: Headers = ((b"Content-Type", b"application/octet-stream"),)
_ACCEPTED_CODINGS: Headers = (*TEXT, (b"Accept-Encoding", b"gzip, deflate"))


class _Call(NamedTuple):
    """One inference under way."""

    exchange: Exchange
    model: Model
    version: str
    coding: str | None


class InferenceHandlers:
    """Answers inference requests.

    Tensors may be in `regions`. Decompressed bodies count against `budget`; `max_input_bytes` is Triton's
    `--http-max-input-size`. `forwarding` hands headers to the model.
    """

    def __init__(
        self,
        dataplane: DataPlane,
        regions: Regions,
        slow_work: SlowWork,
        budget: BodyBudget,
        tracer: Tracer,
        max_input_bytes: int,
        forwarding: HeaderForwarding | None,
    ) -> None:
        self._dataplane = dataplane
        self._regions = regions
        self._slow_work = slow_work
        self._budget = budget
        self._tracer = tracer
        self._max_input_bytes = max_input_bytes
        self._forwarding = forwarding

    def infer(self, exchange: Exchange, name: str, version: str) -> None:
        """Handle one request."""
        try:
            model = self._find(name, version)
        except NaiadError as error:
            exchange.fail(error, TEXT)
            return
        if self._tracer.is_active:
            begin_trace(self._tracer, exchange, model.name)
        try:
            coding = request_coding(exchange.head.headers.get(b"content-encoding"))
        except UnsupportedError as error:
            exchange.fail(error, _ACCEPTED_CODINGS)
            return
        call = _Call(exchange, model, version, coding)
        if self._is_slow_to_decode(call):
            self._slow_work.run(exchange, partial(self._decode, call), partial(self._submit, call))
        else:
            self._submit(call, self._decode(call))

    def _find(self, name: str, version: str) -> Model:
        model = look_up(self._dataplane, self._dataplane.find, name, version)
        if model.is_decoupled:
            raise UnsupportedError("HTTP end point doesn't support models with decoupled transaction policy")
        return model

    def _is_slow_to_decode(self, call: _Call) -> bool:
        size_bytes = len(call.exchange.body)
        if call.coding is not None:
            return size_bytes > _INLINE_COMPRESSED_BYTES
        if size_bytes <= _INLINE_JSON_BYTES:
            return False
        header = call.exchange.head.headers.get(b"inference-header-content-length")
        json_bytes = parse_header_length(header, size_bytes)
        return json_bytes is None or json_bytes > _INLINE_JSON_BYTES

    def _decode(self, call: _Call) -> DecodedInfer:
        """Read the body; runs on the loop or in a thread."""
        exchange = call.exchange
        body = memoryview(exchange.body)
        if call.coding is not None:
            body = filled(self._budget, partial(decompress, body, call.coding, self._max_input_bytes))
        header_length = parse_header_length(exchange.head.headers.get(b"inference-header-content-length"), len(body))
        metadata, view_range = call.model.metadata, self._regions.readable
        return decode_infer(body, header_length, metadata, call.version, self._max_input_bytes, view_range)

    def _submit(self, call: _Call, decoded: DecodedInfer) -> None:
        exchange = call.exchange
        encodings, request = decoded.encodings, decoded.request
        if asks_for_timing(exchange.head.headers.get(REQUEST_HEADER)):
            request = request._replace(wants_timing=True)
        if self._forwarding is not None:
            request = self._forwarding.add_to(request, exchange.head.fields)
        shared = SharedOutputs(self._regions, encodings.shared) if encodings.shared else None
        answer = _Answer(exchange, call.model, encodings, shared, self._slow_work)
        ticket = self._dataplane.infer(call.model, request, answer.on_response, exchange.trace)
        if exchange.waiting:
            exchange.on_cancel = ticket.cancel


class _Answer:
    """What becomes of a response: encoded as the client asked, compressed if it likes that, sent."""

    __slots__ = ("_encodings", "_exchange", "_model", "_shared", "_slow_work")

    def __init__(
        self,
        exchange: Exchange,
        model: Model,
        encodings: OutputEncodings,
        shared: SharedOutputs | None,
        slow_work: SlowWork,
    ) -> None:
        self._exchange = exchange
        self._model = model
        self._encodings = encodings
        self._shared = shared
        self._slow_work = slow_work

    def on_response(self, response: InferResponse | NaiadError) -> None:
        """Answer the exchange."""
        self._exchange.run(self._answer, response)

    def _answer(self, response: InferResponse | NaiadError) -> None:
        exchange = self._exchange
        if not exchange.waiting:
            return
        if isinstance(response, NaiadError):
            exchange.fail(response)
            return
        if self._shared is not None:
            self._shared.write(response)
        coding = response_coding(exchange.head.headers.get(b"accept-encoding"))
        if _is_slow_to_encode(response, self._encodings, coding):
            encode = partial(_encode, response, self._encodings, self._model, coding)
            self._slow_work.run(exchange, encode, partial(_respond, exchange, coding, response.timing))
        else:
            _respond(exchange, coding, response.timing, _encode(response, self._encodings, self._model, coding))


def _is_slow_to_encode(response: InferResponse, encodings: OutputEncodings, coding: str | None) -> bool:
    size_bytes = json_elements = 0
    for output in response.outputs:
        if output.name in encodings.shared:
            continue
        size_bytes += output.data.nbytes
        if not encodings.all_binary and output.name not in encodings.binary:
            json_elements += output.data.size
    return json_elements > _INLINE_JSON_ELEMENTS or (coding is not None and size_bytes > _INLINE_COMPRESSING_BYTES)


def _encode(response: InferResponse, encodings: OutputEncodings, model: Model, coding: str | None) -> EncodedInfer:
    """Write the body; runs on the loop or in a thread."""
    encoded = encode_infer(response, encodings, model.metadata.labels)
    if coding is None:
        return encoded
    return EncodedInfer([compress(encoded.buffers, coding, _LEVEL)], encoded.json_length)


def _respond(exchange: Exchange, coding: str | None, timing: RequestTiming | None, encoded: EncodedInfer) -> None:
    headers = JSON
    if encoded.json_length is not None:
        headers = (*_BINARY, (b"Inference-Header-Content-Length", b"%d" % encoded.json_length))
    if coding is not None:
        headers = (*headers, (b"Content-Encoding", coding.encode()))
    if timing is not None:
        headers = (*headers, *timing_fields(timing, len(exchange.body), sum(map(len, encoded.buffers))))
    exchange.respond(200, headers, encoded.buffers)
