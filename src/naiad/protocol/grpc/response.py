# SPDX-License-Identifier: Apache-2.0
"""`InferResponse` → `ModelInferResponse` and `ModelStreamInferResponse`.

Written by hand, field after field, so that tensors go out as views of the arrays; what is the same in many responses is
remembered. Mirrors KServe v2's gRPC protocol with Triton's classification and parameters extensions.
May import `errors`, `tensors`, `requests`, `config.proto`, `wire` and `protocol`'s own modules.
"""

from collections.abc import Container, Mapping
from functools import lru_cache
from typing import NamedTuple

from naiad.config.proto import service_pb2
from naiad.protocol.classification import classify
from naiad.protocol.grpc.wire import field_head, length_delimited, packed
from naiad.protocol.timing_fields import timing_parameters
from naiad.requests import InferResponse, ParameterValue, RequestedOutput
from naiad.tensors import Array, encode_bytes

_Buffer = bytes | memoryview

_JOINED_BYTES = 16 * 1024
"""Up to here copying a tensor is cheaper than handing it on as a buffer of its own."""


class EncodedMessage(NamedTuple):
    """A message: `buffers` in order, `size_bytes` altogether."""

    buffers: list[_Buffer]
    size_bytes: int


def encode_infer(
    response: InferResponse,
    requested: tuple[RequestedOutput, ...],
    labels: Mapping[str, tuple[str, ...]],
    batching: bool,
    shared: Container[str] = (),
) -> EncodedMessage:
    """Write a `ModelInferResponse`.

    Args:
        response: What the engine gave.
        requested: The outputs that the request asked for, some perhaps classified.
        labels: The model's class labels by output.
        batching: Whether the first dimension is the batch, which classification must know.
        shared: The outputs that are in shared memory, of which only an empty tensor is sent.

    Raises:
        InvalidArgumentError: an output cannot be classified (Triton's texts).
    """
    return _join(_fields(response, _classes(requested), labels, batching, shared))


def encode_stream_response(
    response: InferResponse,
    requested: tuple[RequestedOutput, ...],
    labels: Mapping[str, tuple[str, ...]],
    batching: bool,
    shared: Container[str] = (),
    request_bytes: int = 0,
) -> EncodedMessage:
    """Write a `ModelStreamInferResponse`, with the parameter `triton_final_response`.

    If the response has a `timing`, that is among the parameters too, with the size of the request's message and that of
    the `ModelInferResponse` as it would be without.

    Raises:
        InvalidArgumentError: as `encode_infer`.
    """
    told = response._replace(parameters={**response.parameters, "triton_final_response": response.final})
    fields = _fields(told, _classes(requested), labels, batching, shared)
    if response.timing is not None:
        timing = timing_parameters(response.timing, request_bytes, sum(map(len, fields)))
        fields += [_parameter(name, value) for name, value in timing.items()]
    return _join([field_head(2, sum(map(len, fields))), *fields])


def encode_stream_error(
    text: str, request_id: str, model: tuple[str, str] | None = None, final: bool = True
) -> EncodedMessage:
    """Write the `ModelStreamInferResponse` of a request that failed.

    `model` names the model and its version if the request had got as far as it; then `final` is told, too.
    """
    response = service_pb2.ModelInferResponse(id=request_id)
    if model is not None:
        response.model_name, response.model_version = model
        response.parameters["triton_final_response"].bool_param = final
    text = text.encode(errors="replace").decode()
    message = service_pb2.ModelStreamInferResponse(error_message=text, infer_response=response).SerializeToString()
    return EncodedMessage([message], len(message))


def _classes(requested: tuple[RequestedOutput, ...]) -> Mapping[str, int]:
    return {output.name: output.classification for output in requested if output.classification}


def _fields(
    response: InferResponse,
    classes: Mapping[str, int],
    labels: Mapping[str, tuple[str, ...]],
    batching: bool,
    shared: Container[str],
) -> list[_Buffer]:
    """Write the fields in the order of their numbers, which protobuf's own writers keep."""
    fields: list[_Buffer] = [_model(response.model_name, response.model_version)]
    if response.id:
        fields.append(length_delimited(3, response.id.encode()))
    for key, value in response.parameters.items():
        fields.append(_parameter(key, value))
    raws: list[_Buffer] = []
    for name, datatype, shape, data in response.outputs:
        if name in classes:
            shape, data = classify(data, datatype, classes[name], labels.get(name, ()), batching)  # noqa: PLW2901
            datatype = "BYTES"  # noqa: PLW2901
        fields.append(_output(name, datatype, shape))
        raw = b"" if name in shared else _raw(data, datatype)
        raws += (field_head(6, len(raw)), raw)
    return fields + raws


@lru_cache(256)
def _model(name: str, version: str) -> bytes:
    return length_delimited(1, name.encode()) + length_delimited(2, version.encode())


@lru_cache(1024)
def _output(name: str, datatype: str, shape: tuple[int, ...]) -> bytes:
    content = length_delimited(1, name.encode()) + length_delimited(2, datatype.encode())
    return length_delimited(5, content + packed(3, shape) if shape else content)


def _parameter(key: str, value: ParameterValue) -> bytes:
    """Write an entry of `parameters`."""
    if isinstance(value, bool):
        return _flag(key, value)
    parameter = service_pb2.InferParameter()
    if isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value
    return _entry(key, parameter)


@lru_cache(64)
def _flag(key: str, value: bool) -> bytes:
    return _entry(key, service_pb2.InferParameter(bool_param=value))


def _entry(key: str, parameter: service_pb2.InferParameter) -> bytes:
    return length_delimited(4, length_delimited(1, key.encode()) + length_delimited(2, parameter.SerializeToString()))


def _raw(data: Array, datatype: str) -> _Buffer:
    if datatype == "BYTES":
        return encode_bytes(data)
    if data.nbytes <= _JOINED_BYTES:
        return data.tobytes()
    return data.reshape(-1).data.cast("B")


def _join(fields: list[_Buffer]) -> EncodedMessage:
    """Join neighbouring fields that are small, so that a message is as few buffers as pay off."""
    size = sum(map(len, fields))
    if size <= _JOINED_BYTES:
        return EncodedMessage([b"".join(fields)], size)
    buffers: list[_Buffer] = []
    small: list[_Buffer] = []
    for part in fields:
        if len(part) <= _JOINED_BYTES:
            small.append(part)
            continue
        if small:
            buffers.append(b"".join(small))
            small = []
        buffers.append(part)
    if small:
        buffers.append(b"".join(small))
    return EncodedMessage(buffers, size)
