# SPDX-License-Identifier: Apache-2.0
"""`ModelInferRequest` → `InferRequest`.

Mirrors KServe v2's gRPC protocol with Triton's parameters: what Triton's gRPC front end checks is checked here, in its
order and with its texts; names, shapes, datatypes and byte sizes are the engine's to hold against the model. Raw
tensors stay views of the message.
May import protobuf, numpy, `errors`, `tensors`, `requests`, `config.proto`, `protocol.shared_memory` and `wire`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
from google.protobuf.message import DecodeError

from naiad.config.proto import service_pb2
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnsupportedError
from naiad.protocol.grpc.wire import MOST_FIELDS, TooManyFieldsError, check_field_count, split_infer_request
from naiad.protocol.shared_memory import ViewRange, no_regions
from naiad.requests import InferRequest, InputTensor, RequestedOutput, SharedMemoryRange
from naiad.tensors import BYTES, DATATYPES, Array, encode_bytes

_INVALID_DATATYPE: Final = "<invalid>"  # how Triton's core names a datatype it does not know
_EMPTY_FINAL: Final = "triton_enable_empty_final_response"
_MAX_SEQUENCE_ID: Final = 128
_MEMOISED_BYTES: Final = 2048
_STOL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")

_CONTENTS: Final = (
    ("bool_contents", "BOOL", ("BOOL",)),
    ("int_contents", "INT32", ("INT8", "INT16", "INT32")),
    ("int64_contents", "INT64", ("INT64",)),
    ("uint_contents", "UINT32", ("UINT8", "UINT16", "UINT32")),
    ("uint64_contents", "UINT64", ("UINT64",)),
    ("fp32_contents", "FP32", ("FP32",)),
    ("fp64_contents", "FP64", ("FP64",)),
    ("bytes_contents", "BYTES", ("BYTES",)),
)
"""Field of `InferTensorContents`, the datatype it is named after, the datatypes it may hold; in Triton's order."""


class _Input(NamedTuple):
    """An input as it is declared. `contents` is its typed data, if any; `place` where it is, if in shared memory."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    contents: service_pb2.InferTensorContents | None
    place: SharedMemoryRange | None


@dataclass(frozen=True, slots=True, eq=False)
class Declaration:
    """All of a request but its id and its raw tensors; the same for many requests, so worked out once.

    `fault` is what is wrong with it, to be raised once the model is known, as Triton does. `enable_empty_final` asks
    for a response that only says that it is the last. `shared` tells which outputs go where in shared memory.
    """

    model_name: str
    model_version: str
    inputs: tuple[_Input, ...] = ()
    outputs: tuple[RequestedOutput, ...] = ()
    shared: Mapping[str, SharedMemoryRange] = field(default_factory=dict)
    hints: Mapping[str, Any] = field(default_factory=dict)
    enable_empty_final: bool = False
    fault: NaiadError | None = None


class RpcRequest(NamedTuple):
    """A request as it was read; `to_request` makes the engine's of it."""

    declaration: Declaration
    id: str
    raws: tuple[memoryview, ...]

    def to_request(self, view_range: ViewRange = no_regions) -> InferRequest:
        """Return the request for the engine; `view_range` finds the inputs that are in shared memory.

        Raises:
            InvalidArgumentError: parameters or data are wrong (Triton's texts).
            NotFoundError: a tensor is in a shared-memory region that is not there.
            UnsupportedError: a sequence id of over 128 characters.
        """
        declaration = self.declaration
        if declaration.fault is not None:
            # A new one: an error that is kept and raised again keeps the frames of every time, and their messages.
            raise type(declaration.fault)(*declaration.fault.args)
        inputs = declaration.inputs
        only = inputs[0] if len(inputs) == 1 and len(self.raws) == 1 else None
        if only is not None and only.contents is None and only.place is None:
            tensors: tuple[InputTensor, ...] = (InputTensor(only.name, only.datatype, only.shape, self.raws[0]),)
        else:
            tensors = _tensors(declaration, self.raws, view_range)
        return InferRequest(
            declaration.model_name,
            tensors,
            declaration.outputs,
            declaration.model_version,
            self.id,
            **declaration.hints,
        )


def read_infer(message: memoryview) -> RpcRequest:
    """Read a `ModelInferRequest`; raw tensors are views of `message`.

    Raises:
        InternalError: it is none (Triton's text).
        InvalidArgumentError: it has very many fields.
    """
    try:
        split = split_infer_request(message)
        if split is None:
            check_field_count(message)
            return _read_whole(message)
        declaration, request_id, raws = split
        read = _remembered if len(declaration) <= _MEMOISED_BYTES else _read
        return RpcRequest(read(declaration), str(request_id, "utf-8"), raws)
    except (DecodeError, UnicodeDecodeError):
        raise InternalError("Unable to parse request") from None
    except TooManyFieldsError:
        raise InvalidArgumentError(
            f"request has more than {MOST_FIELDS} inputs, outputs, parameters and tensors, send only those of the model"
        ) from None


