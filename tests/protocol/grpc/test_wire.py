# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.proto import service_pb2
from naiad.protocol.grpc.wire import (
    MOST_FIELDS,
    TooManyFieldsError,
    check_field_count,
    field_head,
    first_tensor_at,
    length_delimited,
    packed,
    split_infer_request,
    varint,
)


@st.composite
def requests(draw: st.DrawFn) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(
        model_name=draw(st.text(max_size=5)), model_version=draw(st.text(max_size=2)), id=draw(st.text(max_size=200))
    )
    for name in draw(st.lists(st.text(max_size=4), max_size=3)):
        request.inputs.add(name=name, datatype="FP32", shape=draw(st.lists(st.integers(-1, 2**40), max_size=3)))
    for name in draw(st.lists(st.text(max_size=4), max_size=2)):
        request.outputs.add(name=name)
    if draw(st.booleans()):
        request.parameters["key"].int64_param = draw(st.integers(-5, 5))
    request.raw_input_contents.extend(draw(st.lists(st.binary(max_size=300), max_size=3)))
    return request


@given(requests())
def test_a_request_is_split_and_nothing_is_lost(request: service_pb2.ModelInferRequest) -> None:
    message = memoryview(request.SerializeToString())
    split = split_infer_request(message)
    assert split is not None
    joined = service_pb2.ModelInferRequest.FromString(split.declaration)
    assert (joined.id, list(joined.raw_input_contents)) == ("", [])
    joined.id = str(split.id, "utf-8")
    joined.raw_input_contents.extend(bytes(raw) for raw in split.raws)
    assert joined == request
    assert all(raw.obj is message.obj for raw in split.raws)
    at = first_tensor_at(message)
    assert at == 0 if not request.raw_input_contents else message[at:][: len(split.raws[0])] == split.raws[0]


@given(requests(), st.data())
def test_a_cut_request_is_left_to_protobuf_or_means_what_protobuf_says(
    request: service_pb2.ModelInferRequest, data: st.DataObject
) -> None:
    message = request.SerializeToString()
    cut = message[: data.draw(st.integers(0, len(message)))]
    split = split_infer_request(memoryview(cut))
    assert first_tensor_at(memoryview(cut)) <= len(cut)
    if split is not None:
        whole = service_pb2.ModelInferRequest.FromString(cut)
        assert [bytes(raw) for raw in split.raws] == list(whole.raw_input_contents)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(b"\x08\x01", id="a number"),
        pytest.param(b"\x42\x01x", id="an unknown field"),
        pytest.param(b"\xc2\x3e\x01x", id="a field with a long number"),
        pytest.param(b"\x3a", id="no length"),
        pytest.param(b"\x3a\x05abc", id="cut content"),
        pytest.param(b"\x3a\xff\xff\xff\xff\xff\xff\x01x", id="an absurd length"),
    ],
)
def test_what_is_not_simple_is_left_to_protobuf(message: bytes) -> None:
    assert split_infer_request(memoryview(message)) is None
    assert first_tensor_at(memoryview(message)) in {0, 2}


@given(st.integers(-(2**63), 2**63 - 1))
def test_numbers_are_written_as_protobuf_writes_them(number: int) -> None:
    tensor = service_pb2.ModelInferResponse.InferOutputTensor(shape=[number])
    assert packed(3, [number]) == tensor.SerializeToString()


@given(st.binary(max_size=400))
def test_contents_are_written_as_protobuf_writes_them(content: bytes) -> None:
    response = service_pb2.ModelInferResponse(raw_output_contents=[content])
    assert length_delimited(6, content) == field_head(6, len(content)) + content == response.SerializeToString()
    assert varint(300) == b"\xac\x02"


@pytest.mark.parametrize("field", [b"\x2a\x00", b"\x32\x00", b"\x3a\x00", b"\x22\x00"])
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"", id="known fields"),
        pytest.param(b"\x08\x01", id="a number"),
        pytest.param(b"\xc2\x3e\x01x", id="a field with a long number"),
        pytest.param(b"\xa3\x06\xa4\x06", id="a group"),
        pytest.param(b"\xa1\x06" + bytes(8) + b"\xa5\x06" + bytes(4), id="fixed sizes"),
        pytest.param(b"\x42\x80\x80\x80\x80\x80\x00", id="a length longer than it has to be"),
    ],
)
def test_a_message_of_very_many_fields_is_not_read(before: bytes, field: bytes) -> None:
    """10 MB of empty inputs held the loop up for 15 s, and protobuf makes an object of each."""
    with pytest.raises(TooManyFieldsError):
        split_or_count(before + field * (MOST_FIELDS + 1))
    split_or_count(before + field * (MOST_FIELDS - 10))


def split_or_count(message: bytes) -> None:
    if split_infer_request(memoryview(message)) is None:
        check_field_count(memoryview(message))


@given(st.binary(max_size=40))
def test_counting_the_fields_of_nonsense_comes_to_an_end(nonsense: bytes) -> None:
    check_field_count(memoryview(nonsense))


def test_an_id_that_is_there_twice_is_left_to_protobuf() -> None:
    assert split_infer_request(memoryview(b"\x1a\x01\xff\x1a\x01a")) is None
    once = split_infer_request(memoryview(b"\x1a\x01a"))
    assert once is not None
    assert bytes(once.id) == b"a"
