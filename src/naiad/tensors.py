# SPDX-License-Identifier: Apache-2.0
"""The datatype table, and the coding of BYTES and BF16 elements.

KServe v2 name ⇄ `ModelConfig` enum name ⇄ numpy dtype, in one place. BF16 has no numpy dtype: its raw 16 bits
travel as `uint16`. BYTES elements are Python `bytes` in an object array.
May import numpy and `errors`, nothing else.
"""

import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from naiad.errors import InvalidArgumentError

Array = npt.NDArray[Any]

MAX_TENSOR_BYTES = 2**63 - 1


@dataclass(frozen=True, slots=True)
class DataType:
    """One row of the datatype table.

    `name` is KServe's ("FP32"), `config_name` the `ModelConfig` enum's ("TYPE_FP32"), `size_bytes` the size of
    one element or 0 for BYTES, whose elements differ in length.
    """

    name: str
    config_name: str
    dtype: np.dtype[Any]
    size_bytes: int


def _row(name: str, dtype: str, config_name: str = "") -> DataType:
    kind = np.dtype(dtype)
    return DataType(name, config_name or f"TYPE_{name}", kind, 0 if kind.hasobject else kind.itemsize)


BYTES = _row("BYTES", "O", "TYPE_STRING")
BF16 = _row("BF16", "<u2")

DATATYPES: Mapping[str, DataType] = {
    row.name: row
    for row in (
        _row("BOOL", "?"),
        _row("UINT8", "u1"),
        _row("UINT16", "<u2"),
        _row("UINT32", "<u4"),
        _row("UINT64", "<u8"),
        _row("INT8", "i1"),
        _row("INT16", "<i2"),
        _row("INT32", "<i4"),
        _row("INT64", "<i8"),
        _row("FP16", "<f2"),
        BF16,
        _row("FP32", "<f4"),
        _row("FP64", "<f8"),
        BYTES,
    )
}
"""KServe name → row, in the order of the KServe v2 specification."""

BY_CONFIG_NAME: Mapping[str, DataType] = {row.config_name: row for row in DATATYPES.values()}
"""`ModelConfig` enum name ("TYPE_FP32") → row."""

_BY_DTYPE: Mapping[str, DataType] = {row.dtype.str: row for row in DATATYPES.values() if row is not BF16}


def datatype_of(array: Array) -> DataType:
    """Return the row of a numpy array's dtype; strings and bytes are BYTES, `uint16` is UINT16.

    Raises:
        InvalidArgumentError: no KServe datatype holds that dtype.
    """
    if array.dtype.kind in "OSU":
        return BYTES
    row = _BY_DTYPE.get(array.dtype.newbyteorder("<").str)
    if row is None:
        raise InvalidArgumentError(
            f"numpy dtype '{array.dtype}' has no KServe datatype, expected one of {', '.join(DATATYPES)}; "
            "convert the array with .astype() first"
        )
    return row


def element_count(shape: Iterable[int]) -> int:
    """Return the number of elements of a shape; 1 for a scalar."""
    return math.prod(shape)


_LENGTH = struct.Struct("<I")


def encode_bytes(array: Array) -> bytes:
    """Code a BYTES tensor: for each element, row-major, a uint32 little-endian length and the bytes.

    Mirrors KServe v2, binary tensor data extension. `str` elements are coded as UTF-8.
    """
    parts: list[bytes] = []
    for element in array.ravel(order="C").tolist():
        raw = element.encode() if isinstance(element, str) else bytes(element)
        parts += (_LENGTH.pack(len(raw)), raw)
    return b"".join(parts)


def decode_bytes(buffer: memoryview | bytes, shape: Sequence[int], tensor: str, model: str) -> Array:
    """Decode a BYTES tensor into an object array of `bytes` of `shape`.

    `tensor` and `model` only name the thing in an error.

    Raises:
        InvalidArgumentError: the buffer holds more or fewer elements than the shape, or ends inside one
            (Triton's texts).
    """
    count = element_count(shape)
    view = memoryview(buffer)
    elements: list[bytes] = []
    position, end = 0, len(view)
    while position < end:
        start = position + _LENGTH.size
        if start > end:
            raise InvalidArgumentError(
                f"incomplete string length indicator for inference input '{tensor}' for model '{model}', expecting "
                f"{_LENGTH.size} bytes but only {end - position} bytes available. Please make sure the string length "
                "indicator is in one buffer."
            )
        if len(elements) == count:
            raise InvalidArgumentError(
                f"unexpected number of string elements {count + 1} for inference input '{tensor}' for model "
                f"'{model}', expecting {count}"
            )
        position = start + _LENGTH.unpack_from(view, position)[0]
        if position > end and len(elements) + 1 < count:
            raise _too_few(len(elements) + 1, count, tensor, model)
        if position > end:
            raise InvalidArgumentError(
                f"incomplete string data for inference input '{tensor}', expecting string of length "
                f"{position - start} but only {end - start} bytes available"
            )
        elements.append(view[start:position].tobytes())
    if len(elements) != count:
        raise _too_few(len(elements), count, tensor, model)
    array = np.empty(count, dtype=object)
    array[:] = elements
    return array.reshape(tuple(shape))


def _too_few(found: int, count: int, tensor: str, model: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"expected {count} string elements for inference input '{tensor}' for model '{model}', got {found}"
    )


def bf16_to_float32(array: Array) -> npt.NDArray[np.float32]:
    """Widen raw BF16 bits (`uint16`) to `float32`; exact."""
    return (array.astype(np.uint32) << 16).view(np.float32)