def _read_whole(message: memoryview) -> RpcRequest:
    proto = service_pb2.ModelInferRequest.FromString(message)  # type: ignore[arg-type]  # upb takes any buffer
    raws = tuple(memoryview(raw) for raw in proto.raw_input_contents)
    return RpcRequest(_declaration(proto), proto.id, raws)


def _read(declaration: bytes) -> Declaration:
    return _declaration(service_pb2.ModelInferRequest.FromString(declaration))


_remembered = lru_cache(256)(_read)


def _declaration(proto: service_pb2.ModelInferRequest) -> Declaration:
    try:
        hints, enable_empty_final = _parameters(proto.parameters)
        inputs = tuple([_input(entry) for entry in proto.inputs])
        outputs, shared = _outputs(proto.outputs)
    except NaiadError as fault:
        return Declaration(proto.model_name, proto.model_version, fault=fault)
    return Declaration(proto.model_name, proto.model_version, inputs, outputs, shared, hints, enable_empty_final)


def read_version(text: str) -> str:
    """Return the version asked for, in decimal; empty if the server may choose.

    Raises:
        InvalidArgumentError: the text does not begin with a number, or with a negative one (Triton's texts).
    """
    if not text:
        return ""
    match = _STOL.match(text)
    number = int(match[1]) if match and len(match[1]) <= 20 else 2**63
    if not -(2**63) <= number < 2**63:  # a C++ long
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{text}' (details: stol), version should be an "
            "integral value > 0"
        )
    if number < 0:
        raise InvalidArgumentError(
            f"invalid model version specified '{text}' , version should be an integral value > 0"
        )
    return str(number)


def _parameters(parameters: Mapping[str, service_pb2.InferParameter]) -> tuple[dict[str, Any], bool]:
    """Return the fields of `InferRequest` that the request's parameters set, and whether the empty final is wanted."""
    fields: dict[str, Any] = {}
    custom: dict[str, str | int | bool | float] = {}
    enable_empty_final = False
    for key, parameter in parameters.items():
        match key:
            case "sequence_id":
                fields[key] = _sequence_id(parameter)
            case "sequence_start" | "sequence_end":
                fields[key] = _value(key, parameter, "bool_param")
            case "priority":
                fields[key] = _priority(parameter)
            case "timeout":
                fields["timeout_us"] = max(_value(key, parameter, "int64_param"), 0)
            case _ if key == _EMPTY_FINAL:
                enable_empty_final = _value(key, parameter, "bool_param")
            case _ if key.startswith("triton_"):
                raise InvalidArgumentError(
                    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys "
                    f"starting with 'triton_' are allowed: {_EMPTY_FINAL}"
                )
            case _:
                custom[key] = _custom(key, parameter)
    if custom:
        fields["parameters"] = custom
    return fields, enable_empty_final


def _value(key: str, parameter: service_pb2.InferParameter, kind: str) -> Any:  # noqa: ANN401 - of that kind
    if parameter.WhichOneof("parameter_choice") != kind:
        raise InvalidArgumentError(f"invalid value type for '{key}' parameter, expected {kind}.")
    return getattr(parameter, kind)


def _sequence_id(parameter: service_pb2.InferParameter) -> int | str:
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param % 2**64
        case "string_param":
            if len(parameter.string_param.encode()) > _MAX_SEQUENCE_ID:
                raise UnsupportedError("string correlation ID cannot be longer than 128 characters")
            return parameter.string_param
    raise InvalidArgumentError("invalid value type for 'sequence_id' parameter, expected int64_param or string_param.")


def _priority(parameter: service_pb2.InferParameter) -> int:
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            if parameter.int64_param < 0:
                raise InvalidArgumentError("invalid value for 'priority', expected value >= 0.")
            return parameter.int64_param
        case "uint64_param":
            return parameter.uint64_param
    raise InvalidArgumentError("invalid value type for 'priority' parameter, expected int64_param or uint64_param.")


def _custom(key: str, parameter: service_pb2.InferParameter) -> str | int | bool | float:
    match parameter.WhichOneof("parameter_choice"):
        case "int64_param":
            return parameter.int64_param
        case "bool_param":
            return parameter.bool_param
        case "string_param":
            return parameter.string_param
        case "double_param":
            return parameter.double_param
    raise InvalidArgumentError(
        f"invalid value type for '{key}' parameter, expected int64_param, bool_param, or string_param."
    )


def _input(entry: service_pb2.ModelInferRequest.InferInputTensor) -> _Input:
    datatype = entry.datatype if entry.datatype in DATATYPES else _INVALID_DATATYPE
    contents = entry.contents if entry.HasField("contents") else None
    return _Input(entry.name, datatype, tuple(entry.shape), contents, _place(entry.name, entry.parameters))


