# SPDX-License-Identifier: Apache-2.0
"""What `tritonclient.grpc` can ask of a server, asked with both of its clients."""

import asyncio
import json
import queue
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
from tests.e2e.serving import Serving
from tests.e2e.triton_clients import BlockingAioClient
from tests.e2e.triton_models import DATATYPES, FAILURE
from tritonclient.grpc import InferInput, InferRequestedOutput, InferResult
from tritonclient.grpc.auth import BasicAuth
from tritonclient.utils import InferenceServerException

from naiad import __version__

_PENDING = 'nv_inference_pending_request_count{model="left",version="1"} '
_ROWS: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False, True]]),
    "BF16": np.array([[1.5, -2, 3e38]], ml_dtypes.bfloat16),
    "FP16": np.array([[1.5, -2, 65504]], np.float16),
    "FP32": np.array([[0.1, np.nan, np.inf]], np.float32),
    "FP64": np.array([[0.1, -2, 5e-324]], np.float64),
    "BYTES": np.array([[b"a", b"", b"\xff\x00" * 1000]], object),
}


class AioClient(BlockingAioClient):
    """The asyncio client, with its stream behind one call."""

    def __init__(self, address: str) -> None:
        super().__init__(address, tritonclient.grpc.aio)

    def stream(
        self, requests: list[dict[str, Any]], answers_each: int = 1
    ) -> list[tuple[InferResult | None, Exception | None]]:
        """Send requests over one stream; return the answers, however many there are."""

        async def ask(client: Any) -> list[Any]:
            return [answer async for answer in client.stream_infer(_each(requests))]

        return self.run(ask)


