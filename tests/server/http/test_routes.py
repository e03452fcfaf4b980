# SPDX-License-Identifier: Apache-2.0
"""The HTTP port's whole table over a data plane with a fake model: statuses, content types and texts."""

import asyncio
import gc
import gzip
import json
import logging
import weakref
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from tests.telemetry.traces.conftest import KeptTraces

from naiad.config.proto import ModelConfig
from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.engine.pending import OnResponse
from naiad.errors import InternalError, NaiadError, NotFoundError, UnavailableError
from naiad.protocol.http1.head import Limits, parse_head
from naiad.protocol.http1.responses import Headers
from naiad.requests import InferRequest, InferResponse, OutputTensor
from naiad.server.http.exchange import Exchange
from naiad.server.http.handlers.metrics import metrics_handler
from naiad.server.http.routes import inference_api
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.regions import Regions
from naiad.snapshots import (
    IndexEntry,
    LogSettings,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ServerMetadata,
    TensorMetadata,
    TraceSettings,
)
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.traces.trace import Trace
from naiad.telemetry.traces.tracer import Tracer


class FakeModel:
    """Gives back its FP32 input as output, a decoupled one `responses`; holds requests when `holds` is set."""

    def __init__(self, *, decoupled: bool = False) -> None:
        self.name, self.version = "m", "1"
        self.config = ModelConfig(name="m", backend="identity")
        self.is_decoupled = decoupled
        tensor = TensorMetadata("IN", "FP32", (-1,))
        self.metadata = ModelMetadata("m", ("1",), "identity", (tensor,), (TensorMetadata("OUT", "FP32", (-1,)),))
        self.holds = False
        self.held: list[Callable[[], None]] = []
        self.cancelled: list[object] = []
        self.error: NaiadError | None = None
        self.responses: list[InferResponse | NaiadError] = []
        self.held_back: list[bool] = []
        self.on_response: OnResponse | None = None

    def statistics(self) -> ModelStatistics:
        return ModelStatistics("m", "1", inference_count=3)

    def submit(self, request: InferRequest, on_response: OnResponse, trace: Trace | None = None) -> str:
        if self.is_decoupled:
            self.on_response = on_response
            for one in self.responses:
                on_response(one)
            return "pending"
        (tensor,) = request.inputs
        data = np.frombuffer(tensor.data, np.float32) if isinstance(tensor.data, memoryview) else tensor.data
        output = OutputTensor("OUT", "FP32", data.shape, data)
        response = self.error or InferResponse("m", "1", (output,), request.id)
        if self.holds:
            self.held.append(lambda: on_response(response))
        else:
            on_response(response)
        return "pending"

    def cancel(self, pending: object) -> None:
        self.cancelled.append(pending)

    def hold_back(self, pending: object, holds_back: bool) -> None:
        if [holds_back] != self.held_back[-1:]:
            self.held_back.append(holds_back)


def part(*values: float) -> InferResponse:
    """A response that others follow."""
    output = OutputTensor("OUT", "FP32", (len(values),), np.array(values, np.float32))
    return InferResponse("m", "1", (output,), final=False)


BAD = InferResponse("m", "1", (), final=False, error=InternalError("bad"))
LAST = InferResponse("m", "1", ())
TEXTS = {1: '{"OUT":1.0,"model_name":"m","model_version":"1"}', 2: '{"OUT":2.0,"model_name":"m","model_version":"1"}'}
NOT_ONE = (
    "generate expects model to produce exactly 1 response, use generate stream for model that generates various number "
    "of responses"
)


class FakeCatalog:
    """A catalog of `m`, and of `loading`, which is not ready."""

    def __init__(self, model: FakeModel) -> None:
        self.model = model
        self.is_all_ready = True

    def find(self, name: str, version: str) -> Model:
        if name == "loading":
            raise UnavailableError("Request for unknown model: 'loading' version 1 is not at ready state")
        if name != "m":
            raise NotFoundError(f"Request for unknown model: '{name}' is not found")
        if version not in {"", "1"}:
            raise NotFoundError(f"Request for unknown model: 'm' version {version} is not found")
        return cast(Model, self.model)

    def ready_versions(self, name: str) -> Sequence[str]:
        return ["1"] if name == "m" else []

    def all_ready(self) -> Sequence[Model]:
        return [cast(Model, self.model)]

    def is_ready(self) -> bool:
        return self.is_all_ready

    def index(self) -> Sequence[IndexEntry]:
        return [IndexEntry("m", "1", ModelState.READY), IndexEntry("loading", "1", ModelState.LOADING)]


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        return str(self.document["error"])


