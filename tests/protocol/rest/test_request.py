# SPDX-License-Identifier: Apache-2.0
"""Bodies of inference requests: limits, views, parameters, raw mode, and anything at all."""

import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnsupportedError
from naiad.protocol.rest.request import (
    DecodedInfer,
    OutputEncodings,
    decode_index_request,
    decode_infer,
    parse_header_length,
)
from naiad.requests import RequestedOutput
from naiad.snapshots import ModelMetadata, TensorMetadata
from naiad.tensors import DATATYPES, element_count

LIMIT = 64 << 20


def model(*inputs: TensorMetadata, max_batch_size: int = 0) -> ModelMetadata:
    return ModelMetadata("m", ("1",), "python", inputs, (), max_batch_size)


FIXED = model(TensorMetadata("X", "FP32", (4,)))
INPUT = {"name": "X", "shape": [4], "datatype": "FP32", "data": [1, 2, 3, 4]}


def decode(document: object, tail: bytes = b"", limit: int = LIMIT) -> DecodedInfer:
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode_infer(memoryview(text + tail), len(text) if tail else None, FIXED, "", limit)


def request(**members: Any) -> dict[str, Any]:
    return {"inputs": [INPUT], **members}


def test_a_request_keeps_what_the_client_said() -> None:
    document = request(
        id="r1",
        parameters={
            "sequence_id": "s",
            "sequence_start": True,
            "priority": 2,
            "timeout": 9,
            "a": 1,
            "b": "c",
            "d": 0.5,
        },
        outputs=[{"name": "Y"}, {"name": "Z", "parameters": {"classification": 3, "binary_data": True}}],
    )
    decoded, encodings = decode_infer(memoryview(json.dumps(document).encode()), None, FIXED, "7", LIMIT)
    assert (decoded.model_name, decoded.model_version, decoded.id) == ("m", "7", "r1")
    assert (decoded.sequence_id, decoded.sequence_start, decoded.sequence_end) == ("s", True, False)
    assert (decoded.priority, decoded.timeout_us) == (2, 9)
    assert decoded.parameters == {"a": 1, "b": "c", "d": 0.5}
    assert decoded.outputs == (RequestedOutput("Y"), RequestedOutput("Z", 3))
    assert encodings == OutputEncodings(False, False, frozenset({"Z"}), {"Z": 3})


def test_binary_data_output_is_for_outputs_that_are_not_named() -> None:
    everything = {"binary_data_output": True}
    assert decode(request(parameters=everything)).encodings.all_binary
    assert decode(request(parameters=everything, outputs=[])).encodings.all_binary
    named = decode(request(parameters=everything, outputs=[{"name": "Y"}])).encodings
    assert not named.all_binary
    assert not named.binary


def test_binary_tensors_are_views_of_the_body_in_the_order_of_the_inputs() -> None:
    inputs = [
        {"name": name, "shape": [size], "datatype": "UINT8", "parameters": {"binary_data_size": size}}
        for name, size in (("A", 2), ("B", 0), ("C", 3))
    ]
    text = json.dumps({"inputs": inputs}).encode()
    body = bytearray(text + b"aaccc")
    tensors = decode_infer(memoryview(body), len(text), FIXED, "", LIMIT).request.inputs
    body[len(text)] = ord("b")
    assert [bytes(tensor.data) for tensor in tensors if isinstance(tensor.data, memoryview)] == [b"ba", b"", b"ccc"]


