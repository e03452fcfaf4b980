# SPDX-License-Identifier: Apache-2.0
"""JSON text read and written."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InternalError, InvalidArgumentError
from naiad.protocol.rest import json_text


def test_what_is_not_json_in_the_strict_sense_is_read_as_triton_reads_it() -> None:
    nan, *infinities = json_text.loads(b"[NaN, Infinity, -Infinity, Inf]")
    assert math.isnan(nan)
    assert infinities == [math.inf, -math.inf, math.inf]
    assert json_text.loads(b"\xef\xbb\xbf{}") == {}
    assert json_text.loads(b'{"a": 1}\0\0\x80?') == {"a": 1}


@pytest.mark.parametrize("text", [b"[18446744073709551616]", b"[18446744073709551616, NaN]"])
def test_integers_beyond_64_bits_are_floats_whichever_parser_reads_them(text: bytes) -> None:
    value = json_text.loads(text)[0]
    assert type(value) is float
    assert value == 2**64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "The document is empty. at 0"),
        (b'{"a":', "Invalid value. at 5"),
        (b'{"a":"\x01"}', "Invalid escape character in string. at 6"),
        (b'{"a":"\xff"}', "Invalid encoding in string. at 6"),
        (b"{} \xff", "The document root must not be followed by other values. at 3"),
        (b'{"a\0": 1}', "Missing a closing quotation mark in string. at 3"),
        (b"[" + b"9" * 400 + b"]", "Number too big to be stored in double. at 1"),
    ],
)
def test_what_is_no_json_is_told_in_rapidjson_words(text: bytes, reason: str) -> None:
    with pytest.raises(InternalError) as caught:
        json_text.loads(text)
    assert str(caught.value) == f"failed to parse the request JSON buffer: {reason}"


@pytest.mark.parametrize("text", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 1100 + b"]" * 1100])
def test_nesting_cannot_use_up_the_stack(text: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^JSON nesting depth exceeds maximum allowed limit \(100\)$"):
        json_text.loads(text)


def test_brackets_inside_strings_do_not_nest() -> None:
    assert json_text.loads(b'["' + b"[" * 200 + b'\\"[", NaN]')[0] == "[" * 200 + '"['


@given(st.binary() | st.text(alphabet='{}[]",:\\NaInftyu0e1.- ').map(str.encode))
def test_any_bytes_are_a_value_or_an_error_for_the_client(text: bytes) -> None:
    with suppress(InternalError, InvalidArgumentError):
        json_text.loads(memoryview(text))
