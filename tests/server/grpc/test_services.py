# SPDX-License-Identifier: Apache-2.0
"""Every method over a real socket, with grpcio as the client."""

import threading
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from tests.server.grpc.serving import WAIT_S, Served, served
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.errors import UnavailableError
from naiad.snapshots import LogSettings

FLOATS = np.arange(4, dtype=np.float32)


@pytest.fixture(scope="module")
def port() -> Iterator[Served]:
    with served() as serving:
        yield serving


@pytest.fixture
def serving(port: Served) -> Iterator[Served]:
    yield port
    port.release()
    for model in (port.model, port.decoupled):
        model.holds, model.error = False, None
        model.cancelled, model.requests, model.held_back = [], [], []
        model.fails_at = None
    port.catalog.ready = True


@pytest.fixture
def channel(serving: Served) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(serving.address) as opened:
        yield opened


@pytest.fixture
def stub(channel: grpc.Channel) -> Any:
    return service_pb2_grpc.GRPCInferenceServiceStub(channel)


def request(name: str = "m", request_id: str = "", **parameters: int) -> pb.ModelInferRequest:
    made = pb.ModelInferRequest(model_name=name, id=request_id, raw_input_contents=[FLOATS.tobytes()])
    made.inputs.add(name="IN", datatype="FP32", shape=[4])
    for key, value in parameters.items():
        if isinstance(value, bool):
            made.parameters[key].bool_param = value
        else:
            made.parameters[key].int64_param = value
    return made


def status(call: Any, message: object, **details: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call(message, timeout=WAIT_S, **details)
    error: Any = caught.value
    return error.code(), error.details()


def test_health(stub: Any, serving: Served, channel: grpc.Channel) -> None:
    check = channel.unary_unary("/grpc.health.v1.Health/Check", lambda data: data, lambda data: data)
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live
    assert stub.ServerReady(pb.ServerReadyRequest(), timeout=WAIT_S).ready
    assert check(b"\x0a\x03any", timeout=WAIT_S) == b"\x08\x01"
    serving.catalog.ready = False
    assert not stub.ServerReady(pb.ServerReadyRequest(), timeout=WAIT_S).ready
    assert check(b"", timeout=WAIT_S) == b"\x08\x02"


def test_model_ready_is_false_for_a_model_that_does_not_exist(stub: Any) -> None:
    assert stub.ModelReady(pb.ModelReadyRequest(name="m", version="1"), timeout=WAIT_S).ready
    assert not stub.ModelReady(pb.ModelReadyRequest(name="nobody"), timeout=WAIT_S).ready


def test_metadata_config_statistics_and_index(stub: Any) -> None:
    assert stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=WAIT_S).name == "naiad"
    assert stub.ModelMetadata(pb.ModelMetadataRequest(name="m"), timeout=WAIT_S).platform == "identity"
    assert stub.ModelConfig(pb.ModelConfigRequest(name="m"), timeout=WAIT_S).config.backend == "identity"
    (statistics,) = stub.ModelStatistics(pb.ModelStatisticsRequest(name="m"), timeout=WAIT_S).model_stats
    assert statistics.inference_count == 3
    assert len(stub.ModelStatistics(pb.ModelStatisticsRequest(), timeout=WAIT_S).model_stats) == 2
    index = stub.RepositoryIndex(pb.RepositoryIndexRequest(), timeout=WAIT_S).models
    assert [(row.name, row.state) for row in index] == [("m", "READY"), ("broken", "")]
    assert len(stub.RepositoryIndex(pb.RepositoryIndexRequest(ready=True), timeout=WAIT_S).models) == 1