def test_an_unknown_datatype_of_a_binary_tensor_goes_by_the_name_triton_gives_it() -> None:
    entry = {"name": "X", "shape": [1], "datatype": "FP33", "parameters": {"binary_data_size": 1}}
    assert decode({"inputs": [entry]}, b"x").request.inputs[0].datatype == "<invalid>"


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ([2**63], "invalid shape for input 'X': shape [9223372036854775808] causes total element count to exceed"),
        ([2**31, 2**31, 4], "invalid shape for input 'X': shape [2147483648,2147483648,4] causes total element count"),
        ([0, 2**62, 2**62], "invalid shape for input 'X': shape [0,4611686018427387904,4611686018427387904] causes"),
        ([2**62], "byte size overflow for input 'X': "),
        ([2**40], "JSON input 'X' has a byte_size (4398046511104 bytes) that exceeds the maximum allowed value of "),
    ],
)
def test_a_shape_cannot_promise_more_than_there_can_be(shape: list[int], text: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        decode({"inputs": [INPUT | {"shape": shape}]})
    assert str(caught.value).startswith(text)


def test_a_long_shape_of_large_dimensions_fails_at_once() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^invalid shape for input 'X'"):
        decode({"inputs": [INPUT | {"shape": [2**63 - 1] * 20_000}]})


@pytest.mark.parametrize("shape", [[], [0], [2, 0]])
@pytest.mark.parametrize(("datatype", "data"), [("FP32", [1, 2]), ("FP32", "x"), ("FP16", [1]), ("BYTES", [1])])
def test_data_of_no_elements_is_not_looked_at(shape: list[int], datatype: str, data: object) -> None:
    empty = {"name": "X", "shape": shape, "datatype": datatype, "data": data}
    (tensor,) = decode({"inputs": [empty]}).request.inputs
    assert (tensor.shape, bytes(tensor.data)) == (tuple(shape), b"")


def test_a_dimension_counts_even_beside_a_zero() -> None:
    assert decode({"inputs": [INPUT | {"shape": [0, 7], "data": []}]}).request.inputs[0].shape == (0, 7)


def test_the_limit_is_for_json_and_for_tensors_read_from_it() -> None:
    text = json.dumps(request()).encode()
    with pytest.raises(InvalidArgumentError) as caught:
        decode(text, limit=len(text) - 1)
    assert str(caught.value) == (
        f"request JSON size of {len(text)} bytes exceeds the maximum allowed input size of {len(text) - 1} bytes. "
        "Use --http-max-input-size to increase the limit."
    )
    strings = {"name": "X", "shape": [90], "datatype": "BYTES", "data": [""] * 90}
    with pytest.raises(InvalidArgumentError) as caught:
        decode({"inputs": [strings]}, limit=700 // 2)
    assert "request JSON size" in str(caught.value)
    compact = json.dumps({"inputs": [strings]}, separators=(",", ":")).encode()
    with pytest.raises(InvalidArgumentError, match=r"^JSON input 'X' has a byte_size \(360 bytes\) that exceeds"):
        decode(compact, limit=359)
    assert decode(compact, limit=360)


def test_the_limit_is_not_for_binary_tensors() -> None:
    entry = {"name": "X", "shape": [999], "datatype": "UINT8", "parameters": {"binary_data_size": 999}}
    assert decode({"inputs": [entry]}, bytes(999), limit=200).request.inputs[0].shape == (999,)


def test_a_sequence_id_has_at_most_128_characters() -> None:
    assert decode(request(parameters={"sequence_id": "s" * 128})).request.sequence_id == "s" * 128
    with pytest.raises(UnsupportedError, match=r"^string correlation ID cannot be longer than 128 characters$"):
        decode(request(parameters={"sequence_id": "s" * 129}))


@pytest.mark.parametrize("document", [[], 1, None, "inputs", {"input": []}])
def test_a_document_without_inputs_is_told_so(document: object) -> None:
    with pytest.raises(InternalError, match=r"^Unable to parse 'inputs': attempt to access non-existing object member"):
        decode(document)


@pytest.mark.parametrize(("value", "length"), [(None, None), (b"0", 0), (b"80", 80), (b"7", 7), (b" +7\t", 7)])
def test_the_header_length_is_read(value: bytes | None, length: int | None) -> None:
    assert parse_header_length(value, 80) == length


@pytest.mark.parametrize("value", [b"", b"x", b"5x", b"1e3", b"\xe9", b"2147483648", b"-2147483649", b"9" * 5000])
def test_a_header_length_that_is_no_number_of_32_bits_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Unable to parse Inference-Header-Content-Length, got: "):
        parse_header_length(value, 80)


@pytest.mark.parametrize("value", ["-1", "81", "2147483647"])
def test_a_header_length_outside_the_body_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        parse_header_length(value.encode(), 80)
    assert str(caught.value) == f"inference header size should be in range (0, 80), got: {value}"


@pytest.mark.parametrize("header_length", [0, None])
def test_an_empty_body_is_raw_whatever_the_header_says(header_length: int | None) -> None:
    decoded, encodings = decode_infer(memoryview(b""), header_length, model(TensorMetadata("X", "FP32", (-1,))), "", 9)
    assert decoded.inputs[0].shape == (0,)
    assert encodings.all_binary


@pytest.mark.parametrize(
    ("dims", "size_bytes", "shape"),
    [((-1, 2, -1), 16, (1, 2, 2)), ((-1, 4), 3, (1, 4)), ((-1, -1), 7, (1, 1))],
)
def test_a_raw_body_gives_the_variable_dimension(
    dims: tuple[int, ...], size_bytes: int, shape: tuple[int, ...]
) -> None:
    body = memoryview(bytes(size_bytes))
    metadata = model(TensorMetadata("X", "FP32", dims), max_batch_size=4)
    tensor = decode_infer(body, 0, metadata, "", LIMIT).request.inputs[0]
    assert tensor.shape == shape
    assert tensor.data is body


def test_a_raw_string_is_one_element() -> None:
    metadata = model(TensorMetadata("X", "BYTES", (-1, 1)), max_batch_size=4)
    tensor = decode_infer(memoryview(b"\x00hello"), 0, metadata, "", LIMIT).request.inputs[0]
    assert tensor.shape == (1, 1)
    assert isinstance(tensor.data, np.ndarray)
    assert tensor.data.tolist() == [b"\x00hello"]


_NOT_UNSIGNED = "attempt to access JSON non-unsigned-integer as unsigned-integer"
_REGION = {"shared_memory_region": 5, "shared_memory_offset": [], "shared_memory_byte_size": "x"}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"name": 1, "parameters": {"binary_data_size": -1}}, "Unable to parse 'name': "),
        ({"shape": ["x"], "parameters": _REGION}, "Unable to parse 'shape': "),
        ({"datatype": "x", "parameters": _REGION}, "Unable to parse 'shared_memory_region': "),
        ({"parameters": _REGION | {"shared_memory_region": "r"}}, "Unable to parse 'shared_memory_offset': "),
        ({"data": [1.0], "parameters": {"shared_memory_byte_size": None}}, "Unable to parse 'shared_memory_byte_size'"),
        ({"data": [], "shape": [0], "parameters": {"shared_memory_offset": -1}}, "Unable to parse 'shared_memory_off"),
    ],
)
def test_of_several_mistakes_in_an_input_tritons_first_is_told(changed: dict[str, object], text: str) -> None:
    entry = {"name": "X", "shape": [1], "datatype": "FP32"} | changed
    with pytest.raises(InternalError) as caught:
        decode({"inputs": [entry]})
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        (_REGION | {"classification": "x"}, "Output can't set both 'shared_memory_region' and 'classification'"),
        (_REGION | {"binary_data": True}, "Output can't set both 'shared_memory_region' and 'binary_data'"),
        (_REGION | {"binary_data": 1}, "Unable to set 'binary_data': attempt to access JSON non-boolean as boolean"),
        ({"classification": "x", "shared_memory_offset": -1}, f"Unable to set 'classification': {_NOT_UNSIGNED}"),
        ({"binary_data": 1, "shared_memory_offset": -1}, f"Unable to parse 'shared_memory_offset': {_NOT_UNSIGNED}"),
        ({"binary_data": 1}, "Unable to parse 'binary_data': attempt to access JSON non-boolean as boolean"),
    ],
)
def test_of_several_mistakes_in_an_output_tritons_first_is_told(parameters: dict[str, object], text: str) -> None:
    with pytest.raises((InternalError, InvalidArgumentError)) as caught:
        decode(request(outputs=[{"name": "Y", "parameters": parameters}]))
    assert str(caught.value) == text


