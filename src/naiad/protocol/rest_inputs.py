# SPDX-License-Identifier: Apache-2.0
"""The `inputs` of an inference request over HTTP → `InputTensor`s, in two steps.

`declare_inputs` reads what the JSON says, `place_inputs` gives each input its data: elements of the JSON, or bytes
behind it (a view, never copied). A shared-memory region is never found: there are none yet.
May import `errors`, `tensors`, `requests`, `snapshots` and its neighbours in `protocol`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, NoReturn

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol import json_text, tensor_json
from naiad.requests import InputTensor
from naiad.tensors import BYTES, DATATYPES, MAX_TENSOR_BYTES, Array

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_INVALID_DATATYPE: Final = "<invalid>"  # how Triton's core names a datatype it does not know


class DeclaredInput(NamedTuple):
    """An input as the JSON declares it; without `data`, which came in the JSON, it has `size_bytes` behind the JSON."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | None
    size_bytes: int


def declare_inputs(
    document: Mapping[str, Any], model: str, request_id: str, max_input_bytes: int
) -> tuple[DeclaredInput, ...]:
    """Read `inputs`.

    Raises:
        InternalError: a member is missing or of another kind (Triton's texts).
        InvalidArgumentError: not exactly one source of data, a datatype, shape or size that cannot be.
        NotFoundError: the data is in a shared-memory region.
    """
    inputs: list[DeclaredInput] = []
    for entry in json_text.array(document, "inputs"):
        size = _check_source(entry)
        name = json_text.string(entry, "name")
        datatype = json_text.string(entry, "datatype")
        row = DATATYPES.get(datatype)
        shape, elements = _shape(entry, name, row.dtype.itemsize if row else 1)
        data: Array | None = None
        if size is None and elements:
            if row is None:
                raise InvalidArgumentError(f"invalid datatype for input {name}")
            declaration = tensor_json.Declaration(name, row, elements)
            data = _decode_json(entry["data"], declaration, request_id, model, max_input_bytes)
        elif row is None:
            datatype = _INVALID_DATATYPE
        # Of an input with no elements Triton does not look at the `data`: it has no bytes.
        inputs.append(DeclaredInput(name, datatype, shape, data, size or 0))
    return tuple(inputs)


def place_inputs(declared: tuple[DeclaredInput, ...], tail: memoryview, model: str) -> tuple[InputTensor, ...]:
    """Give the inputs their data; `tail` holds the binary ones, back to back in the order of the inputs.

    Raises:
        InvalidArgumentError: bytes are missing or left over.
    """
    inputs: list[InputTensor] = []
    position = 0
    for name, datatype, shape, data, size_bytes in declared:
        if data is None:
            start, position = position, position + size_bytes
            if position > len(tail):
                raise InvalidArgumentError(
                    f"unexpected size for input '{name}', expecting {position - len(tail)} additional bytes for model "
                    f"'{model}'"
                )
            inputs.append(InputTensor(name, datatype, shape, tail[start:position]))
        else:
            inputs.append(InputTensor(name, datatype, shape, data))
    if position != len(tail):
        raise InvalidArgumentError(f"unexpected additional input data for model '{model}'")
    return tuple(inputs)


def _check_source(entry: object) -> int | None:
    """Check that an input has exactly one source of data; return its `binary_data_size`, None for JSON `data`."""
    if type(entry) is not dict:
        entry = _NOTHING
    parameters = entry.get("parameters")
    if type(parameters) is not dict:
        parameters = _NOTHING
    binary, shared = "binary_data_size" in parameters, "shared_memory_region" in parameters
    if ("data" in entry) + binary + shared != 1:
        sources = {"data": "data" in entry, "binary_data_size": binary, "shared_memory_region": shared}
        found = "".join(f" '{source}'" for source, is_set in sources.items() if is_set)
        raise InvalidArgumentError(
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
            f"'shared_memory_region' in 'parameters'. But {f'set{found}' if found else 'no field is set'}"
        )
    if shared:
        refuse_shared_memory(parameters)
    return json_text.unsigned(parameters["binary_data_size"], "binary_data_size") if binary else None


def refuse_shared_memory(parameters: Mapping[str, Any]) -> NoReturn:
    """Raise Triton's error for a tensor in a shared-memory region: none is ever there.

    Raises:
        InternalError: one of its parameters is of another kind.
        NotFoundError: else.
    """
    region = json_text.string(parameters, "shared_memory_region")
    check_shared_memory_range(parameters)
    raise NotFoundError(f"Unable to find shared memory region: '{region}'")


def check_shared_memory_range(parameters: Mapping[str, Any]) -> None:
    """Check that offset and size of a shared-memory region, where given, are unsigned integers.

    Raises:
        InternalError: they are something else (Triton's texts).
    """
    for member in ("shared_memory_offset", "shared_memory_byte_size"):
        json_text.unsigned(parameters.get(member, 0), member)


def _shape(entry: Mapping[str, Any], name: str, item_bytes: int) -> tuple[tuple[int, ...], int]:
    """Return the shape of an input and its number of elements, which Triton takes to be 0 for a shape of `[]`."""
    shape = json_text.array(entry, "shape")
    elements, volume = int(bool(shape)), 1
    for dimension in shape:
        if type(dimension) is not int or dimension < 0:
            raise json_text.access_error("Unable to parse 'shape'", "shape", dimension, "unsigned-integer")
        elements *= dimension
        volume *= dimension or 1  # no dimension may be beyond 64 bits, beside a zero either
        if volume > MAX_TENSOR_BYTES:
            raise InvalidArgumentError(
                f"invalid shape for input '{name}': shape [{','.join(map(str, shape))}] causes total element count to "
                f"exceed maximum size of {MAX_TENSOR_BYTES}"
            )
    if volume * item_bytes > MAX_TENSOR_BYTES:
        raise InvalidArgumentError(
            f"byte size overflow for input '{name}': shape [{','.join(map(str, shape))}] with elements of {item_bytes} "
            f"bytes exceeds maximum size of {MAX_TENSOR_BYTES}"
        )
    return tuple(shape), elements


def _decode_json(
    data: object, tensor: tensor_json.Declaration, request_id: str, model: str, max_input_bytes: int
) -> Array:
    size_bytes = tensor.elements * tensor.datatype.size_bytes
    if size_bytes > max_input_bytes:
        raise _too_large(tensor.name, size_bytes, max_input_bytes)
    array = tensor_json.decode(data, tensor, request_id, model)
    if tensor.datatype is BYTES:
        size_bytes = sum(4 + len(element) for element in array.tolist())  # as coded: length, then the bytes
        if size_bytes > max_input_bytes:
            raise _too_large(tensor.name, size_bytes, max_input_bytes)
    return array


def _too_large(name: str, size_bytes: int, max_input_bytes: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"JSON input '{name}' has a byte_size ({size_bytes} bytes) that exceeds the maximum allowed value of "
        f"{max_input_bytes} bytes. Use --http-max-input-size to increase the limit."
    )