BAD_VERSION = (
    "failed to get model version from specified version string 'abc' (details: stol), version should be an integral "
    "value > 0"
)
NO_REPOSITORY = (grpc.StatusCode.UNIMPLEMENTED, "'repository_name' specification is not supported")
NO_CONTROL = (
    grpc.StatusCode.UNAVAILABLE,
    "explicit model load / unload is not allowed if polling is enabled",
)
NO_SHARED_MEMORY = (
    grpc.StatusCode.UNIMPLEMENTED,
    "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
)
UNKNOWN = (grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'nobody' is not found")


@pytest.mark.parametrize(
    ("method", "message", "answer"),
    [
        ("ModelMetadata", pb.ModelMetadataRequest(name="nobody"), UNKNOWN),
        ("ModelConfig", pb.ModelConfigRequest(name="nobody"), UNKNOWN),
        ("ModelInfer", request("nobody"), UNKNOWN),
        ("ModelReady", pb.ModelReadyRequest(name="m", version="abc"), (grpc.StatusCode.INVALID_ARGUMENT, BAD_VERSION)),
        (
            "ModelMetadata",
            pb.ModelMetadataRequest(name="m", version="abc"),
            (grpc.StatusCode.INVALID_ARGUMENT, BAD_VERSION),
        ),
        (
            "ModelStatistics",
            pb.ModelStatisticsRequest(name="nobody"),
            (grpc.StatusCode.INVALID_ARGUMENT, "requested model 'nobody' is not available"),
        ),
        ("RepositoryIndex", pb.RepositoryIndexRequest(repository_name="r"), NO_REPOSITORY),
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(repository_name="r", model_name="m"), NO_REPOSITORY),
        ("RepositoryModelLoad", pb.RepositoryModelLoadRequest(model_name="m"), NO_CONTROL),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(repository_name="r"), NO_REPOSITORY),
        ("RepositoryModelUnload", pb.RepositoryModelUnloadRequest(model_name="m"), NO_CONTROL),
        (
            "ModelInfer",
            request("d"),
            (
                grpc.StatusCode.UNIMPLEMENTED,
                "ModelInfer RPC doesn't support models with decoupled transaction policy",
            ),
        ),
        (
            "TraceSetting",
            pb.TraceSettingRequest(model_name="nobody"),
            (grpc.StatusCode.INVALID_ARGUMENT, "Request for unknown model : nobody"),
        ),
        ("SystemSharedMemoryRegister", pb.SystemSharedMemoryRegisterRequest(name="r"), NO_SHARED_MEMORY),
        ("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(), NO_SHARED_MEMORY),
        ("CudaSharedMemoryRegister", pb.CudaSharedMemoryRegisterRequest(name="r"), NO_SHARED_MEMORY),
        ("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(), NO_SHARED_MEMORY),
    ],
)
def test_errors_have_tritons_status_and_text(
    stub: Any, method: str, message: object, answer: tuple[grpc.StatusCode, str]
) -> None:
    assert status(getattr(stub, method), message) == answer


def test_the_settings_of_the_log_are_changed_and_told(stub: Any, serving: Served) -> None:
    asked = pb.LogSettingsRequest()
    asked.settings["log_info"].bool_param = False
    asked.settings["log_format"].string_param = "ISO8601"
    told = stub.LogSettings(asked, timeout=WAIT_S).settings
    assert told["log_info"].bool_param is False
    assert serving.log.settings == LogSettings(info=False, format="ISO8601")
    asked.settings["log_format"].string_param = "x"
    answer = status(stub.LogSettings, asked)
    assert answer == (grpc.StatusCode.INVALID_ARGUMENT, "invalid argument for log_format, got: x")


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nope", "/grpc.health.v1.Health/Watch", "/x/y"])
def test_an_unknown_method_is_unimplemented(channel: grpc.Channel, path: str) -> None:
    call = channel.unary_unary(path, lambda data: data, lambda data: data)
    assert status(call, b"") == (grpc.StatusCode.UNIMPLEMENTED, "")


def test_every_method_of_the_service_is_there(serving: Served) -> None:
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    known = serving.server._state.methods
    assert {f"/inference.GRPCInferenceService/{method.name}" for method in methods} < set(known)


@pytest.mark.parametrize("method", ["ServerLive", "ModelInfer", "ModelMetadata"])
def test_what_is_no_message_is_refused(channel: grpc.Channel, method: str) -> None:
    call = channel.unary_unary(f"/inference.GRPCInferenceService/{method}", lambda data: data, lambda data: data)
    assert status(call, b"\xff\xff") == (grpc.StatusCode.INTERNAL, "Unable to parse request")


def test_what_is_no_request_for_health_is_refused(channel: grpc.Channel) -> None:
    call = channel.unary_unary("/grpc.health.v1.Health/Check", lambda data: data, lambda data: data)
    assert status(call, b"\x0a\x01\xff") == (grpc.StatusCode.INTERNAL, "Unable to parse request")


def test_a_unary_call_without_a_message_is_refused_and_takes_the_first_of_several(channel: grpc.Channel) -> None:
    call = channel.stream_unary("/inference.GRPCInferenceService/ServerLive", lambda data: data, lambda data: data)
    assert status(call, iter([])) == (grpc.StatusCode.INTERNAL, "Unable to parse request")
    assert call(iter([b"", b"\xff"]), timeout=WAIT_S) == b"\x08\x01"


def test_inference(stub: Any) -> None:
    answer = stub.ModelInfer(request(request_id="7"), timeout=WAIT_S)
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "1", "7")
    assert list(answer.raw_output_contents) == [FLOATS.tobytes()]


