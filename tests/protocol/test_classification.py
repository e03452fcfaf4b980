# SPDX-License-Identifier: Apache-2.0
"""The top classes of an output."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InvalidArgumentError
from naiad.protocol.classification import MAX_CLASSES, classify

LABELS = ("cat", "", "dog")


def test_values_are_sorted_greatest_first_with_index_and_label() -> None:
    shape, classes = classify(np.array([3.1, 5, 4, 1], np.float32), "FP32", 4, LABELS, batching=False)
    assert shape == (4,)
    assert classes.tolist() == [b"5.000000:1", b"4.000000:2:dog", b"3.100000:0:cat", b"1.000000:3"]


def test_each_batch_item_is_flattened_and_sorted_alone() -> None:
    array = np.array([[[1, 2], [3, 4]], [[8, 7], [6, 5]]], np.int64)
    shape, classes = classify(array, "INT64", 2, (), batching=True)
    assert shape == (2, 2)
    assert classes.tolist() == [[b"4:3", b"3:2"], [b"8:0", b"7:1"]]


def test_more_classes_than_there_are_gives_all() -> None:
    assert classify(np.zeros((2, 3), np.float32), "FP32", 9, (), batching=True)[0] == (2, 3)
    assert classify(np.zeros((0, 3), np.float32), "FP32", 9, (), batching=True)[0] == (0, 3)
    assert classify(np.zeros((2, 0), np.float32), "FP32", 9, (), batching=True)[0] == (2, 0)


def test_equal_values_keep_their_order_and_nan_comes_last() -> None:
    array = np.array([2, math.nan, 3, 2, -math.inf, math.inf], np.float64)
    _, classes = classify(array, "FP64", 6, (), batching=False)
    assert classes.tolist() == [b"inf:5", b"3.000000:2", b"2.000000:0", b"2.000000:3", b"-inf:4", b"nan:1"]


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1), st.booleans())
def test_integers_sort_right_up_to_their_limits(numbers: list[int], signed: bool) -> None:
    array = np.array(numbers, np.uint64).view(np.int64 if signed else np.uint64)
    _, classes = classify(array, "INT64" if signed else "UINT64", len(numbers), (), batching=False)
    values = array.tolist()
    expected = sorted(range(len(values)), key=lambda index: -values[index])
    assert classes.tolist() == [f"{values[index]}:{index}".encode() for index in expected]


@pytest.mark.parametrize("datatype", ["BYTES", "BOOL", "FP16", "BF16"])
def test_some_datatypes_have_no_classes(datatype: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        classify(np.zeros(2), datatype, 1, (), batching=False)
    assert str(caught.value) == f"class result not available for output due to unsupported type '{datatype}'"


def test_an_item_has_at_most_a_million_elements() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^classification output tensor too large$"):
        classify(np.zeros((1, MAX_CLASSES + 1), np.uint8), "UINT8", 1, (), batching=True)
