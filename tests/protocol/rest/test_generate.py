# SPDX-License-Identifier: Apache-2.0
"""The generate extension, with texts that Triton 2.51 answered."""

import json
from collections.abc import Mapping

import numpy as np
import pytest

from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.protocol.rest.generate import decode_generate, encode_event, encode_generate, with_members
from naiad.requests import InferRequest, InferResponse, OutputTensor
from naiad.snapshots import ModelMetadata, TensorMetadata

INPUTS = (
    TensorMetadata("ROWS", "FP32", (-1, 4)),
    TensorMetadata("FIXED", "INT32", (2,)),
    TensorMetadata("FREE", "INT8", (-1, 2, -1)),
    TensorMetadata("TEXT", "BYTES", (-1, 1)),
    TensorMetadata("HALF", "FP16", (1,)),
)
MODEL = ModelMetadata("m", ("1",), "p", INPUTS, ())
MISFITS: tuple[Mapping[str, object], ...] = (
    *({"ROWS": 1.0}, {"ROWS": [[1, 2, 3, 4]]}, {"ROWS": [1] * 5}, {"ROWS": None}, {"ROWS": {}}),
    *({"FIXED": [1]}, {"FIXED": [1] * 4}, {"FIXED": []}, {"FREE": [1]}),
)
NO_PARAMETERS: tuple[object, ...] = (None, [1], {})
NO_ID = "[request id: <id_unknown>]"


def decode(body: object, limit: int = 1 << 20) -> InferRequest:
    return decode_generate(body if isinstance(body, bytes) else json.dumps(body).encode(), MODEL, "3", limit)


@pytest.mark.parametrize(
    ("name", "value", "shape", "elements"),
    [
        ("ROWS", [1, 2, 3, 4.5], (1, 4), [1, 2, 3, 4.5]),
        ("ROWS", [0] * 8, (2, 4), [0] * 8),
        ("ROWS", [], (0, 4), []),
        ("FIXED", [5, 6], (2,), [5, 6]),
        ("FREE", [1, 2, 3, 4, 5, 6], (1, 2, 3), [1, 2, 3, 4, 5, 6]),
        ("TEXT", "a", (1, 1), [b"a"]),
        ("TEXT", ["a", "\u2603"], (2, 1), [b"a", "\u2603".encode()]),
    ],
)
def test_members_called_as_inputs_are_tensors(name: str, value: object, shape: object, elements: object) -> None:
    for document in ({name: value}, {"parameters": {name: value}}):
        (tensor,) = decode(document).inputs
        assert isinstance(tensor.data, np.ndarray)
        assert (tensor.name, tensor.shape, tensor.data.tolist()) == (name, shape, elements)
        assert tensor.datatype == next(one.datatype for one in INPUTS if one.name == name)


def test_all_other_members_are_parameters() -> None:
    request = decode({"id": "7", "a": 1, "timeout": "x", "parameters": {"b": True, "id": 0.5}, "triton_c": "d"})
    assert (request.model_name, request.model_version, request.id) == ("m", "3", "7")
    assert request.parameters == {"a": 1, "timeout": "x", "b": True, "id": 0.5, "triton_c": "d"}
    assert (request.inputs, request.outputs, request.timeout_us) == ((), (), 0)


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        (b"", InternalError, "failed to parse the request JSON buffer: The document is empty. at 0"),
        (b"[]", InternalError, "attempt to get members for non-object"),
        ({"id": 7}, InternalError, "Unable to parse 'id': attempt to access JSON non-string as string"),
        *(
            (
                member,
                InvalidArgumentError,
                f"The schema can not convert input '{next(iter(member))}' to tensor with proper shape",
            )
            for member in MISFITS
        ),
        ({"ROWS": ["a"] * 4}, InternalError, "Unable to parse 'data': attempt to access JSON non-number as double"),
        (
            {"HALF": 1.0},
            InvalidArgumentError,
            ("receiving FP16 data via JSON is not supported. Please use the binary data format for input HALF"),
        ),
        *(
            (
                {"p": value},
                InvalidArgumentError,
                "parameter 'p' has invalid type. It should be either 'int', 'bool', or 'string'.",
            )
            for value in NO_PARAMETERS
        ),
        (
            {"parameters": 1},
            InternalError,
            "Expected JSON object for keyword: 'parameters': attempt to access JSON non-object as object",
        ),
        (
            {"parameters": {"n": {}}},
            InvalidArgumentError,
            (
                "Converting keyword: 'parameters': parameter 'n' has invalid type. It should be either 'int', 'bool', "
                "or 'string'."
            ),
        ),
        (
            {"FIXED": [1, 2], "parameters": {"FIXED": [1, 2]}},
            InvalidArgumentError,
            f"Converting keyword: 'parameters': {NO_ID} input 'FIXED' already exists in request",
        ),
        (
            b'{"FIXED":[1,2],"FIXED":[1,2]}',
            InvalidArgumentError,
            f"{NO_ID} input 'FIXED' already exists in request",
        ),
        (
            b'{"parameters":{"FIXED":[1,2]},"a":1,"a":[1],"FIXED":[1,2]}',
            InvalidArgumentError,
            "parameter 'a' has invalid type. It should be either 'int', 'bool', or 'string'.",
        ),
    ],
)
def test_what_is_wrong_is_told_in_tritons_words(body: object, kind: type[NaiadError], text: str) -> None:
    with pytest.raises(kind) as caught:
        decode(body)
    assert str(caught.value) == text


def test_an_inputs_name_may_be_a_text_too() -> None:
    request = decode({"FIXED": [1, 2], "a": "FIXED", "parameters": {"b": 2**64}})
    assert request.parameters == {"a": "FIXED", "b": 2.0**64}
    assert [tensor.name for tensor in request.inputs] == ["FIXED"]


def test_a_body_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="request JSON size of 12 bytes exceeds the maximum"):
        decode(b'{"a":"1234"}', limit=11)


@pytest.mark.parametrize(
    ("values", "datatype", "text"),
    [
        (np.array([[0.1]], np.float32), "FP32", "0.10000000149011612"),
        (np.array([0.5, np.nan, -np.inf], np.float64), "FP64", "[0.5,NaN,-Infinity]"),
        (np.array([np.inf], np.float32), "FP32", "Infinity"),
        (np.array([], np.int32), "INT32", "[]"),
        (np.array([True]), "BOOL", "true"),
        (np.array([[1], [2]], np.uint8), "UINT8", "[1,2]"),
        (np.array([b"null"], object), "BYTES", '"null"'),
        (np.array([b"a", b"b"], object), "BYTES", '["a","b"]'),
    ],
)
def test_an_answer_is_flat_and_in_order(values: np.ndarray, datatype: str, text: str) -> None:
    outputs = (OutputTensor("OUT", datatype, values.shape, values),)
    written = encode_generate(InferResponse("m", "1", outputs, "7", {"a": 1, "z": float("nan")}))
    assert written.decode() == f'{{"OUT":{text},"a":1,"id":"7","model_name":"m","model_version":"1","z":NaN}}'


def test_half_precision_has_no_form() -> None:
    outputs = (OutputTensor("OUT", "FP16", (1,), np.zeros(1, np.float16)),)
    with pytest.raises(InvalidArgumentError, match="sending FP16 data via JSON is not supported"):
        encode_generate(InferResponse("m", "1", outputs))


def test_an_object_takes_further_members_at_its_end() -> None:
    assert with_members(b'{"a":"}"}', {"n": 1, "m": 2}) == b'{"a":"}","n":1,"m":2}'


def test_an_event() -> None:
    assert encode_event(b"{}") == b"data: {}\n\n"
