# SPDX-License-Identifier: Apache-2.0
"""The body of an inference request over HTTP → `InferRequest`.

Mirrors KServe v2's REST protocol with Triton's binary tensor data, classification, sequence, schedule-policy and
parameters extensions, and its raw binary requests. What Triton's HTTP front end checks is checked here; names,
shapes, datatypes and byte sizes are the engine's to hold against the model. Binary tensors stay views of the body.
May import `errors`, `tensors`, `requests`, `snapshots` and `protocol`'s own modules.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import numpy as np

from naiad.errors import InternalError, InvalidArgumentError, UnsupportedError
from naiad.protocol.rest import json_pieces, json_text
from naiad.protocol.rest.inputs import DeclaredInput, declare_inputs, place_inputs, shared_memory_range
from naiad.protocol.shared_memory import ViewRange, no_regions
from naiad.requests import InferRequest, InputTensor, RequestedOutput, SharedMemoryRange, id_prefix
from naiad.snapshots import ModelMetadata
from naiad.tensors import DATATYPES, Array, element_count

_MAX_HEADER_LENGTH: Final = 2**31 - 1
_MAX_SEQUENCE_ID: Final = 128
_HEADER_LENGTH: Final = re.compile(rb"[ \t]*([+-]?[0-9]{1,10})[ \t]*")
_MEMOISED_FORMS: Final = 512
_MEMOISED_FORM_BYTES: Final = 2048  # 512 × 2 KiB: the memo never holds more than a few MiB
_FIRST_OF_REST: Final = InferRequest._fields.index("id")
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class OutputEncodings(NamedTuple):
    """How the client wants the outputs: `binary` and `classification` by name, or all of them binary.

    The outputs named in `shared` go into shared memory, so that the response says only that they are there.
    `batching` tells whether the first dimension is the batch, which classification must know.
    """

    batching: bool
    all_binary: bool = False
    binary: frozenset[str] = frozenset()
    classification: Mapping[str, int] = _NOTHING
    shared: Mapping[str, SharedMemoryRange] = _NOTHING


class DecodedInfer(NamedTuple):
    """What a body asks for, and how its answer is to be written."""

    request: InferRequest
    encodings: OutputEncodings


def parse_header_length(value: bytes | None, body_length: int) -> int | None:
    """Read the header `Inference-Header-Content-Length`: bytes of the body's JSON part; None without the header.

    Raises:
        InvalidArgumentError: no number, or outside 0 to `body_length` bytes (Triton's texts).
    """
    if value is None:
        return None
    if value.isdigit() and len(value) < 10:  # nearly always
        length = int(value)
        if length <= body_length:
            return length
    match = _HEADER_LENGTH.fullmatch(value)
    length = int(match[1]) if match else 0
    if not match or abs(length) > _MAX_HEADER_LENGTH:
        raise InvalidArgumentError(f"Unable to parse Inference-Header-Content-Length, got: {value.decode('latin-1')}")
    if not 0 <= length <= body_length:
        raise InvalidArgumentError(f"inference header size should be in range (0, {body_length}), got: {length}")
    return length


def decode_infer(
    body: memoryview,
    header_length: int | None,
    model: ModelMetadata,
    version: str,
    max_input_bytes: int,
    view_range: ViewRange = no_regions,
) -> DecodedInfer:
    """Read the body of `POST /v2/models/{m}/infer`.

    Args:
        body: The whole body, after decompression; binary inputs of the request are views of it.
        header_length: Bytes of JSON at its front; None: all of it; 0: raw, the body is the only input's data. An
            empty body is raw too, as in Triton.
        model: What the request is for.
        version: The version the client asked for; empty: none.
        max_input_bytes: The most bytes of JSON, of a tensor read from JSON, and of a raw body.
        view_range: Finds the inputs that are in shared memory; they are what it returns.

    Raises:
        InternalError: not JSON, or JSON of another form (Triton's texts; status 500).
        InvalidArgumentError: contradictory, of wrong size, or too large.
        NotFoundError: a tensor is in a shared-memory region that is not there.
        UnsupportedError: a sequence id of over 128 characters.
    """
    if header_length is None:
        header_length = len(body)
    if header_length == 0:
        return _decode_raw(body, model, version, max_input_bytes)
    if header_length > max_input_bytes:
        raise InvalidArgumentError(
            f"request JSON size of {header_length} bytes exceeds the maximum allowed input size of {max_input_bytes} "
            "bytes. Use --http-max-input-size to increase the limit."
        )
    declared, outputs, encodings, rest = _read_form(body[:header_length], model, max_input_bytes)
    inputs = place_inputs(declared, body[header_length:], model.name, view_range)
    return DecodedInfer(InferRequest(model.name, inputs, outputs, version, *rest), encodings)


class _Form(NamedTuple):
    """All that the JSON part says; `rest` are the fields of `InferRequest` from `id` on."""

    inputs: tuple[DeclaredInput, ...]
    outputs: tuple[RequestedOutput, ...]
    encodings: OutputEncodings
    rest: tuple[Any, ...]


def _read_form(text: memoryview, model: ModelMetadata, max_input_bytes: int) -> _Form:
    """Read the JSON part, with a memo.

    Clients of the binary extension send the same JSON again and again, byte for byte. The memo is keyed by all that is
    read and holds frozen values, so it can only give what reading would have given; tensors are never kept in it.
    """
    batching = model.max_batch_size > 0
    if len(text) <= _MEMOISED_FORM_BYTES:
        key = bytes(text)
        if b'"data"' not in key:
            return _remembered_form(key, model.name, batching, max_input_bytes)
    in_pieces = json_pieces.loads(text) if len(text) >= json_pieces.WORTH_BYTES else None
    if in_pieces is not None:
        with suppress(json_pieces.OutOfTheOrdinaryError):  # there is an error, which the whole text tells exactly
            return _form(in_pieces, model.name, batching, max_input_bytes)
    return _parse_form(text, model.name, batching, max_input_bytes)


def _parse_form(text: bytes | memoryview, model: str, batching: bool, max_input_bytes: int) -> _Form:
    return _form(json_text.loads(text), model, batching, max_input_bytes)


def _form(document: object, model: str, batching: bool, max_input_bytes: int) -> _Form:
    if type(document) is not dict:
        document = _NOTHING
    request_id = json_text.string(document, "id") if "id" in document else ""
    hints, all_binary = _parameters(document["parameters"]) if "parameters" in document else (_NOTHING, False)
    inputs = declare_inputs(document, model, request_id, max_input_bytes)
    encodings = OutputEncodings(batching, all_binary)
    outputs: tuple[RequestedOutput, ...] = ()
    if "outputs" in document:
        outputs, encodings = _outputs(document, encodings)
    request = InferRequest(model, (), outputs, id=request_id, **hints)
    return _Form(inputs, outputs, encodings, request[_FIRST_OF_REST:])


_remembered_form = lru_cache(_MEMOISED_FORMS)(_parse_form)


def _parameters(parameters: object) -> tuple[dict[str, Any], bool]:
    """Return the fields of `InferRequest` that the request's parameters set, and `binary_data_output`."""
    if type(parameters) is not dict:
        raise InternalError("failed to get request params.: attempt to get members for non-object")
    fields: dict[str, Any] = {}
    custom: dict[str, str | int | bool | float] = {}
    all_binary = False
    for key, value in parameters.items():
        match key:
            case "sequence_id":
                fields[key] = _sequence_id(value)
            case "sequence_start" | "sequence_end":
                fields[key] = json_text.boolean(value, key)
            case "priority":
                fields[key] = json_text.unsigned(value, key)
            case "timeout":
                fields["timeout_us"] = json_text.unsigned(value, key)
            case "binary_data_output":
                all_binary = json_text.boolean(value, key)
            case _ if key.startswith("triton_"):
                raise InvalidArgumentError(
                    "parameter keys starting with 'triton_' are reserved for Triton usage and should not be specified."
                )
            case _ if isinstance(value, str | int | float):
                custom[key] = value
            case _:
                raise InvalidArgumentError(
                    f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'."
                )
    if custom:
        fields["parameters"] = custom
    return fields, all_binary


def _sequence_id(value: object) -> int | str:
    if type(value) is int and value >= 0:
        return value
    if type(value) is not str:
        raise json_text.access_error("Unable to parse 'sequence_id'", "sequence_id", value, "string")
    if len(value.encode()) > _MAX_SEQUENCE_ID:
        raise UnsupportedError("string correlation ID cannot be longer than 128 characters")
    return value


def _outputs(
    document: Mapping[str, Any], encodings: OutputEncodings
) -> tuple[tuple[RequestedOutput, ...], OutputEncodings]:
    """Read the requested outputs; the ones that are listed are JSON unless they say binary themselves."""
    outputs: list[RequestedOutput] = []
    binary: list[str] = []
    classification: dict[str, int] = {}
    shared: dict[str, SharedMemoryRange] = {}
    for entry in json_text.array(document, "outputs"):
        member = entry if type(entry) is dict else _NOTHING
        name = json_text.string(member, "name")
        classes, is_binary, place = 0, False, None
        parameters = member.get("parameters")
        if type(parameters) is dict and parameters:
            classes, is_binary, place = _output_parameters(parameters)
        if is_binary:
            binary.append(name)
        if classes:
            classification[name] = classes
        if place is not None:
            shared[name] = place
        outputs.append(RequestedOutput(name, classes))
    if not outputs:
        return (), encodings
    return tuple(outputs), OutputEncodings(encodings.batching, False, frozenset(binary), classification, shared)


def _output_parameters(parameters: Mapping[str, Any]) -> tuple[int, bool, SharedMemoryRange | None]:
    """Return an output's `classification` (0: none), `binary_data`, and place in shared memory, if it has one."""
    if "shared_memory_region" in parameters:
        if "classification" in parameters:
            raise InvalidArgumentError("Output can't set both 'shared_memory_region' and 'classification'")
        if json_text.boolean(parameters.get("binary_data", False), "binary_data", "set"):
            raise InvalidArgumentError("Output can't set both 'shared_memory_region' and 'binary_data'")
    classes = json_text.unsigned(parameters.get("classification", 0), "classification", "set")
    place = shared_memory_range(parameters)
    return classes, json_text.boolean(parameters.get("binary_data", False), "binary_data"), place


def _decode_raw(body: memoryview, model: ModelMetadata, version: str, max_input_bytes: int) -> DecodedInfer:
    """Read a raw binary request: the body is the data of the model's only input, of batch size 1."""
    prefix = id_prefix("")
    if len(model.inputs) != 1:
        raise InvalidArgumentError(
            f"{prefix}Raw request must only have 1 input (found 1) to be deduced but got {len(model.inputs)} inputs in "
            f"'{model.name}' model configuration"
        )
    if len(body) > max_input_bytes:
        raise InvalidArgumentError(
            f"Raw input has a byte_size ({len(body)} bytes) that exceeds the maximum allowed value of "
            f"{max_input_bytes} bytes. Use --http-max-input-size to increase the limit."
        )
    tensor = model.inputs[0]
    batching = model.max_batch_size > 0
    batch, dims = ((1,), tensor.shape[1:]) if batching else ((), tensor.shape)
    data: Array | memoryview
    if tensor.datatype == "BYTES":
        if dims != (1,):
            raise InvalidArgumentError(
                f"{prefix}For BYTE datatype raw input '{tensor.name}', the model must have input shape [1]"
            )
        shape = (*batch, 1)
        data = np.array([bytes(body)], dtype=object)
    else:
        if dims.count(-1) > 1:
            raise InvalidArgumentError(
                f"{prefix}The shape of the raw input '{tensor.name}' can not be deduced because there are more than "
                "one variable-sized dimension"
            )
        fixed_bytes = element_count(dim for dim in dims if dim != -1) * DATATYPES[tensor.datatype].size_bytes
        shape = (*batch, *(len(body) // fixed_bytes if dim == -1 else dim for dim in dims))
        data = body
    request = InferRequest(model.name, (InputTensor(tensor.name, tensor.datatype, shape, data),), (), version)
    return DecodedInfer(request, OutputEncodings(batching, all_binary=True))


def decode_index_request(body: bytes | memoryview) -> bool:
    """Read the body of `POST /v2/repository/index`; return whether only ready models are asked for.

    Raises:
        InternalError: not JSON (Triton's text).
        InvalidArgumentError: `ready` is neither true nor false.
    """
    document = json_text.loads(body) if len(body) else None
    ready = document.get("ready", False) if type(document) is dict else False
    if type(ready) is not bool:
        raise InvalidArgumentError("Invalid value for 'ready': expected a boolean")
    return ready
