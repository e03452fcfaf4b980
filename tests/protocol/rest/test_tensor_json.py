# SPDX-License-Identifier: Apache-2.0
"""Tensors in JSON."""

from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InternalError, InvalidArgumentError
from naiad.protocol.rest import tensor_json
from naiad.tensors import DATATYPES, Array


def decode(data: object, datatype: str, elements: int) -> Array:
    declaration = tensor_json.Declaration("X", DATATYPES[datatype], elements)
    return tensor_json.decode(data, declaration, "", "m")


def nested(depth: int) -> list[Any]:
    data: list[Any] = [1]
    for _ in range(depth - 1):
        data = [data]
    return data


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1], 2], [[[3]], 4]], [1, [2, 3], [], 4]])
def test_nesting_does_not_matter_only_the_order_of_the_elements(data: list[Any]) -> None:
    array = decode(data, "FP32", 4)
    assert array.dtype == np.float32
    assert array.tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("beside", [[], [7]], ids=["arrays throughout", "mixed with values"])
def test_data_may_nest_a_hundred_deep_and_no_deeper(beside: list[Any]) -> None:
    assert decode([nested(99), *beside], "INT8", 1 + len(beside))[0] == 1
    with pytest.raises(InvalidArgumentError, match=r"^Unable to parse 'data': JSON nesting depth exceeds"):
        decode([nested(100), *beside], "INT8", 1 + len(beside))


@given(st.integers(-(2**63), 2**63 - 1), st.sampled_from(["INT8", "INT16", "INT32", "INT64"]))
def test_signed_integers_wrap_as_in_c(number: int, datatype: str) -> None:
    bits = 8 * DATATYPES[datatype].size_bytes
    wrapped = (number + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)
    assert decode([number], datatype, 1).tolist() == [wrapped]


@given(st.integers(0, 2**64 - 1), st.sampled_from(["UINT8", "UINT16", "UINT32", "UINT64"]))
def test_unsigned_integers_wrap_as_in_c(number: int, datatype: str) -> None:
    assert decode([number], datatype, 1).tolist() == [number % 2 ** (8 * DATATYPES[datatype].size_bytes)]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ([1, 2, "x"], "Unable to parse 'data': attempt to access JSON non-number as double"),
        ([1, 2, 3, "x"], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        (["x"], "Unable to parse 'data': attempt to access JSON non-number as double"),
        ([1, 2], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
    ],
)
def test_of_two_faults_the_first_is_told(data: list[Any], text: str) -> None:
    with pytest.raises(InternalError) as caught:
        decode(data, "FP32", 3)
    assert str(caught.value) == text


def test_strings_become_utf8_bytes() -> None:
    assert decode([["é"], [""]], "BYTES", 2).tolist() == [b"\xc3\xa9", b""]


def test_a_strided_array_is_written_row_by_row() -> None:
    data = tensor_json.encode(np.arange(6, dtype=np.int32).reshape(2, 3).T, "INT32")
    assert orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY) == b"[0,3,1,4,2,5]"


@pytest.mark.parametrize(("array", "text"), [(np.array([True, False]), b"[true,false]"), (np.array([7], "u1"), b"[7]")])
def test_values_are_written_in_the_form_of_their_datatype(array: Array, text: bytes) -> None:
    datatype = "BOOL" if array.dtype == bool else "UINT8"
    assert orjson.dumps(tensor_json.encode(array, datatype), option=orjson.OPT_SERIALIZE_NUMPY) == text


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_has_no_json_form(datatype: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^sending {datatype} data via JSON is not supported"):
        tensor_json.encode(np.zeros(1, DATATYPES[datatype].dtype), datatype)
    with pytest.raises(InvalidArgumentError, match=rf"^receiving {datatype} data .* for input X$"):
        decode([1.0], datatype, 1)