def test_a_raw_body_has_a_limit_too() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Raw input has a byte_size \(16 bytes\) that exceeds .* of 15 b"):
        decode_infer(memoryview(bytes(16)), 0, FIXED, "", 15)


@pytest.mark.parametrize(
    ("body", "only_ready"), [(b"", False), (b"{}", False), (b"[]", False), (b'{"ready":true}', True)]
)
def test_the_index_is_asked_for_all_models_or_ready_ones(body: bytes, only_ready: bool) -> None:
    assert decode_index_request(body) is only_ready


@pytest.mark.parametrize("body", [b'{"ready":1}', b'{"ready":null}', b'{"ready":"true"}'])
def test_the_index_wants_a_boolean(body: bytes) -> None:
    with pytest.raises(InvalidArgumentError, match=r"^Invalid value for 'ready': expected a boolean$"):
        decode_index_request(body)


MEMBERS = st.sampled_from(
    [
        *("id", "inputs", "outputs", "parameters", "name", "shape", "datatype", "data", "binary_data", "other"),
        *("binary_data_size", "shared_memory_region", "shared_memory_offset", "classification", "triton_x"),
        *("sequence_id", "sequence_start", "priority", "timeout", "binary_data_output"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers(-(2**65), 2**65) | st.floats() | st.text(max_size=4)
NAMES = st.sampled_from(["BOOL", "UINT8", "INT64", "FP16", "FP32", "FP64", "BYTES", "BF16", "FP33"])
ANY = st.recursive(
    SCALARS | NAMES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(MEMBERS, inner, max_size=6),
    max_leaves=20,
)
NEARLY_INPUTS = st.fixed_dictionaries(
    {"name": st.just("X") | SCALARS, "datatype": NAMES | SCALARS, "shape": st.lists(st.integers(0, 2**64)) | SCALARS},
    optional={"data": ANY, "parameters": st.dictionaries(MEMBERS, st.integers(0, 9) | ANY, max_size=2) | ANY},
)
NEARLY_REQUESTS = st.fixed_dictionaries(
    {"inputs": st.lists(NEARLY_INPUTS, max_size=3) | ANY},
    optional={"id": SCALARS, "parameters": st.dictionaries(MEMBERS, ANY, max_size=4), "outputs": ANY},
)


@given(NEARLY_REQUESTS | ANY, st.binary(max_size=9))
def test_any_document_is_a_request_or_an_error_for_the_client(document: object, tail: bytes) -> None:
    with suppress(NaiadError):
        decode(document, tail)


@given(NAMES, st.lists(SCALARS, max_size=3), st.lists(st.integers(1, 3), min_size=1, max_size=2))
def test_data_that_is_accepted_is_of_the_datatype_and_as_much_as_the_shape_says(
    datatype: str, data: list[object], shape: list[int]
) -> None:
    with suppress(NaiadError):
        entry = {"name": "X", "shape": shape, "datatype": datatype, "data": data}
        (tensor,) = decode({"inputs": [entry]}).request.inputs
        assert isinstance(tensor.data, np.ndarray)
        assert tensor.data.dtype == DATATYPES[datatype].dtype
        assert tensor.data.size == len(data) == element_count(tensor.shape)


@given(st.binary(max_size=60), st.integers(0, 60) | st.none())
def test_any_bytes_are_a_request_or_an_error_for_the_client(body: bytes, header_length: int | None) -> None:
    with suppress(NaiadError):
        decode_infer(memoryview(body), header_length, FIXED, "", LIMIT)
