# SPDX-License-Identifier: Apache-2.0
"""The `inputs` of an inference request over HTTP → `InputTensor`s, in two steps.

`declare_inputs` reads what the JSON says, `place_inputs` gives each input its data: elements of the JSON, or bytes
behind it, or in a shared-memory region (views, never copied).
May import `errors`, `tensors`, `requests`, `snapshots` and `protocol`'s own modules.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from naiad.errors import InvalidArgumentError
from naiad.protocol.rest import json_text, tensor_json
from naiad.protocol.shared_memory import ViewRange
from naiad.requests import InputTensor, SharedMemoryRange
from naiad.tensors import BYTES, DATATYPES, MAX_TENSOR_BYTES, Array

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_INVALID_DATATYPE: Final = "<invalid>"  # how Triton's core names a datatype it does not know


class DeclaredInput(NamedTuple):
    """An input as the JSON declares it: its `data` came in the JSON, or is at `place`.

    `place` is how many bytes it takes behind the JSON, or where in a shared-memory region it lies.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | None
    place: int | SharedMemoryRange


def declare_inputs(
    document: Mapping[str, Any], model: str, request_id: str, max_input_bytes: int
) -> tuple[DeclaredInput, ...]:
    """Read `inputs`.

    Raises:
        InternalError: a member is missing or of another kind (Triton's texts).
        InvalidArgumentError: not exactly one source of data, a datatype, shape or size that cannot be.
    """
    inputs: list[DeclaredInput] = []
    for entry in json_text.array(document, "inputs"):
        parameters = _check_source(entry)
        name = json_text.string(entry, "name")
        datatype = json_text.string(entry, "datatype")
        row = DATATYPES.get(datatype)
        shape, elements = _shape(entry, name, row.dtype.itemsize if row else 1)
        place = _place(parameters)
        data: Array | None = None
        if place is None and elements:
            if row is None:
                raise InvalidArgumentError(f"invalid datatype for input {name}")
            declaration = tensor_json.Declaration(name, row, elements)
            data = _decode_json(entry["data"], declaration, request_id, model, max_input_bytes)
        elif row is None:
            datatype = _INVALID_DATATYPE
        # Of an input with no elements Triton does not look at the `data`: it has no bytes.
        inputs.append(DeclaredInput(name, datatype, shape, data, place or 0))
    return tuple(inputs)


def place_inputs(
    declared: tuple[DeclaredInput, ...], tail: memoryview, model: str, view_range: ViewRange
) -> tuple[InputTensor, ...]:
    """Give the inputs their data.

    `tail` holds the binary ones, back to back in the order of the inputs; `view_range` finds those in shared memory.

    Raises:
        InvalidArgumentError: bytes are missing or left over, or beyond the end of a shared-memory region.
        NotFoundError: there is no such region.
    """
    inputs: list[InputTensor] = []
    position = 0
    for name, datatype, shape, data, place in declared:
        if data is not None:
            inputs.append(InputTensor(name, datatype, shape, data))
        elif isinstance(place, SharedMemoryRange):
            inputs.append(InputTensor(name, datatype, shape, view_range(place)))
        else:
            start, position = position, position + place
            if position > len(tail):
                raise InvalidArgumentError(
                    f"unexpected size for input '{name}', expecting {position - len(tail)} additional bytes for model "
                    f"'{model}'"
                )
            inputs.append(InputTensor(name, datatype, shape, tail[start:position]))
    if position != len(tail):
        raise InvalidArgumentError(f"unexpected additional input data for model '{model}'")
    return tuple(inputs)


def _check_source(entry: object) -> Mapping[str, Any]:
    """Check that an input has exactly one source of data; return its parameters."""
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
    return parameters


def _place(parameters: Mapping[str, Any]) -> int | SharedMemoryRange | None:
    """Return an input's `binary_data_size`, its place in shared memory, or None for JSON `data`."""
    if not parameters:
        return None
    if "binary_data_size" in parameters:
        return json_text.unsigned(parameters["binary_data_size"], "binary_data_size")
    return shared_memory_range(parameters)


def shared_memory_range(parameters: Mapping[str, Any]) -> SharedMemoryRange | None:
    """Read where in shared memory a tensor lies; without an offset at the region's start.

    Returns:
        The place, of size 0 where that is not given; None without a region, whose offset and size must be right too.

    Raises:
        InternalError: one of the parameters is of another kind (Triton's texts).
    """
    has_region = "shared_memory_region" in parameters
    region = json_text.string(parameters, "shared_memory_region") if has_region else ""
    offset, size_bytes = (
        json_text.unsigned(parameters.get(key, 0), key) for key in ("shared_memory_offset", "shared_memory_byte_size")
    )
    return SharedMemoryRange(region, offset, size_bytes) if has_region else None


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
