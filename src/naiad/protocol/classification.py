# SPDX-License-Identifier: Apache-2.0
"""The classification extension: an output's top K values, as strings `value:index[:label]`.

May import numpy, `errors` and `tensors`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from naiad.errors import InvalidArgumentError
from naiad.tensors import Array, element_count

MAX_CLASSES: Final = 1_000_000
"""The most elements a batch item may have (Triton's limit)."""

_UNSUPPORTED: Final = frozenset(("BYTES", "BOOL", "FP16", "BF16"))


def classify(
    array: Array, datatype: str, count: int, labels: Sequence[str], batching: bool
) -> tuple[tuple[int, ...], Array]:
    """Return shape and elements (`bytes`) of the BYTES tensor that stands for an output's top `count` classes.

    Each batch item (`batching`: the first dimension; else the whole tensor) is flattened and sorted, greatest
    first, equal values by index, NaN last. Floats are written as C's `%f` does, and an index beyond `labels` gets
    no label. Mirrors Triton's `TopkClassifications`.

    Raises:
        InvalidArgumentError: the datatype cannot be classified, or an item has over `MAX_CLASSES` elements
            (Triton's texts).
    """
    if datatype in _UNSUPPORTED:
        raise InvalidArgumentError(f"class result not available for output due to unsupported type '{datatype}'")
    leading = array.shape[:1] if batching else ()
    classes = element_count(array.shape[len(leading) :])
    if classes > MAX_CLASSES:
        raise InvalidArgumentError("classification output tensor too large")
    shape = (*leading, min(count, classes))
    form = "%f" if array.dtype.kind == "f" else "%d"
    strings = [
        _class(form, row[index], index, labels)
        for row in array.reshape(element_count(leading), classes)
        for index in _descending(row)[:count].tolist()
    ]
    result = np.empty(len(strings), dtype=object)
    result[:] = strings
    return shape, result.reshape(shape)


def _descending(row: Array) -> Array:
    # ~x and -x turn the order round without overflow; a stable sort keeps equal values in the order of their indices.
    return np.argsort(-row if row.dtype.kind == "f" else ~row, kind="stable")


def _class(form: str, value: object, index: int, labels: Sequence[str]) -> bytes:
    label = f":{labels[index]}" if index < len(labels) and labels[index] else ""
    return f"{form % value}:{index}{label}".encode()