async def _each(requests: list[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    for request in requests:
        yield request


class SyncClient(tritonclient.grpc.InferenceServerClient):  # type: ignore[misc]  # it has no annotations
    """The blocking client, with its stream behind one call."""

    def stream(
        self, requests: list[dict[str, Any]], answers_each: int = 1
    ) -> list[tuple[InferResult | None, Exception | None]]:
        """Send requests over one stream; return the answers."""
        answers: queue.Queue[Any] = queue.Queue()
        self.start_stream(lambda result, error: answers.put((result, error)))
        for request in requests:
            self.async_stream_infer(**request)
        found = [answers.get(timeout=30) for _ in range(answers_each * len(requests))]
        self.stop_stream()
        return found


@pytest.fixture(params=["sync", "aio"])
def client(request: pytest.FixtureRequest, triton_server: Serving) -> Iterator[Any]:
    """Either of tritonclient's gRPC clients."""
    made = (SyncClient if request.param == "sync" else AioClient)(triton_server.grpc)
    yield made
    made.close()


def tensor(name: str, array: np.ndarray, datatype: str = "FP32") -> InferInput:
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array)
    return made


def row(value: float = 1) -> list[InferInput]:
    return [tensor("INPUT0", np.full((1, 3), value, np.float32))]


def test_parameters_reach_the_model_and_come_back(client: Any) -> None:
    parameters = {"text": "ü", "number": -3, "truth": True, "fraction": 0.5}
    answer = client.infer("parameters", [], parameters=parameters, priority=2)
    told = answer.get_response().parameters
    values = told["text"].string_param, told["number"].int64_param, told["truth"].bool_param
    assert (*values, told["fraction"].double_param, len(told)) == ("ü", -3, True, 0.5, 4)
    assert json.loads(answer.as_numpy("OUTPUT0")[0]) == parameters


def test_health(client: Any) -> None:
    assert client.is_server_live() is True
    assert client.is_server_ready(headers={"x-asked-by": "a test"}, client_timeout=30) is True
    assert client.is_model_ready("versions", "2") is True
    assert client.is_model_ready("versions", "9") is False
    assert client.is_model_ready("missing") is False


def test_metadata(client: Any) -> None:
    server = client.get_server_metadata(as_json=True)
    assert (server["name"], server["version"]) == ("naiad", __version__)
    model = client.get_model_metadata("add_sub")
    assert (model.name, list(model.versions), model.platform) == ("add_sub", ["1"], "onnxruntime_onnx")
    assert [(one.name, one.datatype, list(one.shape)) for one in model.outputs] == [
        ("OUTPUT0", "FP32", [-1, 4]),
        ("OUTPUT1", "FP32", [-1, 4]),
    ]
    assert list(client.get_model_metadata("versions").versions) == ["1", "2"]


def test_config(client: Any) -> None:
    config = client.get_model_config("add_sub").config
    assert (config.name, config.max_batch_size) == ("add_sub", 4)
    assert [(one.name, list(one.dims)) for one in config.input] == [("INPUT0", [4]), ("INPUT1", [4])]


def test_statistics(client: Any) -> None:
    before = client.get_inference_statistics("counted").model_stats[0]
    client.infer("counted", row())
    after = client.get_inference_statistics("counted", "1").model_stats[0]
    assert after.inference_count - before.inference_count == 1
    assert after.inference_stats.success.count - before.inference_stats.success.count == 1


def test_repository_index(client: Any) -> None:
    index = client.get_model_repository_index(as_json=True)["models"]
    assert [one["version"] for one in index if one["name"] == "versions"] == ["1", "2"]


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_comes_back(client: Any, datatype: str) -> None:
    sent = _ROWS.get(datatype)
    if sent is None:
        dtype = np.dtype(datatype.lower())
        sent = np.array([[np.iinfo(dtype).min, 1, np.iinfo(dtype).max]], dtype)
    answer = client.infer(f"identity_{datatype.lower()}", [tensor("INPUT0", sent, datatype)], request_id="7")
    got = answer.as_numpy("OUTPUT0")
    assert (got == sent).all() if datatype == "BYTES" else np.array_equal(got, sent, equal_nan=got.dtype.kind == "f")
    assert answer.get_response().id == "7"


def test_two_inputs_and_chosen_outputs(client: Any) -> None:
    pair = [tensor("INPUT0", np.array([[1, 2, 3, 4]], np.float32)), tensor("INPUT1", np.full((1, 4), 10, np.float32))]
    answer = client.infer("add_sub", pair, outputs=[InferRequestedOutput("OUTPUT1")])
    assert answer.as_numpy("OUTPUT0") is None
    assert answer.as_numpy("OUTPUT1").tolist() == [[-9, -8, -7, -6]]


def test_versions(client: Any) -> None:
    for version in ("1", "2"):
        answer = client.infer("versions", row_of_versions(), model_version=version)
        assert answer.get_response().model_version == version
    assert client.infer("versions", row_of_versions()).get_response().model_version == "2"


def row_of_versions() -> list[InferInput]:
    return [tensor("INPUT0", np.ones((1, 2), np.float32))]


def test_classes_with_labels(client: Any) -> None:
    scores = np.array([[0.1, 0.9, 0.3, 0.2, 0.0]], np.float32)
    wanted = [InferRequestedOutput("OUTPUT0", class_count=2)]
    answer = client.infer("labelled", [tensor("INPUT0", scores)], outputs=wanted)
    assert answer.as_numpy("OUTPUT0").tolist() == [[b"0.900000:1:bee", b"0.300000:2:cat"]]


def test_large_tensors(client: Any) -> None:
    sent = np.random.default_rng(1).random((1, 1_228_800), dtype=np.float32)
    assert np.array_equal(client.infer("wide", [tensor("INPUT0", sent)]).as_numpy("OUTPUT0"), sent)


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client: Any, algorithm: str) -> None:
    sent = np.zeros((1, 100_000), np.float32)
    answer = client.infer("wide", [tensor("INPUT0", sent)], compression_algorithm=algorithm)
    assert np.array_equal(answer.as_numpy("OUTPUT0"), sent)


@pytest.mark.parametrize(
    ("ask", "status", "text"),
    [
        (
            lambda client: client.infer("missing", row()),
            "StatusCode.NOT_FOUND",
            "Request for unknown model: 'missing' is not found",
        ),
        (
            lambda client: client.infer("versions", row_of_versions(), model_version="3"),
            "StatusCode.NOT_FOUND",
            "Request for unknown model: 'versions' version 3 is not found",
        ),
        (lambda client: client.infer("failing", row()), "StatusCode.INTERNAL", FAILURE),
        (
            lambda client: client.infer("counted", [tensor("INPUT0", np.ones((9, 3), np.float32))], request_id="7"),
            "StatusCode.INVALID_ARGUMENT",
            "[request id: 7] inference request batch-size must be <= 8 for 'counted'",
        ),
        (
            lambda client: client.load_model("counted"),
            "StatusCode.UNAVAILABLE",
            "explicit model load / unload is not allowed if polling is enabled",
        ),
        (
            lambda client: client.unload_model("counted"),
            "StatusCode.UNAVAILABLE",
            "explicit model load / unload is not allowed if polling is enabled",
        ),
        (
            lambda client: client.register_system_shared_memory("region", "/key", 16),
            "StatusCode.UNIMPLEMENTED",
            "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable.",
        ),
        (
            lambda client: client.get_cuda_shared_memory_status("region"),
            "StatusCode.NOT_FOUND",
            "Unable to find cuda shared memory region: 'region'",
        ),
        (
            lambda client: client.get_trace_settings("nobody"),
            "StatusCode.INVALID_ARGUMENT",
            "Request for unknown model : nobody",
        ),
        (
            lambda client: client.update_log_settings({"log_format": "x"}),
            "StatusCode.INVALID_ARGUMENT",
            "invalid argument for log_format, got: x",
        ),
    ],
)
def test_errors(client: Any, ask: Callable[[Any], object], status: str, text: str) -> None:
    with pytest.raises(InferenceServerException) as caught:
        ask(client)
    assert (caught.value.status(), caught.value.message()) == (status, text)


