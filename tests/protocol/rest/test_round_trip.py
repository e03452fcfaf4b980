# SPDX-License-Identifier: Apache-2.0
"""What tritonclient writes is read here as the same arrays, and what is written here tritonclient reads as the same."""

import json
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput, InferResult

from naiad.protocol.rest.request import OutputEncodings, decode_infer
from naiad.protocol.rest.response import encode_infer
from naiad.requests import InferResponse, InputTensor, OutputTensor
from naiad.snapshots import ModelMetadata
from naiad.tensors import DATATYPES, Array, decode_bytes, element_count

MODEL = ModelMetadata("m", ("1",), "python", (), ())
NO_JSON = {"FP16", "BF16"}
"""Triton has no JSON form for them."""

SHAPES = st.lists(st.integers(0, 3), min_size=1, max_size=3)
"""No shape of `[]`, which has no elements for Triton."""


@st.composite
def tensors(draw: st.DrawFn) -> tuple[str, Array]:
    """Return a datatype and an array of it, with every bit pattern possible."""
    name = draw(st.sampled_from([name for name in DATATYPES if name != "BF16"]))
    row, shape = DATATYPES[name], draw(SHAPES)
    count = element_count(shape)
    if name == "BYTES":
        flat: list[bytes] = draw(st.lists(st.binary(max_size=6), min_size=count, max_size=count))
        array = np.empty(count, object)
        array[:] = flat
        return name, array.reshape(shape)
    if name == "BOOL":
        return name, np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)), bool).reshape(shape)
    size = count * row.size_bytes
    return name, np.frombuffer(draw(st.binary(min_size=size, max_size=size)), row.dtype).reshape(shape)


def is_text(array: Array) -> bool:
    """Tell whether an array is no BYTES that JSON cannot tell, or a client that insists on UTF-8 cannot read."""
    if array.dtype != object:
        return True
    try:
        return all(isinstance(element.decode(), str) for element in array.ravel().tolist())
    except UnicodeDecodeError:
        return False


def same(one: Array, other: Array) -> bool:
    """Compare shapes and elements; every NaN is equal to every other."""
    equal_nan = one.dtype.kind == "f"
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=equal_nan))


def decoded(tensor: InputTensor) -> Array:
    if not isinstance(tensor.data, memoryview):
        return tensor.data.reshape(tensor.shape)
    if tensor.datatype == "BYTES":
        return decode_bytes(tensor.data, tensor.shape, tensor.name, "m")
    return np.frombuffer(tensor.data, DATATYPES[tensor.datatype].dtype).reshape(tensor.shape)


Named = tuple[str, str, Array, bool]
"""Name, datatype, elements, and whether the tensor travels as binary."""


def labelled(prefix: str, drawn: Sequence[tuple[tuple[str, Array], bool]]) -> list[Named]:
    """Name the tensors, and let those without a form in JSON be binary."""
    return [
        (f"{prefix}{number}", datatype, array, is_binary or datatype in NO_JSON or not is_text(array))
        for number, ((datatype, array), is_binary) in enumerate(drawn)
    ]


def written_by_client(named: Sequence[Named]) -> tuple[bytes, int | None]:
    """Return the body tritonclient makes, and the length of its JSON part."""
    inputs = []
    for name, datatype, array, is_binary in named:
        one = InferInput(name, list(array.shape), datatype)
        one.set_data_from_numpy(array, binary_data=is_binary)
        inputs.append(one)
    outputs = [InferRequestedOutput(name, binary_data=is_binary) for name, _, _, is_binary in named]
    body, length = InferenceServerClient.generate_request_body(inputs, outputs=outputs, request_id="r")
    return body, length


