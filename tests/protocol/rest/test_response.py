# SPDX-License-Identifier: Apache-2.0
"""Bodies of responses."""

import json
import math

import numpy as np
import pytest

from naiad.errors import InvalidArgumentError
from naiad.protocol.rest import response as rest_response
from naiad.protocol.rest.request import OutputEncodings
from naiad.protocol.rest.response import EncodedInfer, encode_error, encode_infer
from naiad.requests import InferResponse, OutputTensor, ParameterValue, SharedMemoryRange
from naiad.tensors import DATATYPES, Array

PLAIN = OutputEncodings(batching=False)
BINARY = OutputEncodings(batching=False, all_binary=True)


def output(name: str, datatype: str, array: Array) -> OutputTensor:
    return OutputTensor(name, datatype, array.shape, array)


def encode(
    *outputs: OutputTensor,
    encodings: OutputEncodings = PLAIN,
    parameters: dict[str, ParameterValue] | None = None,
    request_id: str = "",
) -> EncodedInfer:
    response = InferResponse("m", "3", outputs, request_id, parameters or {})
    return encode_infer(response, encodings, {"Y": ("cat", "dog")})


ONES = np.ones((1, 2), np.float32)


def test_members_come_in_tritons_order_and_the_empty_ones_not_at_all() -> None:
    (text,), json_length = encode(output("Y", "FP32", ONES))
    assert json_length is None
    assert text == (
        b'{"model_name":"m","model_version":"3","outputs":[{"name":"Y","datatype":"FP32","shape":[1,2],"data":[1.0,1.0]}]}'
    )
    (text,), _ = encode(parameters={"a": 1, "b": True, "c": "x", "d": 2.0}, request_id="r")
    assert text == (
        b'{"id":"r","model_name":"m","model_version":"3","parameters":{"a":1,"b":true,"c":"x","d":2.0},"outputs":[]}'
    )


def test_binary_outputs_are_views_of_the_arrays_in_order() -> None:
    first, second = np.arange(3, dtype=np.int16), ONES.copy()
    (text, *buffers), json_length = encode(output("A", "INT16", first), output("B", "FP32", second), encodings=BINARY)
    assert json_length == len(text)
    assert [row["parameters"]["binary_data_size"] for row in json.loads(bytes(text))["outputs"]] == [6, 8]
    assert [np.frombuffer(buffer, np.uint8).base is not None for buffer in buffers] == [True, True]
    assert np.shares_memory(np.frombuffer(buffers[0], np.int16), first)
    assert np.shares_memory(np.frombuffer(buffers[1], np.float32), second)


def test_only_the_outputs_that_ask_for_it_are_binary() -> None:
    encodings = OutputEncodings(batching=False, binary=frozenset({"B"}))
    (text, buffer), _ = encode(output("A", "FP32", ONES), output("B", "FP32", ONES), encodings=encodings)
    rows = json.loads(bytes(text))["outputs"]
    assert rows[0]["data"] == [1.0, 1.0]
    assert "data" not in rows[1]
    assert bytes(buffer) == ONES.tobytes()


def test_when_all_binary_outputs_are_empty_the_body_is_json_alone() -> None:
    buffers, json_length = encode(output("Y", "FP32", ONES[:0]), encodings=BINARY)
    assert json_length is None
    assert len(buffers) == 1
    assert b'"shape":[0,2],"parameters":{"binary_data_size":0}' in buffers[0]


@pytest.mark.parametrize(
    ("datatype", "array", "raw"),
    [
        ("BOOL", np.array([True, False]), b"\x01\x00"),
        ("FP16", np.array([1.0], np.float16), b"\x00\x3c"),
        ("BF16", np.array([0x3F80], np.uint16), b"\x80\x3f"),
        ("BYTES", np.array([b"ab", b""], dtype=object), b"\x02\x00\x00\x00ab\x00\x00\x00\x00"),
        ("INT8", np.arange(4, dtype=np.int8).reshape(2, 2).T, b"\x00\x02\x01\x03"),
        ("INT32", np.array(7, np.int32), b"\x07\x00\x00\x00"),
    ],
)
def test_every_datatype_has_a_binary_form(datatype: str, array: Array, raw: bytes) -> None:
    (_, buffer), _ = encode(output("Y", datatype, array), encodings=BINARY)
    assert bytes(buffer) == raw


