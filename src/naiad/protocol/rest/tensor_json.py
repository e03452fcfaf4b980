# SPDX-License-Identifier: Apache-2.0
"""A tensor's `data` in JSON ⇄ a numpy array.

`data` is row-major, flat or nested to any depth up to 100; the nesting need not follow the shape, only the number
of elements counts. Integers wrap like C's when they are too large for the datatype. FP16 and BF16 have no JSON form.
May import `errors`, `tensors`, `requests`, `json_text` and `json_pieces`.
"""

import json
from array import array
from collections.abc import Mapping
from itertools import chain, groupby
from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import rapidjson

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.rest.json_pieces import OutOfTheOrdinaryError
from naiad.protocol.rest.json_text import MAX_DEPTH, access_error, nesting_error
from naiad.requests import id_prefix
from naiad.tensors import Array, DataType


class _Form(NamedTuple):
    """How a datatype is written: Python types of its JSON values, Triton's words when they are others.

    `holder` is the typecode of the `array.array` that takes the values as Triton's own C++ variable does: checked
    against 64 bits for integers, rounded to infinity for floats, without numpy's warnings.
    """

    kinds: frozenset[type]
    error: str
    holder: str


_SIGNED: Final = _Form(frozenset({int}), "'data': attempt to access JSON non-signed-integer as signed-integer", "q")
_UNSIGNED: Final = _Form(
    frozenset({int}), "'data': attempt to access JSON non-unsigned-integer as unsigned-integer", "Q"
)
_NUMBER: Final = _Form(frozenset({int, float}), "'data': attempt to access JSON non-number as double", "d")
_STRING: Final = _Form(frozenset({str}), "JSON bytes array: attempt to access JSON non-string as string", "")

_FORMS: Final[Mapping[str, _Form]] = {
    "BOOL": _Form(frozenset({bool}), "'data': attempt to access JSON non-boolean as boolean", "b"),
    **dict.fromkeys(("UINT8", "UINT16", "UINT32", "UINT64"), _UNSIGNED),
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64"), _SIGNED),
    "FP32": _NUMBER._replace(holder="f"),
    "FP64": _NUMBER,
    "BYTES": _STRING,
}

_HELD: Final = {
    code: np.dtype(dtype) for code, dtype in (("b", "?"), ("q", "i8"), ("Q", "u8"), ("f", "f4"), ("d", "f8"))
}


class Declaration(NamedTuple):
    """What a request says of an input whose `data` is read here; `elements` is how many its shape has."""

    name: str
    datatype: DataType
    elements: int


def decode(data: object, tensor: Declaration, request_id: str, model: str) -> Array:
    """Read an input's `data` into a flat array of as many elements as its shape has; those of BYTES are `bytes`.

    Raises:
        InternalError: not an array, an element of another kind, or not as many as the shape has (Triton's texts).
        InvalidArgumentError: FP16 or BF16, nested too deep, or BYTES not as many as the shape has.
        OutOfTheOrdinaryError: `data` came in pieces, and one of these errors is there.
    """
    form = _FORMS.get(tensor.datatype.name)
    if form is None:
        raise InvalidArgumentError(
            f"receiving {tensor.datatype.name} data via JSON is not supported. Please use the binary data format for "
            f"input {tensor.name}"
        )
    elements, kinds = _flatten(data)
    if np.ndarray in kinds:
        return _joined(elements, form, tensor)
    if len(elements) != tensor.elements or not kinds <= form.kinds:
        raise _data_error(elements, form, tensor, request_id, model)
    if form is _STRING:
        strings = np.empty(tensor.elements, dtype=object)
        strings[:] = [element.encode() for element in elements]
        return strings
    try:
        held = array(form.holder, elements)
    except OverflowError:
        raise InternalError(f"Unable to parse {form.error}") from None
    return np.frombuffer(held, _HELD[form.holder]).astype(tensor.datatype.dtype, copy=False)