class Api:
    """Asks the router as a connection does, and waits for the answer."""

    def __init__(self) -> None:
        self.model = FakeModel()
        self.catalog = FakeCatalog(self.model)
        self.budget = BodyBudget()
        self.slow_work = SlowWork()
        self.log = ServerLog(handler=logging.NullHandler())
        dataplane = DataPlane(self.catalog, ServerMetadata("naiad", "1.0", ("binary_tensor_data",)))
        regions = Regions(allowed=False)
        tracer = Tracer(TraceSettings(), KeptTraces())
        self.handler = inference_api(dataplane, regions, self.slow_work, self.budget, self.log, tracer, 4_000_000)
        self._answer: asyncio.Future[Answer] | None = None

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Sequence[bytes | memoryview]) -> None:
        assert self._answer is not None
        fields = {name.decode(): value.decode() for name, value in headers}
        self._answer.set_result(Answer(status, fields, b"".join(buffers)))

    def begin(self, exchange: Exchange, status: int, headers: Headers) -> None:
        self._begun = status, {name.decode(): value.decode() for name, value in headers}
        self._pieces: list[bytes] = []

    def go_on(self, exchange: Exchange, buffers: Sequence[bytes | memoryview]) -> None:
        self._pieces.append(b"".join(buffers))

    def finish(self, exchange: Exchange) -> None:
        assert self._answer is not None
        self._answer.set_result(Answer(*self._begun, b"".join(self._pieces)))

    def cut(self, exchange: Exchange) -> None:
        raise AssertionError("the answer was cut")

    def open(self, method: str, target: str, body: bytes = b"", **fields: str) -> Exchange:
        """Make an exchange; `fields` are header fields with `_` for `-`. Needs a running loop."""
        lines = [f"{method} {target} HTTP/1.1", *(f"{name.replace('_', '-')}: {fields[name]}" for name in fields)]
        head = parse_head("\r\n".join([*lines, "", ""]).encode(), Limits())
        self._answer = asyncio.get_running_loop().create_future()
        return Exchange(self, head, body)

    def ask(self, method: str, target: str, body: bytes = b"", **fields: str) -> Answer:
        async def scenario() -> Answer:
            exchange = self.open(method, target, body, **fields)
            exchange.run(self.handler, exchange)
            assert self._answer is not None
            return await asyncio.wait_for(self._answer, 5)

        return asyncio.run(scenario())

    def infer(self, body: bytes, **fields: str) -> Answer:
        return self.ask("POST", "/v2/models/m/infer", body, **fields)


@pytest.fixture
def api() -> Iterator[Api]:
    made = Api()
    yield made
    made.slow_work.close()


JSON_TYPE, TEXT_TYPE = {"Content-Type": "application/json"}, {"Content-Type": "text/plain"}
EVENT_TYPE = {"Content-Type": "text/event-stream; charset=utf-8"}


def request_json(values: Sequence[float], **more: object) -> bytes:
    tensor = {"name": "IN", "datatype": "FP32", "shape": [len(values)], "data": list(values)}
    return json.dumps({"inputs": [tensor], **more}).encode()