def test_numbers_that_json_lacks_are_bare_tokens() -> None:
    values = np.array([math.nan, math.inf, -math.inf, 0.5], np.float32)
    (text,), _ = encode(
        output("null", "FP32", values),
        output("B", "FP64", values.astype(np.float64)),
        output("C", "FP64", np.array([2.0])),
        parameters={"p": math.nan, "q": "null"},
    )
    assert bytes(text).count(b'"data":[NaN,Infinity,-Infinity,0.5]') == 2
    assert b'"data":[2.0]' in text
    assert b'"parameters":{"p":NaN,"q":"null"}' in text


def test_strings_that_are_not_utf8_go_out_as_they_are() -> None:
    (text,), _ = encode(output("Y", "BYTES", np.array([b'\xff"\n', "é".encode(), "è"], dtype=object)))
    assert b'"data":["\xff\\"\\n","\xc3\xa9","\xc3\xa8"]' in text


def test_a_class_list_takes_the_place_of_the_tensor() -> None:
    encodings = OutputEncodings(batching=True, classification={"Y": 1})
    (text,), _ = encode(output("Y", "INT32", np.array([[1, 5, 2], [9, 0, 8]], np.int32)), encodings=encodings)
    assert b'{"name":"Y","datatype":"BYTES","shape":[2,1],"data":["5:1:dog","9:0:cat"]}' in text
    encodings = OutputEncodings(batching=False, binary=frozenset({"Y"}), classification={"Y": 1})
    (_, buffer), _ = encode(output("Y", "INT32", np.array([1, 5], np.int32)), encodings=encodings)
    assert bytes(buffer) == b"\x07\x00\x00\x005:1:dog"


def test_half_precision_as_json_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^sending FP16 data via JSON is not supported"):
        encode(output("Y", "FP16", np.zeros(1, np.float16)))


@pytest.mark.parametrize(
    ("text", "body"),
    [("no 'x'", b'{"error":"no \'x\'"}'), ('"é"', b'{"error":"\\"\xc3\xa9\\""}'), ("/a\udcff", b'{"error":"/a?"}')],
)
def test_an_error_can_always_be_told(text: str, body: bytes) -> None:
    assert encode_error(text) == body


@pytest.mark.parametrize("datatype", ["FP32", "INT64", "BOOL"])
def test_tensors_of_many_numbers_are_written_in_pieces_to_the_same_text(
    datatype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(1000).astype(DATATYPES[datatype].dtype)
    if datatype == "FP32":
        numbers[[0, 499, 999]] = np.nan, np.inf, 0.1
    outputs = tuple(OutputTensor(name, datatype, (1000,), numbers) for name in "ABC")
    response, encodings = InferResponse("m", "1", outputs, "i"), OutputEncodings(False, binary=frozenset("B"))
    whole, whole_length = encode_infer(response, encodings, {})
    monkeypatch.setattr(rest_response, "_PIECE_ELEMENTS", 64)
    pieces, length = encode_infer(response, encodings, {})
    assert len(pieces) > 50
    assert b"".join(pieces) == b"".join(whole)
    assert length == whole_length


def test_a_signalling_nan_is_written_like_any_other() -> None:
    numbers = np.frombuffer(b"\x01\0\x80\x7f\0\0\x80\x3f", np.float32)
    assert b'"data":[NaN,1.0]' in encode(output("A", "FP32", numbers)).buffers[0]


@pytest.mark.parametrize("all_binary", [False, True])
def test_of_an_output_in_shared_memory_only_the_shape_is_told(all_binary: bool) -> None:
    encodings = OutputEncodings(False, all_binary, shared={"Y": SharedMemoryRange("r", 0, 8)})
    (text,), length = encode(output("Y", "FP16", np.zeros(4, np.float16)), encodings=encodings)
    assert b'"outputs":[{"name":"Y","datatype":"FP16","shape":[4]}]' in text
    assert length is None
