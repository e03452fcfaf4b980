# SPDX-License-Identifier: Apache-2.0
"""Inference messages, against what a running Triton (2.51) answered to the same ones."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.proto import service_pb2
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, NotFoundError, UnsupportedError
from naiad.protocol.grpc.request import read_infer, read_version
from naiad.protocol.grpc.response import EncodedMessage, encode_infer, encode_stream_error, encode_stream_response
from naiad.protocol.timing_fields import timing_parameters
from naiad.requests import (
    InferRequest,
    InferResponse,
    OutputTensor,
    RequestedOutput,
    RequestTiming,
    SharedMemoryRange,
)
from naiad.tensors import DATATYPES, encode_bytes

Request = service_pb2.ModelInferRequest
FLOATS = np.arange(16, dtype=np.float32)


def request(*, raw: bool = True, **fields: str) -> Request:
    made = Request(model_name="identity", **fields)  # type: ignore[arg-type]
    made.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 16])
    if raw:
        made.raw_input_contents.append(FLOATS.tobytes())
    return made


def read(proto: Request) -> InferRequest:
    return read_infer(memoryview(proto.SerializeToString())).to_request()


def test_a_raw_request() -> None:
    message = memoryview(request(id="7", model_version="3").SerializeToString())
    made = read_infer(message).to_request()
    assert (made.model_name, made.model_version, made.id) == ("identity", "3", "7")
    (tensor,) = made.inputs
    assert (tensor.name, tensor.datatype, tensor.shape) == ("INPUT0", "FP32", (1, 16))
    assert isinstance(tensor.data, memoryview)
    assert tensor.data.obj is message.obj
    assert tensor.data == FLOATS.tobytes()


def test_requests_that_differ_in_id_and_data_alone_are_declared_once() -> None:
    one, other = (read_infer(memoryview(request(id=text).SerializeToString())) for text in ("a", "b"))
    assert one.declaration is other.declaration
    assert (one.id, other.id) == ("a", "b")


def test_all_hints_and_parameters() -> None:
    proto = request()
    proto.parameters["sequence_id"].int64_param = -1
    proto.parameters["sequence_start"].bool_param = True
    proto.parameters["sequence_end"].bool_param = True
    proto.parameters["priority"].uint64_param = 2
    proto.parameters["timeout"].int64_param = 1000
    proto.parameters["s"].string_param = "text"
    proto.parameters["i"].int64_param = 1
    proto.parameters["b"].bool_param = True
    proto.parameters["d"].double_param = 0.5
    proto.parameters["triton_enable_empty_final_response"].bool_param = True
    made = read(proto)
    assert (made.sequence_id, made.sequence_start, made.sequence_end) == (2**64 - 1, True, True)
    assert (made.priority, made.timeout_us) == (2, 1000)
    assert made.parameters == {"s": "text", "i": 1, "b": True, "d": 0.5}
    assert [type(made.parameters[key]) for key in "sibd"] == [str, int, bool, float]
    assert read_infer(memoryview(proto.SerializeToString())).declaration.enable_empty_final


def test_outputs() -> None:
    proto = request()
    proto.outputs.add(name="A")
    proto.outputs.add(name="B").parameters["classification"].int64_param = 3
    assert read(proto).outputs == (RequestedOutput("A"), RequestedOutput("B", 3))


@pytest.mark.parametrize(
    ("field", "datatype", "values", "want"),
    [
        ("bool_contents", "BOOL", [True, False], [True, False]),
        ("int_contents", "INT8", [127, -128, 300], [127, -128, 44]),
        ("int_contents", "INT16", [-5], [-5]),
        ("int_contents", "INT32", [2**31 - 1], [2**31 - 1]),
        ("int64_contents", "INT64", [-(2**63)], [-(2**63)]),
        ("uint_contents", "UINT8", [255, 256], [255, 0]),
        ("uint_contents", "UINT16", [65535], [65535]),
        ("uint_contents", "UINT32", [2**32 - 1], [2**32 - 1]),
        ("uint64_contents", "UINT64", [2**64 - 1], [2**64 - 1]),
        ("fp32_contents", "FP32", [0.5, -1.0], [0.5, -1.0]),
        ("fp64_contents", "FP64", [0.1], [0.1]),
    ],
)
def test_typed_contents(field: str, datatype: str, values: list[object], want: list[object]) -> None:
    proto = request(raw=False)
    proto.inputs[0].datatype = datatype
    getattr(proto.inputs[0].contents, field).extend(values)
    data = read(proto).inputs[0].data
    assert isinstance(data, np.ndarray)
    assert data.dtype == DATATYPES[datatype].dtype
    assert data.tolist() == want


def test_typed_strings_become_their_raw_form() -> None:
    proto = request(raw=False)
    proto.inputs[0].datatype = "BYTES"
    proto.inputs[0].contents.bytes_contents.extend([b"a", b"", b"\xff\0"])
    assert read(proto).inputs[0].data == encode_bytes(np.array([b"a", b"", b"\xff\0"], dtype=object))


def test_empty_contents_are_no_data_but_not_missing() -> None:
    proto = request(raw=False)
    proto.inputs[0].contents.SetInParent()
    assert read(proto).inputs[0].data == b""


def test_raw_tensors_go_to_the_inputs_in_order_and_surplus_ones_nowhere() -> None:
    proto = Request(model_name="m", raw_input_contents=[b"one", b"two", b"three"])
    for name in ("A", "B"):
        proto.inputs.add(name=name, datatype="UINT8", shape=[3])
    assert [bytes(tensor.data) for tensor in read(proto).inputs] == [b"one", b"two"]


def test_a_message_in_an_unusual_form_is_read_by_protobuf() -> None:
    proto = request(id="x")
    odd = proto.SerializeToString() + b"\xa0\x06\x01"  # an unknown field, number 100
    made = read_infer(memoryview(odd)).to_request()
    assert (made.id, bytes(made.inputs[0].data)) == ("x", FLOATS.tobytes())


@pytest.mark.parametrize("message", [b"\xff\xff", b"\x0a\x01\xff", b"\x1a\x01\xff", b"\x3a\x05abc"])
def test_what_is_no_request_is_refused(message: bytes) -> None:
    with pytest.raises(InternalError, match=r"^Unable to parse request$"):
        read_infer(memoryview(message))


def _contents(field: str, values: list[object], datatype: str = "FP32") -> Callable[[Request], object]:
    def change(proto: Request) -> None:
        del proto.raw_input_contents[:]
        proto.inputs[0].datatype = datatype
        getattr(proto.inputs[0].contents, field).extend(values)

    return change


def _parameter(key: str, kind: str, value: object) -> Callable[[Request], object]:
    return lambda proto: setattr(proto.parameters[key], kind, value)


def _output(*parameters: tuple[str, str, object]) -> Callable[[Request], object]:
    def change(proto: Request) -> None:
        output = proto.outputs.add(name="OUTPUT0")
        for key, kind, value in parameters:
            setattr(output.parameters[key], kind, value)

    return change


def _in_region(*parameters: tuple[str, str, object], contents: bool = False) -> Callable[[Request], object]:
    def change(proto: Request) -> None:
        del proto.raw_input_contents[:]
        for key, kind, value in parameters:
            setattr(proto.inputs[0].parameters[key], kind, value)
        if contents:
            proto.inputs[0].contents.fp32_contents.append(1)

    return change


REGION = ("shared_memory_region", "string_param", "r")
SIZE = ("shared_memory_byte_size", "int64_param", 64)
TRITON_KEYS = (
    "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following keys starting with "
    "'triton_' are allowed: triton_enable_empty_final_response"
)


@pytest.mark.parametrize(
    ("change", "kind", "text"),
    [
        (
            lambda proto: proto.raw_input_contents.pop(),
            InvalidArgumentError,
            "unable to find data for input tensor 'INPUT0' for model 'identity' in request.",
        ),
        (
            lambda proto: proto.inputs[0].contents.fp32_contents.append(1),
            InvalidArgumentError,
            "contents field must not be specified when using raw_input_contents for 'INPUT0' for model 'identity'",
        ),
        (
            _contents("int_contents", [1]),
            InvalidArgumentError,
            (
                "unexpected explicit tensor data for input tensor 'INPUT0' for model 'identity' of type 'INT32', "
                "expected datatype 'FP32'"
            ),
        ),
        (
            _contents("fp32_contents", [1.0], "XX"),
            InvalidArgumentError,
            (
                "unexpected explicit tensor data for input tensor 'INPUT0' for model 'identity' of type 'FP32', "
                "expected datatype '<invalid>'"
            ),
        ),
        (
            _contents("fp32_contents", [1.0], "FP16"),
            InvalidArgumentError,
            (
                "unexpected explicit tensor data for input tensor 'INPUT0' for model 'identity' of type 'FP32', "
                "expected datatype 'FP16'"
            ),
        ),
        (
            _parameter("sequence_id", "bool_param", True),
            InvalidArgumentError,
            "invalid value type for 'sequence_id' parameter, expected int64_param or string_param.",
        ),
        (
            _parameter("sequence_id", "string_param", "x" * 129),
            UnsupportedError,
            "string correlation ID cannot be longer than 128 characters",
        ),
        (
            _parameter("sequence_start", "int64_param", 1),
            InvalidArgumentError,
            "invalid value type for 'sequence_start' parameter, expected bool_param.",
        ),
        (
            _parameter("sequence_end", "int64_param", 1),
            InvalidArgumentError,
            "invalid value type for 'sequence_end' parameter, expected bool_param.",
        ),
        (
            _parameter("priority", "string_param", "1"),
            InvalidArgumentError,
            "invalid value type for 'priority' parameter, expected int64_param or uint64_param.",
        ),
        (
            _parameter("priority", "int64_param", -1),
            InvalidArgumentError,
            "invalid value for 'priority', expected value >= 0.",
        ),
        (
            _parameter("timeout", "string_param", "1"),
            InvalidArgumentError,
            "invalid value type for 'timeout' parameter, expected int64_param.",
        ),
        (_parameter("triton_x", "string_param", "1"), InvalidArgumentError, TRITON_KEYS),
        (
            _parameter("triton_enable_empty_final_response", "int64_param", 1),
            InvalidArgumentError,
            "invalid value type for 'triton_enable_empty_final_response' parameter, expected bool_param.",
        ),
        (
            _parameter("foo", "uint64_param", 1),
            InvalidArgumentError,
            "invalid value type for 'foo' parameter, expected int64_param, bool_param, or string_param.",
        ),
        (
            lambda proto: proto.parameters["foo"].SetInParent(),
            InvalidArgumentError,
            "invalid value type for 'foo' parameter, expected int64_param, bool_param, or string_param.",
        ),
        (
            _output(("classification", "int64_param", 0)),
            InvalidArgumentError,
            "invalid value for 'classification' parameter, expected >= 0",
        ),
        (
            _output(("classification", "string_param", "2")),
            InvalidArgumentError,
            "invalid value type for 'classification' parameter, expected int64_param",
        ),
        (
            _output(REGION, SIZE, ("classification", "int64_param", 2)),
            InvalidArgumentError,
            "output can't set both 'shared_memory_region' and 'classification'",
        ),
        (
            _output(REGION),
            InvalidArgumentError,
            (
                "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter for tensor "
                "'OUTPUT0'"
            ),
        ),
        (_in_region(REGION, SIZE), NotFoundError, "Unable to find shared memory region: 'r'"),
        (
            _in_region(REGION, SIZE, contents=True),
            InvalidArgumentError,
            "unexpected 'content' provided when using shared memory for input tensor 'INPUT0' for model 'identity'",
        ),
        (
            _in_region(("shared_memory_region", "int64_param", 1)),
            InvalidArgumentError,
            "invalid value type for 'shared_memory_region' parameter for tensor 'INPUT0', expected string_param.",
        ),
        (
            _in_region(REGION, SIZE, ("shared_memory_offset", "string_param", "x")),
            InvalidArgumentError,
            "invalid value type for 'shared_memory_offset' parameter for tensor 'INPUT0', expected int64_param.",
        ),
        *(
            (
                _in_region((key, "string_param", "x")),
                InvalidArgumentError,
                f"'{key}' can not be specified without 'shared_memory_region' parameter for tensor 'INPUT0'",
            )
            for key in ("shared_memory_offset", "shared_memory_byte_size")
        ),
        (
            _in_region(REGION, ("shared_memory_byte_size", "string_param", "x")),
            InvalidArgumentError,
            "invalid value type for 'shared_memory_byte_size' parameter for tensor 'INPUT0', expected int64_param.",
        ),
    ],
)
def test_what_is_wrong_is_told_in_tritons_words(
    change: Callable[[Request], object], kind: type[NaiadError], text: str
) -> None:
    proto = request()
    change(proto)
    for _ in range(2):  # the second time from memory
        with pytest.raises(kind) as caught:
            read(proto)
        assert str(caught.value) == text


def test_inputs_in_shared_memory_are_what_is_found_there() -> None:
    asked: list[SharedMemoryRange] = []
    found = memoryview(bytes(64))

    def view_range(place: SharedMemoryRange) -> memoryview:
        asked.append(place)
        return found

    proto = request()  # the tensor that is sent too is not looked at, as in Triton
    for key, kind, value in (REGION, SIZE, ("shared_memory_offset", "int64_param", 8)):
        setattr(proto.inputs[0].parameters[key], kind, value)
    for _ in range(2):  # the second time from memory
        (tensor,) = read_infer(memoryview(proto.SerializeToString())).to_request(view_range).inputs
        assert tensor.data is found
    assert asked == [SharedMemoryRange("r", 8, 64)] * 2


def test_an_output_in_shared_memory_is_declared_and_answered_by_an_empty_tensor() -> None:
    proto = request()
    _output(REGION, SIZE)(proto)
    declaration = read_infer(memoryview(proto.SerializeToString())).declaration
    assert declaration.shared == {"OUTPUT0": SharedMemoryRange("r", 0, 64)}
    told = service_pb2.ModelInferResponse.FromString(written(encode_infer(response(), (), {}, True, {"OUT"})))
    assert [len(raw) > 0 for raw in told.raw_output_contents] == [False, True]
    assert [output.name for output in told.outputs] == ["OUT", "TEXT"]


@pytest.mark.parametrize(
    ("text", "version"),
    [("", ""), ("1", "1"), ("007", "7"), ("1x", "1"), (" 2", "2"), ("+3", "3"), ("9" * 18, "9" * 18)],
)
def test_versions_are_read_as_c_reads_numbers(text: str, version: str) -> None:
    assert read_version(text) == version


@pytest.mark.parametrize("text", ["abc", "x1", "-", "9" * 30])
def test_what_is_no_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=r"\(details: stol\), version should be an integral value > 0"):
        read_version(text)


def test_a_negative_version_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^invalid model version specified '-1' , version should be an"):
        read_version("-1")


# -- responses


def response(**fields: object) -> InferResponse:
    outputs = (
        OutputTensor("OUT", "FP32", (2, 8), FLOATS.reshape(2, 8)),
        OutputTensor("TEXT", "BYTES", (2,), np.array([b"a", b"bc"], dtype=object)),
    )
    return InferResponse("identity", "1", outputs, **fields)  # type: ignore[arg-type]


def written(encoded: EncodedMessage) -> bytes:
    joined = b"".join(encoded.buffers)
    assert len(joined) == encoded.size_bytes
    return joined


def test_a_response_is_what_protobuf_would_write() -> None:
    told = response(id="7", parameters={"s": "text", "i": -1, "b": True, "d": 0.5, "one": 1})
    proto = service_pb2.ModelInferResponse.FromString(written(encode_infer(told, (), {}, True)))
    assert (proto.model_name, proto.model_version, proto.id) == ("identity", "1", "7")
    described = [(o.name, o.datatype, list(o.shape)) for o in proto.outputs]
    assert described == [("OUT", "FP32", [2, 8]), ("TEXT", "BYTES", [2])]
    assert list(proto.raw_output_contents) == [FLOATS.tobytes(), b"\1\0\0\0a\2\0\0\0bc"]
    kinds = {key: value.WhichOneof("parameter_choice") for key, value in proto.parameters.items()}
    assert kinds == {
        "s": "string_param",
        "i": "int64_param",
        "b": "bool_param",
        "d": "double_param",
        "one": "int64_param",
    }
    assert (proto.parameters["i"].int64_param, proto.parameters["b"].bool_param) == (-1, True)


def test_a_small_response_is_one_buffer_and_a_large_tensor_is_not_copied() -> None:
    assert len(encode_infer(response(), (), {}, True).buffers) == 1
    data = np.zeros((1, 100_000), np.float32)
    large = InferResponse("m", "1", (OutputTensor("OUT", "FP32", data.shape, data),))
    head, tensor = encode_infer(large, (), {}, True).buffers
    assert isinstance(head, bytes)
    assert isinstance(tensor, memoryview)
    assert np.shares_memory(np.frombuffer(tensor, np.float32), data)


@given(st.lists(st.tuples(st.text(max_size=5), st.lists(st.integers(0, 40), max_size=3)), max_size=4))
def test_any_outputs_come_back_from_protobuf(outputs: list[tuple[str, list[int]]]) -> None:
    tensors = tuple(
        OutputTensor(name, "UINT8", tuple(shape), np.arange(int(np.prod(shape)), dtype=np.uint8).reshape(shape))
        for name, shape in outputs
    )
    proto = service_pb2.ModelInferResponse.FromString(
        written(encode_infer(InferResponse("m", "1", tensors), (), {}, True))
    )
    assert [(o.name, list(o.shape)) for o in proto.outputs] == outputs
    assert list(proto.raw_output_contents) == [tensor.data.tobytes() for tensor in tensors]


def test_a_tensor_that_is_no_contiguous_block_is_written_in_order() -> None:
    data = np.arange(20_000, dtype=np.float32).reshape(100, 200).T
    large = InferResponse("m", "1", (OutputTensor("OUT", "FP32", data.shape, data),))
    proto = service_pb2.ModelInferResponse.FromString(written(encode_infer(large, (), {}, True)))
    assert proto.raw_output_contents[0] == data.tobytes()


def test_classes() -> None:
    told = encode_infer(response(), (RequestedOutput("OUT", 2), RequestedOutput("TEXT")), {"OUT": ("x",)}, True)
    proto = service_pb2.ModelInferResponse.FromString(written(told))
    assert [(o.datatype, list(o.shape)) for o in proto.outputs] == [("BYTES", [2, 2]), ("BYTES", [2])]
    assert proto.raw_output_contents[0].startswith(b"\x0a\0\0\x007.000000:7")


def test_a_stream_response_says_whether_it_is_the_last() -> None:
    for final in (True, False):
        told = encode_stream_response(response(id="7", final=final), (), {}, True)
        proto = service_pb2.ModelStreamInferResponse.FromString(written(told))
        assert proto.error_message == ""
        assert proto.infer_response.id == "7"
        assert proto.infer_response.parameters["triton_final_response"].bool_param is final
        assert len(proto.infer_response.raw_output_contents) == 2


def test_a_stream_response_tells_its_timing_and_its_size_without_it() -> None:
    plain = service_pb2.ModelStreamInferResponse.FromString(written(encode_stream_response(response(), (), {}, True)))
    timing = RequestTiming(9_000, 1_000, 2_000, 3_000, 0)
    told = encode_stream_response(response(timing=timing), (), {}, True, (), 70)
    proto = service_pb2.ModelStreamInferResponse.FromString(written(told)).infer_response
    asked = {name: value.int64_param for name, value in proto.parameters.items() if name.startswith("naiad-")}
    assert asked == timing_parameters(timing, 70, plain.infer_response.ByteSize())
    for name in asked:
        del proto.parameters[name]
    assert proto == plain.infer_response


def test_a_stream_error_names_the_model_if_the_request_had_got_so_far() -> None:
    proto = service_pb2.ModelStreamInferResponse.FromString(written(encode_stream_error("no \ud800", "7")))
    assert (proto.error_message, proto.infer_response.id, proto.infer_response.model_name) == ("no ?", "7", "")
    assert not proto.infer_response.parameters
    proto = service_pb2.ModelStreamInferResponse.FromString(written(encode_stream_error("no", "", ("m", "1"))))
    assert (proto.infer_response.model_name, proto.infer_response.model_version) == ("m", "1")
    assert proto.infer_response.parameters["triton_final_response"].bool_param
