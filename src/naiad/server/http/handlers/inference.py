# SPDX-License-Identifier: Apache-2.0
"""`POST /v2/models/{m}[/versions/{v}]/infer`: bytes in, one request to the data plane, bytes out."""

from functools import partial
from typing import NamedTuple

from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.errors import NaiadError, NotFoundError, UnsupportedError
from naiad.protocol.http1 import Headers
from naiad.protocol.rest import (
    DecodedInfer,
    EncodedInfer,
    OutputEncodings,
    decode_infer,
    encode_infer,
    parse_header_length,
)
from naiad.requests import InferResponse
from naiad.server.http.bodies import BodyBudget, BodyBuffer
from naiad.server.http.compression import compress, decompress, request_coding, response_coding
from naiad.server.http.exchange import JSON, TEXT, Exchange
from naiad.server.http.handlers.unknown_model import with_url_hint
from naiad.server.http.slow_work import SlowWork

_INLINE_COMPRESSED_BYTES = 1024  # deflate expands at most 1032 times, so this takes the loop a millisecond or two
_INLINE_JSON_BYTES = 1024 * 1024
_INLINE_COMPRESSING_BYTES = 64 * 1024
_INLINE_JSON_ELEMENTS = 64 * 1024

_BINARY: Headers = ((b"Content-Type", b"application/octet-stream"),)
_ACCEPTED_CODINGS: Headers = (*TEXT, (b"Accept-Encoding", b"gzip, deflate"))


class _Call(NamedTuple):
    """One inference under way."""

    exchange: Exchange
    model: Model
    version: str
    coding: str | None


class InferenceHandler:
    """Answers inference requests.

    Decompressed bodies count against `budget`; `max_input_bytes` is Triton's `--http-max-input-size`.
    """

    def __init__(self, dataplane: DataPlane, slow_work: SlowWork, budget: BodyBudget, max_input_bytes: int) -> None:
        self._dataplane = dataplane
        self._slow_work = slow_work
        self._budget = budget
        self._max_input_bytes = max_input_bytes

    def infer(self, exchange: Exchange, name: str, version: str) -> None:
        """Handle one request."""
        try:
            model = self._find(name, version)
        except NaiadError as error:
            exchange.fail(error, TEXT)
            return
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
        try:
            model = self._dataplane.find(name, version)
        except NotFoundError as error:
            raise with_url_hint(error, name, self._dataplane) from None
        if model.config.model_transaction_policy.decoupled:
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
            body = self._decompress(body, call.coding)
        header_length = parse_header_length(exchange.head.headers.get(b"inference-header-content-length"), len(body))
        return decode_infer(body, header_length, call.model.metadata, call.version, self._max_input_bytes)

    def _decompress(self, body: memoryview, coding: str) -> memoryview:
        """Return the plain body, charged to the budget like one that came plain."""
        plain = BodyBuffer(self._budget, None)
        try:
            decompress(body, coding, self._max_input_bytes, plain)
        except NaiadError:
            plain.discard()
            raise
        return plain.finish()

    def _submit(self, call: _Call, decoded: DecodedInfer) -> None:
        exchange = call.exchange
        on_response = partial(self._on_response, call, decoded.encodings)
        ticket = self._dataplane.infer(call.model, decoded.request, on_response)
        if exchange.waiting:
            exchange.on_cancel = ticket.cancel

    def _on_response(self, call: _Call, encodings: OutputEncodings, response: InferResponse | NaiadError) -> None:
        call.exchange.run(self._answer, call, encodings, response)

    def _answer(self, call: _Call, encodings: OutputEncodings, response: InferResponse | NaiadError) -> None:
        if not call.exchange.waiting:
            return
        if isinstance(response, NaiadError):
            call.exchange.fail(response)
            return
        coding = response_coding(call.exchange.head.headers.get(b"accept-encoding"))
        encode = partial(_encode, response, encodings, call.model, coding)
        if _is_slow_to_encode(response, encodings, coding):
            self._slow_work.run(call.exchange, encode, partial(_respond, call.exchange, coding))
        else:
            _respond(call.exchange, coding, encode())


def _is_slow_to_encode(response: InferResponse, encodings: OutputEncodings, coding: str | None) -> bool:
    if coding is not None and sum(output.data.nbytes for output in response.outputs) > _INLINE_COMPRESSING_BYTES:
        return True
    if encodings.all_binary:
        return False
    elements = sum(output.data.size for output in response.outputs if output.name not in encodings.binary)
    return elements > _INLINE_JSON_ELEMENTS


def _encode(response: InferResponse, encodings: OutputEncodings, model: Model, coding: str | None) -> EncodedInfer:
    """Write the body; runs on the loop or in a thread."""
    encoded = encode_infer(response, encodings, model.metadata.labels)
    if coding is None:
        return encoded
    return EncodedInfer([compress(encoded.buffers, coding)], encoded.json_length)


def _respond(exchange: Exchange, coding: str | None, encoded: EncodedInfer) -> None:
    headers = JSON
    if encoded.json_length is not None:
        headers = (*_BINARY, (b"Inference-Header-Content-Length", b"%d" % encoded.json_length))
    if coding is not None:
        headers = (*headers, (b"Content-Encoding", coding.encode()))
    exchange.respond(200, headers, encoded.buffers)