def test_a_failure_of_the_model_becomes_the_status(stub: Any, serving: Served) -> None:
    serving.model.error = UnavailableError("Exceeds maximum queue size é\n")
    assert status(stub.ModelInfer, request()) == (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size é\n")


def test_an_unforeseen_error_is_logged_and_not_told(
    stub: Any, serving: Served, caplog: pytest.LogCaptureFixture
) -> None:
    broken = request()
    broken.inputs.add(name="MORE", datatype="FP32", shape=[4])
    broken.raw_input_contents.append(b"")  # the fake model takes exactly one input
    code, text = status(stub.ModelInfer, broken)
    assert (code, text.partition(";")[0]) == (
        grpc.StatusCode.INTERNAL,
        "internal error while handling the request",
    )
    assert "unforeseen error while handling /inference.GRPCInferenceService/ModelInfer" in caplog.text


@pytest.mark.parametrize("size", [0, 1, 5_000, 16_384, 100_000, 1_300_000])
def test_messages_of_any_size_come_back(serving: Served, size: int) -> None:
    data = np.random.default_rng(size).random(size, dtype=np.float32)
    made = pb.ModelInferRequest(model_name="m", raw_input_contents=[data.tobytes()])
    made.inputs.add(name="IN", datatype="FP32", shape=[size])
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(serving.address, options=options) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(3):
            answer = stub.ModelInfer(made, timeout=WAIT_S)
            assert answer.raw_output_contents[0] == data.tobytes()
    serving.model.requests.clear()
    serving.until(lambda: serving.budget.in_flight_bytes == 0)


def test_many_calls_at_once_on_one_connection(stub: Any) -> None:
    calls = [stub.ModelInfer.future(request(request_id=str(i)), timeout=WAIT_S) for i in range(300)]
    assert [call.result().id for call in calls] == [str(i) for i in range(300)]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("size", [4, 500_000])
def test_compressed_requests(stub: Any, serving: Served, compression: grpc.Compression, size: int) -> None:
    data = np.zeros(size, np.float32)
    made = pb.ModelInferRequest(model_name="m", raw_input_contents=[data.tobytes()])
    made.inputs.add(name="IN", datatype="FP32", shape=[size])
    answer = stub.ModelInfer(made, timeout=WAIT_S, compression=compression)
    assert answer.raw_output_contents[0] == data.tobytes()
    answers = list(stub.ModelStreamInfer(iter([made, made]), timeout=WAIT_S, compression=compression))
    assert [len(one.infer_response.raw_output_contents[0]) for one in answers] == [data.nbytes] * 2


# -- deadlines and cancellation


def test_a_client_that_cancels_withdraws_its_request(stub: Any, serving: Served) -> None:
    serving.model.holds = True
    call = stub.ModelInfer.future(request(request_id="gone"), timeout=WAIT_S)
    serving.until(lambda: len(serving.model.held) == 1)
    call.cancel()
    serving.until(lambda: serving.model.cancelled == ["gone"])
    serving.release()
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live


def test_a_client_that_vanishes_withdraws_its_requests(serving: Served) -> None:
    serving.model.holds = True
    with grpc.insecure_channel(serving.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        calls = [stub.ModelInfer.future(request(request_id=str(i)), timeout=WAIT_S) for i in range(3)]
        serving.until(lambda: len(serving.model.held) == 3)
    serving.until(lambda: sorted(serving.model.cancelled, key=str) == ["0", "1", "2"])
    assert all(call.done() for call in calls)


def test_a_deadline_withdraws_the_request(stub: Any, serving: Served) -> None:
    serving.model.holds = True
    with pytest.raises(grpc.RpcError) as caught:
        stub.ModelInfer(request(request_id="late"), timeout=0.05)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    serving.until(lambda: serving.model.cancelled == ["late"])


# -- streams


def stream(stub: Any, *requests: pb.ModelInferRequest, **details: Any) -> list[pb.ModelStreamInferResponse]:
    return list(stub.ModelStreamInfer(iter(requests), timeout=WAIT_S, **details))


def test_a_stream_answers_in_order_and_ends(stub: Any) -> None:
    answers = stream(stub, *(request(request_id=str(i)) for i in range(50)))
    assert [answer.infer_response.id for answer in answers] == [str(i) for i in range(50)]
    assert all(answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers)
    assert stream(stub) == []


def test_answers_keep_the_order_of_the_requests(stub: Any, serving: Served) -> None:
    serving.model.holds = True
    answers: list[pb.ModelStreamInferResponse] = []
    sent = [request(request_id="1"), request("nobody", "2"), request(request_id="3")]
    reading = threading.Thread(target=lambda: answers.extend(stream(stub, *sent)))
    reading.start()
    serving.until(lambda: len(serving.model.held) == 2)

    def last_first() -> None:
        for answer in reversed(serving.model.held):
            answer()
        serving.model.held = []

    serving.on_loop(last_first)
    reading.join(WAIT_S)
    assert [answer.infer_response.id for answer in answers] == ["1", "2", "3"]
    assert answers[1].error_message == "Request for unknown model: 'nobody' is not found"
    assert not answers[1].infer_response.parameters


def test_a_failure_of_the_model_names_it_and_is_final(stub: Any, serving: Served) -> None:
    """With the version that was asked for, as Triton does."""
    serving.model.error = UnavailableError("no")
    (answer,) = stream(stub, request(request_id="1"))
    assert (answer.error_message, answer.infer_response.id) == ("no", "1")
    assert (answer.infer_response.model_name, answer.infer_response.model_version) == ("m", "")
    assert answer.infer_response.parameters["triton_final_response"].bool_param


def test_a_decoupled_model_answers_as_often_as_it_likes(stub: Any) -> None:
    answers = stream(stub, request("d", "1", answers=3), request("d", "2", answers=0), request("m", "3"))
    assert [answer.infer_response.id for answer in answers] == ["1", "1", "1", "3"]
    finals = [answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers]
    assert finals == [False, False, False, True]


def test_the_empty_final_response_is_sent_to_who_asked_for_it(stub: Any) -> None:
    asked = request("d", "1", answers=1, triton_enable_empty_final_response=True)
    first, last = stream(stub, asked)
    assert len(first.infer_response.raw_output_contents) == 1
    assert last.infer_response.parameters["triton_final_response"].bool_param
    assert (last.infer_response.id, last.infer_response.model_name) == ("1", "d")
    assert (last.infer_response.model_version, list(last.infer_response.outputs)) == ("", [])


def test_an_error_in_between_is_told_and_does_not_end_a_decoupled_request(stub: Any, serving: Served) -> None:
    serving.decoupled.fails_at = 1
    answers = stream(stub, request("d", "1", answers=3, triton_enable_empty_final_response=True))
    assert [answer.error_message for answer in answers] == ["", "bad", "", ""]
    finals = [answer.infer_response.parameters["triton_final_response"].bool_param for answer in answers]
    assert finals == [False, False, False, True]
    failed = answers[1].infer_response
    assert (failed.id, failed.model_name, failed.model_version, len(failed.outputs)) == ("1", "d", "", 0)


def test_a_decoupled_model_waits_while_the_client_reads_nothing(stub: Any, serving: Served) -> None:
    asked = request("d", "1", answers=32)
    asked.inputs[0].shape[:] = [2**18]
    asked.raw_input_contents[0] = bytes(2**20)
    serving.decoupled.holds = True
    call = stub.ModelStreamInfer(iter([asked]), timeout=WAIT_S)
    serving.until(lambda: len(serving.decoupled.held) == 33)
    last = serving.decoupled.held.pop()
    serving.release()
    serving.until(lambda: serving.decoupled.held_back[-1:] == [True])
    assert [len(next(call).infer_response.raw_output_contents[0]) for _ in range(32)] == [2**20] * 32
    serving.until(lambda: serving.decoupled.held_back[-1:] == [False])
    serving.on_loop(last)
    assert list(call) == []


def test_strict_streams_end_with_the_first_failure_in_its_turn(stub: Any) -> None:
    call = stub.ModelStreamInfer(
        iter([request(request_id="1"), request("nobody", "2"), request(request_id="3")]),
        timeout=WAIT_S,
        metadata=[("triton_grpc_error", "true")],
    )
    assert next(call).infer_response.id == "1"
    with pytest.raises(grpc.RpcError) as caught:
        next(call)
    error: Any = caught.value
    assert (error.code(), error.details()) == UNKNOWN


def test_a_stream_that_is_cancelled_withdraws_its_requests(stub: Any, serving: Served) -> None:
    serving.model.holds = serving.decoupled.holds = True
    call = stub.ModelStreamInfer(iter([request(request_id="1"), request("d", "2", answers=1)]), timeout=WAIT_S)
    serving.until(lambda: len(serving.model.held) + len(serving.decoupled.held) == 3)
    call.cancel()
    serving.until(lambda: (serving.model.cancelled, serving.decoupled.cancelled) == (["1"], ["2"]))


def test_what_is_no_message_ends_a_stream(channel: grpc.Channel) -> None:
    call = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer", lambda data: data, lambda data: data
    )
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter([b"\xff"]), timeout=WAIT_S))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
