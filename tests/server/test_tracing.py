# SPDX-License-Identifier: Apache-2.0
"""Traces of a whole server, over both protocols, in both modes."""

import http.client
import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as triton_grpc
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.builtin_models import FREE_PORTS, identity, of_kind, write_model
from tests.telemetry.traces.collector import Collector
from tritonclient.utils import InferenceServerException

import naiad
from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options import TraceOptions
from naiad.server.tracing import Tracing

MODELS = {
    "identity": identity(),
    "failing": identity(kind="fail"),
    "slow": identity(kind="delay", delay_us="300000") + "instance_group { count: 1 kind: KIND_CPU }",
    "repeat": of_kind("repeat", fail_value="13"),
}
BODY = b'{"id":"my-id","inputs":[{"name":"X","datatype":"FP32","shape":[1,2],"data":[1,0.5]}]}'
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
DEADLINE_S = 10

ENGINE = ["REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
ENGINE += ["INFER_RESPONSE_COMPLETE", "REQUEST_END"]

Record = dict[str, Any]
Serve = Callable[..., naiad.Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return a function that starts a server with some models and so many `--trace-config`."""
    repository = tmp_path / "models"
    for name, config in MODELS.items():
        write_model(repository, name, config)
    started: list[naiad.Server] = []

    def start(*trace_config: str) -> naiad.Server:
        server = naiad.Server(repository, **FREE_PORTS, trace_config=trace_config)
        started.append(server)
        server.start()
        return server

    yield start
    for server in started:
        server.stop()


def _ask(server: naiad.Server, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=DEADLINE_S)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text) if text else None


def _infer(server: naiad.Server, body: bytes = BODY, model: str = "identity", **headers: str) -> int:
    return _ask(server, "POST", f"/v2/models/{model}/infer", body, **headers)[0]


def _grpc(server: naiad.Server) -> Any:
    return triton_grpc.InferenceServerClient(server.grpc_url.removeprefix("grpc://"))


def _input() -> Any:
    tensor = triton_grpc.InferInput("X", [1, 2], "FP32")
    return tensor.set_data_from_numpy(np.array([[1, 0.5]], np.float32))


def _records(path: Path) -> list[Record]:
    return list(json.loads(path.read_text()))


def _stamps(records: list[Record], number: int) -> list[str]:
    found = [record["timestamps"][0] for record in records if record["id"] == number and "timestamps" in record]
    return [stamp["name"] for stamp in sorted(found, key=lambda stamp: stamp["ns"])]


class TestTritonsFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / "trace.json"

    def test_requests_of_both_protocols_are_in_it(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        assert _infer(server) == 200
        with _grpc(server) as client:
            client.infer("identity", [_input()], request_id="over-grpc")
        server.stop()
        records = _records(path)
        assert [record for record in records if "model_name" in record] == [
            {"id": 1, "model_name": "identity", "model_version": 1, "request_id": "my-id"},
            {"id": 2, "model_name": "identity", "model_version": 1, "request_id": "over-grpc"},
        ]
        assert _stamps(records, 1) == ["HTTP_RECV_START", "HTTP_RECV_END", *ENGINE, "HTTP_SEND_START", "HTTP_SEND_END"]
        assert _stamps(records, 2) == [
            *("GRPC_WAITREAD_START", "GRPC_WAITREAD_END"),
            *ENGINE,
            *("GRPC_SEND_START", "GRPC_SEND_END"),
        ]

    def test_tensors_are_in_it(self, path: Path, serve: Serve) -> None:
        server = serve("level=TENSORS", "rate=1", f"triton,file={path}")
        assert _infer(server) == 200
        server.stop()
        assert _records(path) == [
            {"id": 1, "activity": activity, "tensor": {"name": name, "data": "1,0.5", "shape": "1,2", "dtype": "FP32"}}
            for activity, name in (("TENSOR_QUEUE_INPUT", "X"), ("TENSOR_BACKEND_OUTPUT", "Y"))
        ]

    def test_each_request_of_a_stream_has_a_trace_of_its_own(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        answers: list[object] = []
        with _grpc(server) as client:
            client.start_stream(lambda result, error: answers.append(result or error))
            for number in range(3):
                client.async_stream_infer("identity", [_input()], request_id=str(number))
            client.stop_stream()
        assert len(answers) == 3
        server.stop()
        records = _records(path)
        assert [record["request_id"] for record in records if "model_name" in record] == ["0", "1", "2"]
        for number in (1, 2, 3):
            assert _stamps(records, number)[-2:] == ["GRPC_SEND_START", "GRPC_SEND_END"]

    def test_the_generate_extension_is_traced(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        _ask(server, "POST", "/v2/models/identity/generate", b'{"X":[1,2]}')
        server.stop()
        assert _stamps(_records(path), 1)[-2:] == ["HTTP_SEND_START", "HTTP_SEND_END"]

    @pytest.mark.parametrize("values", [[1, 2, 3], [1, 13, 3]])
    def test_a_decoupled_model_completes_several_responses(self, values: list[int], path: Path, serve: Serve) -> None:
        """Also when one of them is an error."""
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        inputs = {"IN": np.array(values, np.int32), "DELAY": np.zeros(3, np.uint32), "WAIT": np.zeros(1, np.uint32)}
        body = json.dumps({name: array.tolist() for name, array in inputs.items()}).encode()
        connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=DEADLINE_S)
        connection.request("POST", "/v2/models/repeat/generate_stream", body)
        assert connection.getresponse().read().count(b"data: ") == 3
        connection.close()
        with _grpc(server) as client:
            client.start_stream(lambda result, error: None)  # noqa: ARG005 - what they are is not of interest
            tensors = [
                triton_grpc.InferInput(name, list(array.shape), f"{'U' if array.dtype.kind == 'u' else ''}INT32")
                for name, array in inputs.items()
            ]
            for tensor, array in zip(tensors, inputs.values(), strict=True):
                tensor.set_data_from_numpy(array)
            client.async_stream_infer("repeat", tensors)
            client.stop_stream()
        server.stop()
        records = _records(path)
        over_http, over_grpc = _stamps(records, 1), _stamps(records, 2)
        for stamps in (over_http, over_grpc):
            assert stamps.count("INFER_RESPONSE_COMPLETE") == 3
            assert stamps.count("COMPUTE_END") == stamps.count("REQUEST_END") == 1
        assert (over_http.count("HTTP_SEND_START"), over_http[-1]) == (1, "HTTP_SEND_END")
        assert (over_grpc.count("GRPC_SEND_START"), over_grpc.count("GRPC_SEND_END")) == (3, 3)

    def test_a_request_that_fails_in_the_model_is_whole(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        assert _infer(server, model="failing") == 500
        server.stop()
        assert _stamps(_records(path), 1)[2:-2] == ENGINE

    def test_a_request_that_no_model_accepts_is_not_in_it(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        assert _infer(server, b"x") == 500
        assert _infer(server, BODY.replace(b"[1,2]", b"[1,3]").replace(b"0.5", b"0.5,2")) == 400
        assert _infer(server, model="nobody") == 404
        assert _infer(server) == 200
        server.stop()
        assert {record["id"] for record in _records(path)} == {3}

    def test_the_large_body_was_received_for_some_time(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}")
        host, port = server.http_url.removeprefix("http://").split(":")
        body = BODY + b" " * 100_000
        head = b"POST /v2/models/identity/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body)
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + body[:20_000])
            time.sleep(0.05)  # a slow client
            connection.sendall(body[20_000:])
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        server.stop()
        times = {record["timestamps"][0]["name"]: record["timestamps"][0]["ns"] for record in _records(path)[:2]}
        assert times["HTTP_RECV_END"] - times["HTTP_RECV_START"] >= 40e6

    def test_a_client_that_leaves_ends_the_trace(self, path: Path, serve: Serve) -> None:
        server = serve("level=TIMESTAMPS", "rate=1", f"triton,file={path}", "triton,log-frequency=2")
        host, port = server.http_url.removeprefix("http://").split(":")
        head = b"POST /v2/models/slow/infer HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + BODY)
        with _grpc(server) as client, pytest.raises(InferenceServerException, match="Deadline"):
            client.infer("slow", [_input()], client_timeout=0.05)
        server.stop()
        records = _records(path.with_name("trace.json.0"))
        for number in (1, 2):
            assert "REQUEST_END" in _stamps(records, number)

    def test_a_folder_that_is_not_there_fails_the_start(self, path: Path, serve: Serve) -> None:
        with pytest.raises(InvalidArgumentError, match="cannot be written; give a file in a folder that exists"):
            serve("level=TIMESTAMPS", f"triton,file={path.parent}/nowhere/trace.json")


class TestSettings:
    def test_both_protocols_tell_and_change_the_same(self, tmp_path: Path, serve: Serve) -> None:
        file = str(tmp_path / "trace.json")
        server = serve(f"triton,file={file}")
        with _grpc(server) as client:
            client.update_trace_settings(settings={"trace_rate": "7", "trace_level": ["TENSORS"]})
            client.update_trace_settings("identity", {"trace_count": "3"})
            assert _ask(server, "GET", "/v2/models/identity/trace/setting") == (
                200,
                {
                    "trace_level": ["TENSORS"],
                    "trace_rate": "7",
                    "trace_count": "3",
                    "log_frequency": "0",
                    "trace_file": file,
                    "trace_mode": "triton",
                },
            )
            status, told = _ask(
                server, "POST", "/v2/models/identity/trace/setting", b'{"trace_count":null,"trace_rate":"2"}'
            )
            assert (status, told["trace_count"], told["trace_rate"]) == (200, "-1", "2")
            assert client.get_trace_settings("identity", as_json=True)["settings"]["trace_rate"] == {"value": ["2"]}
            assert client.get_trace_settings(as_json=True)["settings"]["trace_rate"] == {"value": ["7"]}

    def test_traces_can_be_turned_on_while_the_server_runs(self, tmp_path: Path, serve: Serve) -> None:
        path = tmp_path / "trace.json"
        server = serve(f"triton,file={path}")
        assert _infer(server) == 200
        assert _ask(server, "POST", "/v2/trace/setting", b'{"trace_level":["TIMESTAMPS"],"trace_rate":"1"}')[0] == 200
        assert _infer(server) == 200
        server.stop()
        assert {record["id"] for record in _records(path)} == {1}

    def test_a_wrong_setting_changes_nothing(self, serve: Serve) -> None:
        server = serve()
        before = _ask(server, "GET", "/v2/trace/setting")
        assert _ask(server, "POST", "/v2/trace/setting", b'{"trace_rate":"5","trace_count":"x"}') == (
            400,
            {"error": "Unable to parse 'trace_count', got: x"},
        )
        assert _ask(server, "GET", "/v2/trace/setting") == before

    def test_the_extension_is_listed(self, serve: Serve) -> None:
        assert "trace" in _ask(serve(), "GET", "/v2")[1]["extensions"]


class TestOpenTelemetry:
    @pytest.fixture
    def collector(self) -> Iterator[Collector]:
        with Collector() as one:
            yield one

    def test_spans_reach_a_collector_as_children_of_the_clients(self, collector: Collector, serve: Serve) -> None:
        """Rate and count do not matter to a request that comes with a parent."""
        server = serve("mode=opentelemetry", "level=TIMESTAMPS", "count=0", f"opentelemetry,url={collector.url}")
        assert _infer(server, traceparent=PARENT) == 200
        assert _infer(server) == 200
        before_ns = time.time_ns()
        with _grpc(server) as client:
            client.infer("identity", [_input()], headers={"traceparent": PARENT})
        server.stop()
        requests = [span for span in collector.all_spans if span.name == "InferRequest"]
        assert [span.events[0].name for span in requests] == ["HTTP_RECV_START", "GRPC_WAITREAD_START"]
        assert {span.parent_span_id.hex() for span in requests} == {"b7ad6b7169203331"}
        assert {span.trace_id.hex() for span in collector.all_spans} == {"0af7651916cd43dd8448eb211c80319c"}
        assert len(collector.all_spans) == 6
        assert abs(requests[1].start_time_unix_nano - before_ns) < DEADLINE_S * 1e9
        assert collector.resource["service.name"] == "naiad"
        self._check_nesting(collector.all_spans)

    @staticmethod
    def _check_nesting(spans: list[Span]) -> None:
        by_id = {span.span_id: span for span in spans}
        for span in spans:
            around = by_id.get(span.parent_span_id)
            assert (around is None) == (span.name == "InferRequest")
            if around is not None:
                assert around.start_time_unix_nano <= span.start_time_unix_nano
                assert span.end_time_unix_nano <= around.end_time_unix_nano

    def test_its_settings_are_told(self, collector: Collector, serve: Serve) -> None:
        server = serve(
            *("mode=opentelemetry", f"opentelemetry,url={collector.url}", "opentelemetry,resource=zone=eu"),
            "opentelemetry,bsp_schedule_delay=100",
        )
        assert _ask(server, "GET", "/v2/trace/setting")[1] == {
            "trace_level": ["OFF"],
            "trace_rate": "1000",
            "trace_count": "-1",
            "trace_mode": "opentelemetry",
            "url": collector.url,
            "resource": "zone=eu",
            "bsp_schedule_delay": "100",
            "bsp_max_export_batch_size": "512",
            "bsp_max_queue_size": "2048",
        }

    def test_a_server_without_the_libraries_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "naiad.telemetry.traces.spans", None)
        with pytest.raises(UnsupportedError, match=r'pip install "naiad\[opentelemetry\]"'):
            Tracing(TraceOptions(mode="opentelemetry"), "naiad")

    def test_the_environment_sets_the_processor(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "250")
        monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
        tracing = Tracing(TraceOptions(mode="opentelemetry"), "naiad")
        assert tracing.tracer.settings().exporter == (
            ("bsp_max_export_batch_size", "8"),
            ("bsp_schedule_delay", "250"),
            ("bsp_max_queue_size", "8"),
        )
        tracing.close(DEADLINE_S)

    def test_nothing_of_it_is_imported_in_tritons_mode(self) -> None:
        source = (Path(naiad.__file__).parent / "server" / "tracing.py").read_text()
        assert source.count("traces.spans") == 1  # within the function that makes the destination
