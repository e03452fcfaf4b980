# SPDX-License-Identifier: Apache-2.0
"""Triton's generate extension: one flat JSON object → `InferRequest`, `InferResponse` → one flat JSON object.

Members called as inputs of the model are tensors, the others are parameters for the model.
May import `errors`, `tensors`, `requests`, `snapshots` and `protocol`'s own modules.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.rest import json_text, tensor_json
from naiad.requests import InferRequest, InferResponse, InputTensor, ParameterValue, id_prefix
from naiad.snapshots import ModelMetadata, TensorMetadata
from naiad.tensors import DATATYPES


def decode_generate(body: bytes | memoryview, model: ModelMetadata, version: str, max_input_bytes: int) -> InferRequest:
    """Read the body of `POST /v2/models/{m}/generate`.

    Args:
        body: The whole body.
        model: What the request is for.
        version: The version the client asked for; empty: none.
        max_input_bytes: The most bytes of JSON.

    Raises:
        InternalError: not JSON, or a value of another kind (Triton's texts; status 500).
        InvalidArgumentError: a value that is neither a tensor of its input's shape nor a parameter, an input that is
            given twice, or too large.
    """
    if len(body) > max_input_bytes:
        raise InvalidArgumentError(
            f"request JSON size of {len(body)} bytes exceeds the maximum allowed input size of {max_input_bytes} "
            "bytes. Use --http-max-input-size to increase the limit."
        )
    document = json_text.loads(body)
    if _may_repeat_inputs(body, model):
        document = json_text.loads_all_members(body)
    if not isinstance(document, dict):
        raise InternalError("attempt to get members for non-object")
    reading = _Reading(model, json_text.string(document, "id") if "id" in document else "")
    for key, value in document.items():
        if key == "parameters":
            reading.take_nested(value)
        elif key != "id":
            reading.take(key, value)
    inputs = tuple(reading.inputs.values())
    return InferRequest(model.name, inputs, (), version, reading.request_id, reading.parameters)


def _may_repeat_inputs(body: bytes | memoryview, model: ModelMetadata) -> bool:
    """Tell whether an input may be given twice, of which the usual parser would tell the last only."""
    text = bytes(body)
    return any(text.count(f'"{tensor.name}"'.encode()) > 1 for tensor in model.inputs)


class _Reading:
    """What has been read of a request so far."""

    def __init__(self, model: ModelMetadata, request_id: str) -> None:
        self.request_id = request_id
        self.inputs: dict[str, InputTensor] = {}
        self.parameters: dict[str, ParameterValue] = {}
        self._model = model
        self._expected: Mapping[str, TensorMetadata] = {tensor.name: tensor for tensor in model.inputs}

    def take_nested(self, members: object) -> None:
        """Take the members of `parameters` as if they stood beside it."""
        if not isinstance(members, dict):
            raise InternalError(
                "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object"
            )
        try:
            for key, value in members.items():
                self.take(key, value)
        except NaiadError as error:
            raise type(error)(f"Converting keyword: 'parameters': {error}") from None

    def take(self, key: str, value: object) -> None:
        """Take a member as the input of that name, or else as a parameter."""
        expected = self._expected.get(key)
        if expected is not None:
            if key in self.inputs:
                raise InvalidArgumentError(f"{id_prefix(self.request_id)}input '{key}' already exists in request")
            self.inputs[key] = self._tensor(expected, value)
        elif isinstance(value, str | int | float):
            self.parameters[key] = value
        else:
            raise InvalidArgumentError(
                f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'."
            )

    def _tensor(self, expected: TensorMetadata, value: object) -> InputTensor:
        elements = value if type(value) is list else [value]
        shape = _shape(expected, len(elements))
        row = DATATYPES[expected.datatype]
        if not elements:
            return InputTensor(expected.name, row.name, shape, np.empty(0, row.dtype))
        declaration = tensor_json.Declaration(expected.name, row, len(elements))
        data = tensor_json.decode(elements, declaration, self.request_id, self._model.name)
        return InputTensor(expected.name, row.name, shape, data)


def _shape(expected: TensorMetadata, elements: int) -> tuple[int, ...]:
    """Return the shape that so many elements have: the innermost variable dimension takes what fixed ones leave."""
    left = elements
    for dim in expected.shape:
        if dim == -1:
            continue
        if not dim or left % dim:
            raise _misfit(expected)
        left //= dim
    shape: list[int] = []
    for dim in reversed(expected.shape):
        if dim == -1:
            dim, left = left, 1  # noqa: PLW2901
        shape.insert(0, dim)
    if left != 1:
        raise _misfit(expected)
    return tuple(shape)


def _misfit(expected: TensorMetadata) -> InvalidArgumentError:
    return InvalidArgumentError(f"The schema can not convert input '{expected.name}' to tensor with proper shape")


def encode_generate(response: InferResponse) -> bytes:
    """Write a response: its parameters and outputs beside the model's name, members in the order of their names.

    A tensor of one element is that element, others are flat arrays.

    Raises:
        InvalidArgumentError: an output has no JSON form (Triton's text).
    """
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document |= {"model_name": response.model_name, "model_version": response.model_version, **response.parameters}
    for name, datatype, _, data in response.outputs:
        values = tensor_json.encode(data, datatype)
        document[name] = values[0] if len(values) == 1 else values
    ordered = dict(sorted(document.items()))
    text = orjson.dumps(ordered, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" not in text:
        return text
    # Numbers that JSON does not have, perhaps; or a text that says "null".
    return orjson.dumps({key: _with_all_numbers(value) for key, value in ordered.items()})


def _with_all_numbers(value: Any) -> object:  # noqa: ANN401 - arrays, elements and parameters
    if isinstance(value, np.ndarray | np.generic):
        return tensor_json.encode_numbers(value.tolist())
    return tensor_json.encode_numbers(value) if isinstance(value, float) else value


def with_members(text: bytes, members: Mapping[str, int]) -> bytes:
    """Return the JSON text of an object that is not empty, with further members at its end."""
    return text[:-1] + b"," + orjson.dumps(members)[1:]


def encode_event(text: bytes) -> bytes:
    """Write a server-sent event of a JSON text."""
    return b"data: " + text + b"\n\n"