@given(st.lists(st.tuples(tensors(), st.booleans()), min_size=1, max_size=4))
def test_what_the_client_writes_is_read_as_the_same_arrays(given_tensors: list[tuple[tuple[str, Array], bool]]) -> None:
    named = labelled("I", given_tensors)
    for _, datatype, array, is_binary in named:
        if not is_binary and datatype in {"FP32", "FP64"} and not np.isfinite(array).all():
            return  # tritonclient refuses to write them
    body, length = written_by_client(named)
    request, encodings = decode_infer(memoryview(body), length, MODEL, "", 1 << 26)
    assert request.id == "r"
    assert [(tensor.name, tensor.datatype) for tensor in request.inputs] == [row[:2] for row in named]
    for tensor, (_, _, array, _) in zip(request.inputs, named, strict=True):
        assert same(decoded(tensor), array)
    assert encodings.binary == frozenset(name for name, _, _, is_binary in named if is_binary)


@given(st.lists(st.tuples(tensors(), st.booleans()), min_size=1, max_size=4), st.booleans())
def test_what_is_written_the_client_reads_as_the_same_arrays(
    given_tensors: list[tuple[tuple[str, Array], bool]], all_binary: bool
) -> None:
    named = labelled("O", given_tensors)
    all_binary = all_binary or all(row[3] for row in named)
    outputs = tuple(OutputTensor(name, datatype, array.shape, array) for name, datatype, array, _ in named)
    encodings = OutputEncodings(False, all_binary, frozenset(row[0] for row in named if row[3]))
    buffers, length = encode_infer(InferResponse("m", "1", outputs, "r"), encodings, {})
    result = InferResult.from_response_body(b"".join(buffers), header_length=length)
    for name, datatype, array, _ in named:
        read = result.as_numpy(name)
        if read is None:
            assert array.size == 0  # what tritonclient makes of an empty tensor in JSON
            continue
        if datatype == "BYTES":
            read = np.array([e.encode() if isinstance(e, str) else e for e in read.ravel()], object).reshape(read.shape)
        assert same(read, array)


@given(tensors().filter(lambda row: row[0] not in NO_JSON and is_text(row[1])))
def test_an_output_sent_back_as_an_input_is_the_same(row: tuple[str, Array]) -> None:
    """JSON both ways, with NaN and infinities, through no other code than Naiad's."""
    datatype, array = row
    response = InferResponse("m", "1", (OutputTensor("X", datatype, array.shape, array),))
    buffers, _ = encode_infer(response, OutputEncodings(False), {})
    document = b"".join(buffers).replace(b'"outputs"', b'"inputs"')
    (tensor,) = decode_infer(memoryview(document), None, MODEL, "", 1 << 26).request.inputs
    assert (tensor.datatype, tensor.shape) == (datatype, array.shape)
    if datatype == "FP64" and not np.isfinite(array).all():
        # NaN and infinities are read by RapidJSON, in Triton too, which may be wrong in a double's last bit.
        assert np.allclose(decoded(tensor), array, rtol=4e-16, atol=0, equal_nan=True)
    else:
        assert same(decoded(tensor), array)


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=2), min_size=1, max_size=5))
def test_nested_and_flat_data_are_the_same_tensor(rows: list[list[int]]) -> None:
    def read(data: object) -> Array:
        entry = {"name": "X", "datatype": "INT32", "shape": [len(rows), 2], "data": data}
        body = json.dumps({"inputs": [entry]}).encode()
        return decoded(decode_infer(memoryview(body), None, MODEL, "", 1 << 26).request.inputs[0])

    assert same(read(rows), read([number for row in rows for number in row]))


@pytest.mark.parametrize("is_binary", [True, False])
def test_bytes_that_look_like_lengths_survive(is_binary: bool) -> None:
    array = np.array([b"\x04\x00\x00\x00", b"", b"\x00", "é😀".encode()], object)
    body, length = written_by_client([("X", "BYTES", array, is_binary)])
    (tensor,) = decode_infer(memoryview(body), length, MODEL, "", 1 << 26).request.inputs
    assert same(decoded(tensor), array)
