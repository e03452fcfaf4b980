# SPDX-License-Identifier: Apache-2.0
"""What is remembered of JSON read or written can only give what reading or writing anew would have given."""

import json

import numpy as np
import pytest

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol.rest.request import OutputEncodings, decode_infer
from naiad.protocol.rest.response import encode_infer
from naiad.requests import InferResponse, OutputTensor, SharedMemoryRange
from naiad.snapshots import ModelMetadata, TensorMetadata

TENSOR = TensorMetadata("X", "FP32", (-1, 2))
BATCHING = ModelMetadata("m", ("1",), "p", (TENSOR,), (TENSOR,), max_batch_size=8)
PLAIN = ModelMetadata("other", ("1",), "p", (TENSOR,), (TENSOR,))


def body(values: list[float], **extra: object) -> tuple[memoryview, int]:
    raw = np.array(values, "<f4").tobytes()
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}
    text = json.dumps({"inputs": [tensor], **extra}).encode()
    return memoryview(text + raw), len(text)


def test_the_same_json_with_other_bytes_gives_the_other_tensor() -> None:
    for values in ([1.0, 2.0], [3.0, 4.0]):
        whole, length = body(values, id="same")
        request = decode_infer(whole, length, BATCHING, "", 1 << 20).request
        assert np.frombuffer(request.inputs[0].data, "<f4").tolist() == values
        assert request.id == "same"


def test_model_and_version_are_those_asked_for_each_time() -> None:
    whole, length = body([1.0, 2.0], parameters={"mood": "fine", "timeout": 7})
    first = decode_infer(whole, length, BATCHING, "3", 1 << 20)
    second = decode_infer(whole, length, PLAIN, "", 1 << 20)
    assert (first.request.model_name, first.request.model_version, first.encodings.batching) == ("m", "3", True)
    assert (second.request.model_name, second.request.model_version, second.encodings.batching) == ("other", "", False)
    assert first.request.parameters == second.request.parameters == {"mood": "fine"}
    assert first.request.timeout_us == 7


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"1234", "unexpected size for input 'X', expecting 4 additional bytes for model 'm'"),
        (b"123456789", "unexpected additional input data for model 'm'"),
    ],
)
def test_bytes_are_counted_each_time(raw: bytes, text: str) -> None:
    whole, length = body([1.0, 2.0], id="counted")
    decode_infer(whole, length, BATCHING, "", 1 << 20)
    with pytest.raises(InvalidArgumentError) as caught:
        decode_infer(memoryview(bytes(whole[:length]) + raw), length, BATCHING, "", 1 << 20)
    assert str(caught.value) == text


def test_tensors_that_came_as_json_are_made_anew() -> None:
    text = b'{"inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,2]}]}'
    first, second = (decode_infer(memoryview(text), None, BATCHING, "", 1 << 20).request for _ in range(2))
    assert first.inputs[0].data is not second.inputs[0].data


def test_tensors_in_shared_memory_are_looked_for_each_time() -> None:
    place = {"shared_memory_region": "r", "shared_memory_offset": 8, "shared_memory_byte_size": 8}
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 2], "parameters": place}
    text = json.dumps({"inputs": [tensor], "outputs": [{"name": "Y", "parameters": place}]}).encode()
    for found in (memoryview(bytes(8)), memoryview(bytes(range(8)))):
        asked: list[SharedMemoryRange] = []

        def view_range(
            wanted: SharedMemoryRange, asked: list[SharedMemoryRange] = asked, found: memoryview = found
        ) -> memoryview:
            asked.append(wanted)
            return found

        decoded = decode_infer(memoryview(text), None, BATCHING, "", 1 << 20, view_range)
        assert decoded.request.inputs[0].data is found
        assert asked == [SharedMemoryRange("r", 8, 8)]
        assert decoded.encodings.shared == {"Y": SharedMemoryRange("r", 8, 8)}
    with pytest.raises(NotFoundError, match="Unable to find shared memory region: 'r'"):
        decode_infer(memoryview(text), None, BATCHING, "", 1 << 20)


def answered(values: list[list[float]], request_id: str = "", **parameters: str) -> tuple[dict[str, object], bytes]:
    data = np.array(values, np.float32)
    outputs = (OutputTensor("Y", "FP32", data.shape, data),)
    response = InferResponse("m", "1", outputs, request_id, parameters)
    encoded = encode_infer(response, OutputEncodings(batching=True, all_binary=True), {})
    text, *tensors = encoded.buffers
    assert encoded.json_length == len(text)
    return json.loads(bytes(text)), b"".join(tensors)


def test_a_binary_answer_has_its_own_id_shape_and_data_each_time() -> None:
    for values, request_id in (([[1.0]], "a"), ([[2.0]], "b"), ([[3.0], [4.0]], "a"), ([[5.0]], "")):
        document, raw = answered(values, request_id)
        tensor: dict[str, object] = {"name": "Y", "datatype": "FP32", "shape": [len(values), 1]}
        tensor["parameters"] = {"binary_data_size": 4 * len(values)}
        expected = {"id": request_id} if request_id else {}
        assert document == expected | {"model_name": "m", "model_version": "1", "outputs": [tensor]}
        assert np.frombuffer(raw, "<f4").tolist() == [row[0] for row in values]


def test_an_answers_parameters_are_its_own() -> None:
    assert answered([[1.0]])[0].get("parameters") is None
    assert answered([[1.0]], mood="fine")[0]["parameters"] == {"mood": "fine"}