def _joined(elements: list[Any], form: _Form, tensor: Declaration) -> Array:
    """Return what `decode` does, from elements among which are arrays that `json_pieces` made of many."""
    if form is _STRING or int not in form.kinds:
        raise OutOfTheOrdinaryError
    result = np.empty(tensor.elements, tensor.datatype.dtype)
    position = 0
    for is_piece, group in groupby(elements, lambda element: type(element) is np.ndarray):
        for part in group if is_piece else (_held(list(group), form),):
            if (part.dtype.kind == "f" and float not in form.kinds) or position + part.size > tensor.elements:
                raise OutOfTheOrdinaryError
            if form is _UNSIGNED and part.dtype.kind == "i" and part.min() < 0:
                raise OutOfTheOrdinaryError
            # Integers become floats by way of double, as in Triton.
            number = part.astype(np.float64, copy=False) if form is _NUMBER else part
            with np.errstate(over="ignore"):
                result[position : position + part.size] = number.astype(result.dtype)
            position += part.size
    if position != tensor.elements:
        raise OutOfTheOrdinaryError
    return result


def _held(elements: list[Any], form: _Form) -> Array:
    if not form.kinds.issuperset(map(type, elements)):
        raise OutOfTheOrdinaryError
    try:
        return np.frombuffer(array(form.holder, elements), _HELD[form.holder])
    except OverflowError:
        raise OutOfTheOrdinaryError from None


def _flatten(data: object) -> tuple[list[Any], set[type]]:
    """Return the elements of nested arrays in order, and their Python types.

    Each pass takes off one level that is arrays throughout, so that all of them together touch each element once;
    where arrays and values are mixed the rest is walked.
    """
    if type(data) is not list:
        raise access_error("Unable to parse 'data'", "data", data, "array")
    kinds = set(map(type, data))
    depth = 1
    while list in kinds:
        depth += 1
        if depth > MAX_DEPTH:
            raise nesting_error("Unable to parse 'data': ")
        if len(kinds) > 1:
            elements: list[Any] = []
            _walk(data, depth - 1, elements)
            return elements, set(map(type, elements))
        data = list(chain.from_iterable(data))
        kinds = set(map(type, data))
    return data, kinds


def _walk(data: list[Any], depth: int, elements: list[Any]) -> None:
    if depth > MAX_DEPTH:
        raise nesting_error("Unable to parse 'data': ")
    for item in data:
        if type(item) is list:
            _walk(item, depth + 1, elements)
        else:
            elements.append(item)


def _data_error(elements: list[Any], form: _Form, tensor: Declaration, request_id: str, model: str) -> NaiadError:
    """Return the error Triton comes upon first, reading from the front."""
    wrong = next((i for i, element in enumerate(elements) if type(element) not in form.kinds), None)
    if wrong is not None and (wrong < tensor.elements or form is _STRING):
        return InternalError(f"Unable to parse {form.error}")
    if form is not _STRING:
        return InternalError("Unable to parse 'data': Shape does not match true shape of 'data' field")
    where = f"for inference input '{tensor.name}' for model '{model}'"
    if len(elements) < tensor.elements:
        text = f"expected {tensor.elements} string elements {where}, got {len(elements)}"
    else:
        text = f"unexpected number of string elements {tensor.elements + 1} {where}, expecting {tensor.elements}"
    return InvalidArgumentError(id_prefix(request_id) + text)


def encode(tensor: Array, datatype: str) -> Array | list[Any]:
    """Return an output's elements in a form that `orjson` with `OPT_SERIALIZE_NUMPY` writes as Triton does.

    FP32 is written as the exact double of each element. NaN and infinities come out as `null`; see `encode_numbers`.

    Raises:
        InvalidArgumentError: FP16 or BF16 (Triton's text).
    """
    if datatype == "BYTES":
        return [_string(element) for element in tensor.ravel().tolist()]
    if datatype == "FP32":
        with np.errstate(invalid="ignore"):  # a signalling NaN becomes a quiet one, with a warning
            return tensor.astype(np.float64).reshape(-1)
    if datatype not in _FORMS:
        raise InvalidArgumentError(
            f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
        )
    return tensor.reshape(-1)


def _string(element: bytes | str) -> str | orjson.Fragment:
    """Return a BYTES element as a JSON string; bytes that are not UTF-8 go out as they are, as from Triton."""
    if isinstance(element, str):
        return element
    try:
        return element.decode()
    except UnicodeDecodeError:
        text = json.dumps(element.decode(errors="surrogateescape"), ensure_ascii=False)
        return orjson.Fragment(text.encode(errors="surrogateescape"))


def encode_numbers(numbers: object) -> orjson.Fragment:
    """Write numbers among which are NaN or infinities, as the bare tokens Triton writes: NaN, Infinity, -Infinity."""
    return orjson.Fragment(rapidjson.dumps(numbers, ensure_ascii=False, number_mode=rapidjson.NM_NAN))