def test_a_client_timeout(client: Any) -> None:
    with pytest.raises(InferenceServerException) as caught:
        client.infer("left", row(), client_timeout=0.05)
    assert caught.value.status() == "StatusCode.DEADLINE_EXCEEDED"


def test_a_stream_of_requests_for_several_models(client: Any) -> None:
    requests = [
        {"model_name": "counted", "inputs": row(1), "request_id": "1"},
        {"model_name": "missing", "inputs": row(2), "request_id": "2"},
        {"model_name": "failing", "inputs": row(3), "request_id": "3"},
        {"model_name": "wide", "inputs": row(4), "request_id": "4"},
    ]
    first, missing, failing, last = client.stream(requests)
    for (result, error), value in ((first, 1), (last, 4)):
        assert error is None
        assert result is not None
        assert result.as_numpy("OUTPUT0").tolist() == [[value] * 3]
        assert result.get_response().parameters["triton_final_response"].bool_param
    assert str(missing[1]) == "Request for unknown model: 'missing' is not found"
    assert str(failing[1]) == FAILURE


def repeat(values: list[int], delay_ms: int, request_id: str) -> dict[str, Any]:
    arrays = {
        "IN": np.array(values, np.int32),
        "DELAY": np.full(len(values), delay_ms, np.uint32),
        "WAIT": np.zeros(1, np.uint32),
    }
    inputs = [tensor(name, array, "INT32" if name == "IN" else "UINT32") for name, array in arrays.items()]
    return {"model_name": "repeat", "inputs": inputs, "request_id": request_id, "enable_empty_final_response": True}


def test_a_decoupled_model_answers_each_request_as_often_as_it_likes(client: Any) -> None:
    answers = client.stream([repeat([1, 2, 3], 30, "a"), repeat([4, 5, 6], 20, "b")], answers_each=4)
    told: dict[str, list[int | None]] = {"a": [], "b": []}
    for result, error in answers:
        assert error is None
        assert result is not None
        response = result.get_response()
        final = response.parameters["triton_final_response"].bool_param
        told[response.id].append(None if final else int(result.as_numpy("OUT")[0]))
    end = [None] if isinstance(client, SyncClient) else []  # the asyncio client does not ask for it
    assert told == {"a": [1, 2, 3, *end], "b": [4, 5, 6, *end]}
    ids = [result.get_response().id for result, _ in answers if result is not None]
    assert ids != sorted(ids), "the responses of several requests come between each other"


def test_a_client_that_leaves_a_stream_leaves_nothing_behind(triton_server: Serving) -> None:
    """A withdrawn request ends at once, however long its model would go on."""

    def figures() -> Any:
        with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as asking:
            return asking.get_inference_statistics("repeat").model_stats[0].inference_stats.fail.count

    before = figures()
    for _ in range(5):
        client = tritonclient.grpc.InferenceServerClient(triton_server.grpc)
        answers: queue.Queue[Any] = queue.Queue()
        client.start_stream(lambda result, error, answers=answers: answers.put((result, error)))
        client.async_stream_infer(**repeat([1] * 10_000, 10, "long"))
        answers.get(timeout=30)
        client.stop_stream(cancel_requests=True)
        client.close()
    deadline_s = time.monotonic() + 10
    while figures() - before != 5:
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_requests_at_once_share_batches_and_get_their_own_rows(triton_server: Serving) -> None:
    async def ask() -> list[float]:
        async with tritonclient.grpc.aio.InferenceServerClient(triton_server.grpc) as client:
            answers = await asyncio.gather(*(client.infer("gathering", row(value)) for value in range(4)))
            return [float(answer.as_numpy("OUTPUT0")[0, 0]) for answer in answers]

    assert asyncio.run(ask()) == [0, 1, 2, 3]