def _place(tensor: str, parameters: Mapping[str, service_pb2.InferParameter]) -> SharedMemoryRange | None:
    """Return where in shared memory a tensor's parameters say that it is; None if they don't."""
    if not parameters:
        return None
    if "shared_memory_region" not in parameters:
        for key in ("shared_memory_offset", "shared_memory_byte_size"):
            if key in parameters:
                raise InvalidArgumentError(
                    f"'{key}' can not be specified without 'shared_memory_region' parameter for tensor '{tensor}'"
                )
        return None
    for key, kind in _REGION_PARAMETERS:
        if key in parameters and parameters[key].WhichOneof("parameter_choice") != kind:
            raise InvalidArgumentError(
                f"invalid value type for '{key}' parameter for tensor '{tensor}', expected {kind}."
            )
    if "shared_memory_byte_size" not in parameters:
        raise InvalidArgumentError(
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor "
            f"'{tensor}'"
        )
    offset = parameters["shared_memory_offset"].int64_param if "shared_memory_offset" in parameters else 0
    size_bytes = parameters["shared_memory_byte_size"].int64_param
    return SharedMemoryRange(parameters["shared_memory_region"].string_param, offset, size_bytes)


_REGION_PARAMETERS: Final = (
    ("shared_memory_region", "string_param"),
    ("shared_memory_offset", "int64_param"),
    ("shared_memory_byte_size", "int64_param"),
)


def _outputs(
    entries: Iterable[service_pb2.ModelInferRequest.InferRequestedOutputTensor],
) -> tuple[tuple[RequestedOutput, ...], Mapping[str, SharedMemoryRange]]:
    """Return the requested outputs, and which of them go where in shared memory."""
    outputs: list[RequestedOutput] = []
    shared: dict[str, SharedMemoryRange] = {}
    for entry in entries:
        place = _place(entry.name, entry.parameters)
        classes = _classes(entry.parameters, place) if "classification" in entry.parameters else 0
        if place is not None:
            shared[entry.name] = place
        outputs.append(RequestedOutput(entry.name, classes))
    return tuple(outputs), shared


def _classes(parameters: Mapping[str, service_pb2.InferParameter], place: SharedMemoryRange | None) -> int:
    parameter = parameters["classification"]
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        raise InvalidArgumentError("invalid value type for 'classification' parameter, expected int64_param")
    if parameter.int64_param <= 0:
        raise InvalidArgumentError("invalid value for 'classification' parameter, expected >= 0")
    if place is not None:
        raise InvalidArgumentError("output can't set both 'shared_memory_region' and 'classification'")
    return parameter.int64_param


def _tensors(declaration: Declaration, raws: tuple[memoryview, ...], view_range: ViewRange) -> tuple[InputTensor, ...]:
    """Give each input its data; raw tensors come in the order of the inputs that need one, surplus ones are ignored."""
    model = declaration.model_name
    left = iter(raws)
    tensors: list[InputTensor] = []
    for entry in declaration.inputs:
        name, contents = entry.name, entry.contents
        data: Array | memoryview | None
        if entry.place is not None:
            if contents is not None:
                raise InvalidArgumentError(
                    f"unexpected 'content' provided when using shared memory for input tensor '{name}' for model "
                    f"'{model}'"
                )
            data = view_range(entry.place)
        elif contents is not None:
            if raws:
                raise InvalidArgumentError(
                    f"contents field must not be specified when using raw_input_contents for '{name}' for model "
                    f"'{model}'"
                )
            data = _typed(entry, contents, model)
        else:
            data = next(left, None)
            if data is None:
                raise InvalidArgumentError(
                    f"unable to find data for input tensor '{name}' for model '{model}' in request."
                )
        tensors.append(InputTensor(name, entry.datatype, entry.shape, data))
    return tuple(tensors)


def _typed(entry: _Input, contents: service_pb2.InferTensorContents, model: str) -> Array | memoryview:
    """Return typed data as the engine takes it; integers are narrowed without a check, as Triton does."""
    filled = [(own, allowed, values) for name, own, allowed in _CONTENTS if (values := getattr(contents, name))]
    if not filled:
        return memoryview(b"")
    own, allowed, values = filled[0]
    unexpected = f"unexpected explicit tensor data for input tensor '{entry.name}' for model '{model}'"
    if entry.datatype not in allowed:
        raise InvalidArgumentError(f"{unexpected} of type '{own}', expected datatype '{entry.datatype}'")
    if len(filled) > 1:
        raise InvalidArgumentError(f"{unexpected}, binary data was already supplied.")
    if own == "BYTES":
        elements = np.empty(len(values), dtype=BYTES.dtype)
        elements[:] = values
        return memoryview(encode_bytes(elements))
    return np.array(values, dtype=DATATYPES[own].dtype).astype(DATATYPES[entry.datatype].dtype, copy=False)
