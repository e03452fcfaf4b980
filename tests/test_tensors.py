# SPDX-License-Identifier: Apache-2.0
"""The datatype table and the coding of BYTES and BF16."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InvalidArgumentError
from naiad.tensors import (
    BY_CONFIG_NAME,
    DATATYPES,
    bf16_to_float32,
    datatype_of,
    decode_bytes,
    encode_bytes,
)


def test_every_datatype_has_one_row_under_both_names() -> None:
    assert len(DATATYPES) == len(BY_CONFIG_NAME) == 14
    assert BY_CONFIG_NAME["TYPE_STRING"] is DATATYPES["BYTES"]
    assert BY_CONFIG_NAME["TYPE_FP16"].size_bytes == 2


@pytest.mark.parametrize("name", [name for name in DATATYPES if name != "BF16"])
def test_a_numpy_array_finds_its_datatype(name: str) -> None:
    assert datatype_of(np.zeros(1, DATATYPES[name].dtype)).name == name


def test_big_endian_arrays_and_strings_find_theirs_too() -> None:
    assert datatype_of(np.zeros(1, ">f4")).name == "FP32"
    assert datatype_of(np.array(["a"])).name == "BYTES"


def test_a_dtype_without_a_datatype_is_named_with_a_way_out() -> None:
    with pytest.raises(InvalidArgumentError, match=r"'complex128' has no KServe datatype.*astype"):
        datatype_of(np.zeros(1, np.complex128))


@given(st.lists(st.binary(max_size=9), max_size=9))
def test_bytes_come_back_as_they_went(elements: list[bytes]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    assert decode_bytes(encode_bytes(array), [len(elements)], "x", "m").tolist() == elements


def test_text_is_coded_as_utf8() -> None:
    assert encode_bytes(np.array(["é"], dtype=object)) == b"\x02\x00\x00\x00\xc3\xa9"


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"", "expected 1 string elements for inference input 'x' for model 'm', got 0"),
        (
            b"\x00\x00\x00\x00\x00\x00\x00\x00",
            "unexpected number of string elements 2 for inference input 'x' for model 'm', expecting 1",
        ),
        (
            b"\x05\x00",
            (
                "incomplete string length indicator for inference input 'x' for model 'm', expecting 4 bytes but only "
                "2 bytes available. Please make sure the string length indicator is in one buffer."
            ),
        ),
        (
            b"\x05\x00\x00\x00ab",
            "incomplete string data for inference input 'x', expecting string of length 5 but only 2 bytes available",
        ),
    ],
)
def test_damaged_bytes_are_refused(raw: bytes, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode_bytes(raw, [1], "x", "m")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\x05\x00\x00\x00ab", "expected 2 string elements for inference input 'x' for model 'm', got 1"),
        (
            b"\x00\x00\x00\x00" * 2 + b"\x05",
            "incomplete string length indicator for inference input 'x' for model 'm', ",
        ),
        (b"\x00\x00\x00\x00\x05\x00\x00\x00ab", "incomplete string data for inference input 'x', expecting string of "),
        (b"\x00\x00\x00\x00" * 2 + b"\xff" * 4, "unexpected number of string elements 3 for inference input 'x' for "),
    ],
)
def test_of_several_damages_tritons_first_is_told(raw: bytes, text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode_bytes(raw, [2], "x", "m")
    assert str(caught.value).startswith(text)


def test_bf16_widens_exactly() -> None:
    bits = np.array([0x3F80, 0xC020, 0x0000, 0x7F80], np.uint16)
    assert bf16_to_float32(bits).tolist() == [1.0, -2.5, 0.0, np.inf]
    assert np.isnan(bf16_to_float32(np.array([0x7FC0], np.uint16))).all()