def request_binary(values: Sequence[float]) -> tuple[bytes, str]:
    data = np.array(values, np.float32).tobytes()
    tensor = {"name": "IN", "datatype": "FP32", "shape": [len(values)], "parameters": {"binary_data_size": len(data)}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    return text + data, str(len(text))


class TestInformation:
    def test_health_is_told_by_the_status_alone(self, api: Api) -> None:
        assert api.ask("GET", "/v2/health/live") == (200, TEXT_TYPE, b"")
        assert api.ask("GET", "/v2/health/ready") == (200, TEXT_TYPE, b"")
        api.catalog.is_all_ready = False
        assert api.ask("GET", "/v2/health/ready") == (400, TEXT_TYPE, b"")
        assert api.ask("GET", "/v2/health/live").status == 200

    def test_model_readiness_knows_no_404(self, api: Api) -> None:
        assert api.ask("GET", "/v2/models/m/ready") == (200, TEXT_TYPE, b"")
        assert api.ask("GET", "/v2/models/m/versions/1/ready").status == 200
        for target in ("/v2/models/m/versions/9/ready", "/v2/models/x/ready", "/v2/models/loading/ready"):
            assert api.ask("GET", target) == (400, TEXT_TYPE, b'{"error":"Model version not ready"}')

    def test_the_settings_of_the_log_are_told_and_changed(self, api: Api) -> None:
        told = b'"log_warning":true,"log_error":true,"log_verbose_level":0,"log_format":"default"}'
        assert api.ask("GET", "/v2/logging") == (200, JSON_TYPE, b'{"log_file":"","log_info":true,' + told)
        assert api.ask("POST", "/v2/logging", b'{"log_info":false}').document["log_info"] is False
        assert api.ask("POST", "/v2/logging", b'{"log_error":false,"log_format":"x"}').status == 503
        assert api.log.settings == LogSettings(info=False, error=False)

    def test_documents(self, api: Api) -> None:
        server = api.ask("GET", "/v2")
        assert (server.status, server.fields) == (200, JSON_TYPE)
        assert server.document == {"name": "naiad", "version": "1.0", "extensions": ["binary_tensor_data"]}
        assert api.ask("GET", "/v2/models/m").document["versions"] == ["1"]
        assert api.ask("GET", "/v2/models/m/versions/1").document["platform"] == "identity"
        assert api.ask("GET", "/v2/models/m/config").document["backend"] == "identity"
        for target in ("/v2/models/stats", "/v2/models/m/stats", "/v2/models/m/versions/1/stats"):
            (row,) = api.ask("GET", target).document["model_stats"]
            assert (row["name"], row["inference_count"]) == ("m", 3)

    def test_index_lists_all_or_the_ready_ones(self, api: Api) -> None:
        target = "/v2/repository/index"
        assert [row["name"] for row in api.ask("POST", target).document] == ["m", "loading"]
        assert [row["name"] for row in api.ask("POST", "/v2/repository/any/index").document] == ["m", "loading"]
        assert [row["name"] for row in api.ask("POST", target, b'{"ready":true}').document] == ["m"]
        refused = api.ask("POST", target, b'{"ready":1}')
        assert (refused.status, refused.error) == (400, "Invalid value for 'ready': expected a boolean")

    def test_unknown_and_unready_models(self, api: Api) -> None:
        for suffix in ("", "/config"):
            unknown = api.ask("GET", "/v2/models/x" + suffix)
            assert (unknown.status, unknown.error) == (404, "Request for unknown model: 'x' is not found")
            assert unknown.fields == JSON_TYPE
            assert api.ask("GET", "/v2/models/loading" + suffix).status == 503
        stats = api.ask("GET", "/v2/models/x/stats")
        assert (stats.status, stats.error) == (400, "requested model 'x' is not available")

    @pytest.mark.parametrize(
        ("method", "suffix"), [("GET", ""), ("GET", "/config"), ("POST", "/infer"), ("GET", "/versions/1/config")]
    )
    def test_a_model_called_v2_is_a_wrong_url(self, api: Api, method: str, suffix: str) -> None:
        """Ultralytics asks for it when it is given `http://host:port/v2/models/yolo`."""
        answer = api.ask(method, "/v2/models/v2" + suffix)

        assert answer.status == 404
        assert answer.error == (
            "Request for unknown model: 'v2' is not found. The model's name is the first part of the URL's path: use "
            "http://host:port/<model>, not http://host:port/v2/models/<model>. Loaded models: m"
        )


class TestInfer:
    def test_json(self, api: Api) -> None:
        answer = api.infer(request_json([1, 2.5], id="7"))

        assert (answer.status, answer.fields) == (200, JSON_TYPE)
        assert answer.document == {
            "id": "7",
            "model_name": "m",
            "model_version": "1",
            "outputs": [{"name": "OUT", "datatype": "FP32", "shape": [2], "data": [1.0, 2.5]}],
        }

    def test_binary(self, api: Api) -> None:
        body, json_length = request_binary([1, 2.5])

        answer = api.infer(body, Inference_Header_Content_Length=json_length)

        assert answer.status == 200
        assert answer.fields["Content-Type"] == "application/octet-stream"
        length = int(answer.fields["Inference-Header-Content-Length"])
        assert json.loads(answer.body[:length])["outputs"][0]["parameters"] == {"binary_data_size": 8}
        assert np.frombuffer(answer.body[length:], np.float32).tolist() == [1, 2.5]

    def test_raw(self, api: Api) -> None:
        answer = api.infer(np.array([3, 4], np.float32).tobytes(), Inference_Header_Content_Length="0")

        assert np.frombuffer(answer.body[-8:], np.float32).tolist() == [3, 4]
        assert api.infer(b"").status == 200

    def test_a_large_json_body_is_read_and_written_in_a_thread(self, api: Api) -> None:
        values = [0.5] * 300_000

        answer = api.infer(request_json(values))

        assert answer.document["outputs"][0]["data"] == values

    @pytest.mark.parametrize("size", [4, 2000, 50_000])
    @pytest.mark.parametrize("coding", ["gzip", "deflate"])
    def test_compressed_both_ways(self, api: Api, coding: str, size: int) -> None:
        body, json_length = request_binary(np.random.default_rng(1).random(size, np.float32).tolist())
        packed = gzip.compress(body) if coding == "gzip" else zlib.compress(body)

        answer = api.infer(
            packed, Content_Encoding=coding, Inference_Header_Content_Length=json_length, Accept_Encoding=coding
        )

        assert answer.status == 200
        assert answer.fields["Content-Encoding"] == coding
        unpacked = gzip.decompress(answer.body) if coding == "gzip" else zlib.decompress(answer.body)
        length = int(answer.fields["Inference-Header-Content-Length"])
        assert unpacked[length:] == body[int(json_length) :]
        api.slow_work.close()  # its threads let go of what they made
        gc.collect()  # and so does the loop, which is gone
        assert api.budget.in_flight_bytes == 0

    def test_errors_are_never_compressed(self, api: Api) -> None:
        answer = api.infer(b"{}", Accept_Encoding="gzip")

        assert answer.status == 500
        assert answer.error == "Unable to parse 'inputs': attempt to access non-existing object member 'inputs'"
        assert "Content-Encoding" not in answer.fields

    def test_corrupt_compression_is_400_in_thread_and_on_the_loop(self, api: Api) -> None:
        for size in (100, 10_000):
            answer = api.infer(b"\x1f\x8b\x08" + bytes(size), Content_Encoding="gzip")
            assert answer.status == 400
            assert "gzip data" in answer.error
        assert api.budget.in_flight_bytes == 0

    def test_a_bomb_is_refused(self, api: Api) -> None:
        answer = api.infer(gzip.compress(bytes(5_000_000)), Content_Encoding="gzip")

        assert answer.status == 400
        assert answer.error.endswith(
            "exceeds the maximum allowed input size of 4000000 bytes. Use --http-max-input-size to increase the limit."
        )

    def test_an_unknown_coding_is_501_and_tells_the_known_ones(self, api: Api) -> None:
        answer = api.infer(request_json([1]), Content_Encoding="br")

        assert (answer.status, answer.error) == (501, "Unsupported compression type")
        assert answer.fields == {**TEXT_TYPE, "Accept-Encoding": "gzip, deflate"}

    def test_the_model_is_looked_up_before_anything_is_read(self, api: Api) -> None:
        answer = api.ask("POST", "/v2/models/x/infer", b"{}", Content_Encoding="br")

        assert (answer.status, answer.fields) == (404, TEXT_TYPE)
        assert answer.error == "Request for unknown model: 'x' is not found"
        assert api.ask("POST", "/v2/models/loading/infer").status == 503

    def test_the_header_length_is_checked_against_the_plain_body(self, api: Api) -> None:
        packed = gzip.compress(b" " * 50)

        answer = api.infer(packed, Content_Encoding="gzip", Inference_Header_Content_Length="51")

        assert (answer.status, answer.error) == (
            400,
            "inference header size should be in range (0, 50), got: 51",
        )

    def test_a_decoupled_model_is_501(self, api: Api) -> None:
        api.catalog.model = FakeModel(decoupled=True)

        answer = api.infer(request_json([1]))

        assert answer.status == 501
        assert answer.error == "HTTP end point doesn't support models with decoupled transaction policy"

    def test_the_models_error_is_the_answer(self, api: Api) -> None:
        api.model.error = UnavailableError("Exceeds maximum queue size")

        answer = api.infer(request_json([1]))

        assert (answer.status, answer.error) == (503, "Exceeds maximum queue size")
        assert answer.fields == JSON_TYPE

    def test_a_client_that_leaves_cancels_its_request(self, api: Api) -> None:
        async def scenario() -> None:
            api.model.holds = True
            exchange = api.open("POST", "/v2/models/m/infer", request_json([1]))
            exchange.run(api.handler, exchange)
            assert api.model.cancelled == []
            exchange.cancel()
            assert api.model.cancelled == ["pending"]
            api.model.held[0]()  # an answer that was under way goes nowhere
            assert api._answer is not None
            assert not api._answer.done()

        asyncio.run(scenario())

    def test_a_client_that_leaves_while_its_body_is_read_is_forgotten(self, api: Api) -> None:
        async def scenario() -> None:
            api.model.holds = True
            exchange = api.open("POST", "/v2/models/m/infer", request_json([0.5] * 300_000))
            exchange.run(api.handler, exchange)
            exchange.cancel()
            api.slow_work.close()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert api.model.held == []

        asyncio.run(scenario())


class TestGenerate:
    @pytest.mark.parametrize("path", ["/v2/models/m/generate", "/v2/models/m/versions/1/generate"])
    def test_one_object(self, api: Api, path: str) -> None:
        assert api.ask("POST", path, b'{"id":"7","IN":[1,2.5],"mood":"fine"}') == (
            200,
            JSON_TYPE,
            b'{"OUT":[1.0,2.5],"id":"7","model_name":"m","model_version":"1"}',
        )

    def test_a_stream_of_one_event(self, api: Api) -> None:
        assert api.ask("POST", "/v2/models/m/generate_stream", b'{"IN":3}') == (
            200,
            EVENT_TYPE,
            b'data: {"OUT":3.0,"model_name":"m","model_version":"1"}\n\n',
        )

    def test_what_is_wrong_with_the_request_is_told_as_json(self, api: Api) -> None:
        for path in ("generate", "generate_stream"):
            answer = api.ask("POST", f"/v2/models/m/{path}", b"{")
            assert (answer.status, answer.fields) == (500, JSON_TYPE)
            assert answer.error.startswith("failed to parse the request JSON buffer")
            assert api.ask("POST", f"/v2/models/nobody/{path}", b"{").status == 404
            answer = api.ask("POST", f"/v2/models/m/{path}", b"{}", Content_Encoding="gzip")
            assert (answer.status, answer.error) == (
                400,
                "Unsupported content-encoding, only 'identity' is supported.",
            )

    def test_the_models_error_is_an_event_of_a_stream(self, api: Api) -> None:
        api.model.error = UnavailableError("Request timeout expired")
        assert api.ask("POST", "/v2/models/m/generate", b'{"IN":3}') == (
            400,
            JSON_TYPE,
            b'{"error":"Request timeout expired"}',
        )
        assert api.ask("POST", "/v2/models/m/generate_stream", b'{"IN":3}') == (
            400,
            EVENT_TYPE,
            b'data: {"error":"Request timeout expired"}\n\n',
        )

    def test_a_large_body_is_read_and_written_in_a_thread(self, api: Api) -> None:
        values = [0.5] * 300_000
        assert api.ask("POST", "/v2/models/m/generate", json.dumps({"IN": values}).encode()).document["OUT"] == values

    def decoupled(self, api: Api, *responses: InferResponse | NaiadError) -> FakeModel:
        model = api.catalog.model = api.model = FakeModel(decoupled=True)
        model.responses = list(responses)
        return model

    @pytest.mark.parametrize(
        ("responses", "status", "events"),
        [
            ([part(1), part(2), LAST], 200, [TEXTS[1], TEXTS[2]]),
            ([part(1)._replace(final=True)], 200, [TEXTS[1]]),
            ([LAST], 200, []),
            ([BAD, part(2), LAST], 400, ['{"error":"bad"}', TEXTS[2]]),
            ([part(1), BAD, part(2), LAST], 200, [TEXTS[1], '{"error":"bad"}', TEXTS[2]]),
            ([part(1), InternalError("worst")], 200, [TEXTS[1], '{"error":"worst"}']),
            ([InternalError("worst")], 400, ['{"error":"worst"}']),
        ],
    )
    def test_each_response_of_a_decoupled_model_is_an_event(
        self, api: Api, responses: list[InferResponse | NaiadError], status: int, events: list[str]
    ) -> None:
        self.decoupled(api, *responses)
        answer = api.ask("POST", "/v2/models/m/generate_stream", b'{"IN":3}')
        assert answer == (status, EVENT_TYPE, "".join(f"data: {event}\n\n" for event in events).encode())

    @pytest.mark.parametrize(
        ("responses", "status", "text"),
        [
            ([part(1), LAST], 200, TEXTS[1]),
            ([part(1)._replace(final=True)], 200, TEXTS[1]),
            ([BAD, LAST], 400, '{"error":"bad"}'),
            ([InternalError("worst")], 400, '{"error":"worst"}'),
            ([LAST], 200, json.dumps({"error": NOT_ONE}, separators=(",", ":"))),
            ([part(1), part(2), LAST], 200, json.dumps({"error": NOT_ONE}, separators=(",", ":"))),
            ([part(1), InternalError("worst")], 200, json.dumps({"error": NOT_ONE}, separators=(",", ":"))),
            ([BAD, part(2)], 400, json.dumps({"error": NOT_ONE}, separators=(",", ":"))),
        ],
    )
    def test_one_object_is_the_only_response_of_a_decoupled_model(
        self, api: Api, responses: list[InferResponse | NaiadError], status: int, text: str
    ) -> None:
        self.decoupled(api, *responses)
        assert api.ask("POST", "/v2/models/m/generate", b'{"IN":3}') == (status, JSON_TYPE, text.encode())

    def test_a_second_response_to_who_wants_one_ends_the_request(self, api: Api) -> None:
        model = self.decoupled(api)

        async def scenario() -> None:
            exchange = api.open("POST", "/v2/models/m/generate", b'{"IN":3}')
            exchange.run(api.handler, exchange)
            assert model.on_response is not None
            model.on_response(part(1))
            assert (exchange.waiting, model.cancelled) == (True, [])
            model.on_response(part(2))
            assert (exchange.waiting, model.cancelled) == (False, ["pending"])

        asyncio.run(scenario())

    @pytest.mark.parametrize("ends", [LAST, InternalError("worst"), None], ids=["well", "badly", "cancelled"])
    @pytest.mark.parametrize("path", ["generate", "generate_stream"])
    def test_a_request_that_has_ended_is_let_go_of(
        self, api: Api, path: str, ends: InferResponse | NaiadError | None
    ) -> None:
        model = self.decoupled(api)

        async def scenario() -> None:
            exchange = api.open("POST", f"/v2/models/m/{path}", b'{"IN":3}')
            exchange.run(api.handler, exchange)
            assert model.on_response is not None
            taker = weakref.ref(model.on_response.__self__)  # type: ignore[attr-defined]
            gc.disable()
            try:
                model.on_response(part(1))
                if ends is None:
                    exchange.cancel()
                else:
                    model.on_response(ends)
                model.on_response = None
                assert taker() is None
            finally:
                gc.enable()

        asyncio.run(scenario())

    def test_large_events_are_written_in_a_thread_and_keep_their_place(self, api: Api) -> None:
        model = self.decoupled(api)

        async def scenario() -> Answer:
            exchange = api.open("POST", "/v2/models/m/generate_stream", b'{"IN":3}')
            exchange.run(api.handler, exchange)
            assert model.on_response is not None
            model.on_response(part(*[0.5] * 70_000))
            assert model.held_back[-1] is True
            for response in (part(1), part(*[0.25] * 70_000)):
                model.on_response(response)
            while model.held_back[-1]:  # noqa: ASYNC110 - what is waited for is in a thread
                await asyncio.sleep(0.001)
            model.on_response(LAST)
            assert api._answer is not None
            return await asyncio.wait_for(api._answer, 5)

        answer = asyncio.run(scenario())
        events = [json.loads(event.removeprefix("data: ")) for event in answer.body.decode().split("\n\n")[:-1]]
        assert [event["OUT"] for event in events] == [[0.5] * 70_000, 1.0, [0.25] * 70_000]

    def test_a_decoupled_model_waits_while_its_client_does_not_read(self, api: Api) -> None:
        model = self.decoupled(api, part(1))

        async def scenario() -> None:
            exchange = api.open("POST", "/v2/models/m/generate_stream", b'{"IN":3}')
            exchange.run(api.handler, exchange)
            assert exchange.on_full is not None
            exchange.on_full(True)
            assert model.held_back[-1] is True
            exchange.on_full(False)
            assert model.held_back[-1] is False
            exchange.cancel()
            assert model.cancelled == ["pending"]

        asyncio.run(scenario())

    def test_a_client_that_leaves_cancels_its_request(self, api: Api) -> None:
        async def scenario() -> None:
            api.model.holds = True
            exchange = api.open("POST", "/v2/models/m/generate", b'{"IN":3}')
            exchange.run(api.handler, exchange)
            exchange.cancel()
            assert api.model.cancelled == ["pending"]
            api.model.held[0]()  # an answer that was under way goes nowhere

        asyncio.run(scenario())


class TestRefused:
    @pytest.mark.parametrize(
        ("method", "target", "status", "text"),
        [
            ("POST", "/v2/repository/models/m/load", 503,
             "explicit model load / unload is not allowed if polling is enabled"),
            ("POST", "/v2/repository/models/m/unload", 503,
             "explicit model load / unload is not allowed if polling is enabled"),
            ("POST", "/v2/repository/r/models/m/load", 501, "'repository_name' specification is not supported"),
            ("POST", "/v2/systemsharedmemory/region/r/register", 501,
             "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."),
            ("POST", "/v2/cudasharedmemory/unregister", 501,
             "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."),
            ("GET", "/v2/models/nobody/trace/setting", 400, "Request for unknown model : nobody"),
            ("POST", "/v2/models/m/trace/setting", 500,
             "failed to parse the request JSON buffer: The document is empty. at 0"),
            ("PUT", "/v2/trace/setting", 405, "Method Not Allowed"),
            ("PUT", "/v2/logging", 405, "Method Not Allowed"),
            ("GET", "/v2/models/m/versions/1/trace/setting", 404, "Not Found"),
            ("GET", "/v2/models/m/infer", 405, "Method Not Allowed"),
            ("GET", "/v2/", 404, "Not Found"),
        ],
    )  # fmt: skip
    def test_says_why(self, api: Api, method: str, target: str, status: int, text: str) -> None:
        answer = api.ask(method, target)

        assert answer.status == status
        assert text in answer.error


class TestMetrics:
    @pytest.mark.parametrize(
        ("method", "target", "status", "body"),
        [
            ("GET", "/metrics", 200, b"nv_x 1\n"),
            ("GET", "/metrics/", 200, b"nv_x 1\n"),
            ("GET", "/metrics?a=b", 200, b"nv_x 1\n"),
            ("GET", "/", 200, b""),
            ("POST", "/metrics", 405, b'{"error":"Method Not Allowed"}'),
        ],
    )
    def test_port(self, api: Api, method: str, target: str, status: int, body: bytes) -> None:
        api.handler = metrics_handler(lambda: b"nv_x 1\n")  # type: ignore[assignment]

        answer = api.ask(method, target)

        assert (answer.status, answer.body) == (status, body)
        assert answer.fields["Content-Type"].startswith("text/plain")