def test_a_request_may_say_all_that_the_client_knows(client: Any) -> None:
    answer = client.infer(
        "counted",
        row(2),
        model_version="1",
        request_id="my request",
        sequence_id=7,
        sequence_start=True,
        sequence_end=True,
        priority=2,
        timeout=5_000_000,
        headers={"x-asked-by": "a test"},
        parameters={"text": "ü", "number": -3, "truth": True},
    )
    response = answer.get_response()
    assert (response.id, response.model_name, response.model_version) == ("my request", "counted", "1")
    assert answer.as_numpy("OUTPUT0").tolist() == [[2, 2, 2]]


def pending(server: Serving) -> str:
    """Return how many requests wait for the slow model that nobody waits for."""
    (line,) = (one for one in server.metrics().splitlines() if one.startswith(_PENDING))
    return line.removeprefix(_PENDING)


def wait_for_pending(server: Serving, count: int) -> None:
    deadline_s = time.monotonic() + 10
    while pending(server) != str(count):
        assert time.monotonic() < deadline_s, pending(server)
        time.sleep(0.01)


def test_a_request_is_cancelled(triton_server: Serving) -> None:
    """Two for a model that takes its time for each: the second waits for the first, and is withdrawn."""
    answers: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as client:
        asked = [client.async_infer("left", row(), lambda **answer: answers.put(answer["error"])) for _ in range(2)]
        wait_for_pending(triton_server, 1)
        for one in asked:
            one.cancel()
        for _ in asked:
            assert answers.get(timeout=30).status() == "StatusCode.CANCELLED"
        wait_for_pending(triton_server, 0)


def test_a_stream_is_cancelled(triton_server: Serving) -> None:
    errors: queue.Queue[Any] = queue.Queue()
    with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as client:
        client.start_stream(lambda **answer: errors.put(answer["error"]))
        for _ in range(3):
            client.async_stream_infer("left", row())
        wait_for_pending(triton_server, 2)
        client.stop_stream(cancel_requests=True)
        assert errors.get(timeout=30).status() == "StatusCode.CANCELLED"
        wait_for_pending(triton_server, 0)


def test_an_asyncio_stream_is_cancelled(triton_server: Serving) -> None:
    async def ask(client: Any) -> None:
        answers = client.stream_infer(_each([{"model_name": "left", "inputs": row()}] * 3))
        first = asyncio.ensure_future(anext(answers))
        await asyncio.to_thread(wait_for_pending, triton_server, 2)
        assert answers.cancel() is True
        with pytest.raises(asyncio.CancelledError):
            await first

    with AioClient(triton_server.grpc) as client:
        client.run(ask)
    wait_for_pending(triton_server, 0)


def test_basic_authentication_by_a_plugin_goes_with_each_call(triton_server: Serving) -> None:
    """A server without keys lets it pass."""
    with tritonclient.grpc.InferenceServerClient(triton_server.grpc) as client:
        client.register_plugin(BasicAuth("somebody", "secret"))
        assert client.is_server_ready()
        assert client.infer("counted", row(3)).as_numpy("OUTPUT0").tolist() == [[3, 3, 3]]


def test_settings_of_the_log_are_told_and_changed(client: Any) -> None:
    assert client.get_log_settings(as_json=True)["settings"]["log_format"] == {"string_param": "default"}
    changed = client.update_log_settings({"log_warning": False}, as_json=True)["settings"]
    assert changed["log_warning"] == {"bool_param": False}
    changed = client.update_log_settings({"log_warning": True}, as_json=True)["settings"]
    assert changed["log_warning"] == {"bool_param": True}


def test_settings_of_traces_are_told_and_changed(client: Any) -> None:
    settings = client.get_trace_settings(as_json=True)
    assert settings["settings"]["trace_level"] == {"value": ["OFF"]}
    changed = client.update_trace_settings("counted", {"trace_rate": "5"}, as_json=True)["settings"]
    assert changed["trace_rate"] == {"value": ["5"]}
    assert client.get_trace_settings(as_json=True) == settings
    assert client.update_trace_settings("counted", {"trace_rate": None}, as_json=True) == settings
