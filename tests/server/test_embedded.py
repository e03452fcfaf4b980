# SPDX-License-Identifier: Apache-2.0
"""`naiad.Server`: a whole server inside the process, asked with and without a socket."""

import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

import naiad
from naiad.errors import InternalError, InvalidArgumentError, NotFoundError, UnavailableError
from naiad.server.app import App

IDENTITY = """
backend: "builtin"
max_batch_size: 8
input { name: "X" data_type: TYPE_FP32 dims: [ 2 ] }
output { name: "Y" data_type: TYPE_FP32 dims: [ 2 ] }
"""
DELAY = IDENTITY + 'parameters { key: "kind" value { string_value: "delay" } }'
DELAY += 'parameters { key: "delay_us" value { string_value: "300000" } } instance_group { count: 1 kind: KIND_CPU }'
BROKEN = IDENTITY + 'parameters { key: "kind" value { string_value: "fail_load" } }'


def write(repository: Path, name: str, config: str) -> None:
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write(tmp_path, "identity", IDENTITY)
    return tmp_path


@pytest.fixture
def server(repository: Path) -> Iterator[naiad.Server]:
    write(repository, "slow", DELAY)
    with naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0) as running:
        yield running


def rows(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2)


def metrics(server: naiad.Server) -> str:
    with urllib.request.urlopen(server.metrics_url) as answer:
        return str(answer.read().decode())


def test_it_answers_in_the_process_and_over_http(server: naiad.Server) -> None:
    server.wait_ready("identity")
    response = server.infer("identity", {"X": rows(3)})
    assert response.output("Y").tolist() == rows(3).tolist()
    assert (response.model_name, response.model_version) == ("identity", "1")
    with naiad.Client(server.http_url) as client:
        assert client.infer("identity", {"X": rows(3)})["Y"].tolist() == rows(3).tolist()


def test_metrics_are_served_at_their_url(server: naiad.Server) -> None:
    server.infer("identity", {"X": rows(2)})
    assert 'nv_inference_count{model="identity",version="1"} 2\n' in metrics(server)


def test_errors_are_what_a_client_would_be_told(server: naiad.Server) -> None:
    with pytest.raises(NotFoundError, match="Request for unknown model: 'nobody' is not found"):
        server.infer("nobody", {})
    with pytest.raises(InvalidArgumentError, match="unexpected shape for input 'X' for model 'identity'"):
        server.infer("identity", {"X": np.zeros((1, 3), np.float32)})


def test_a_caller_that_gives_up_frees_its_place(server: naiad.Server) -> None:
    running = threading.Thread(target=server.infer, args=("slow", {"X": rows(1)}))
    running.start()
    with pytest.raises(TimeoutError):
        server.infer("slow", {"X": rows(1)}, timeout_s=0.05)
    running.join()
    assert 'nv_inference_request_failure{model="slow",reason="CANCELED",version="1"} 1\n' in metrics(server)


def test_wait_ready_tells_what_is_wrong_when_it_gives_up(repository: Path) -> None:
    write(repository, "broken", BROKEN)
    with naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, exit_on_error=False) as server:
        server.wait_ready("identity")
        with pytest.raises(UnavailableError, match="model 'broken' was not ready within 0 s: broken UNAVAILABLE"):
            server.wait_ready("broken", timeout_s=0)
        with pytest.raises(UnavailableError, match="the server was not ready within 0 s"):
            server.wait_ready(timeout_s=0)


def test_a_model_that_fails_to_load_stops_the_start(repository: Path) -> None:
    write(repository, "broken", BROKEN)
    with pytest.raises(InternalError, match="failed to load all models:\n  broken version 1: "):
        naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0).start()


def test_an_unforeseen_error_at_the_start_reaches_the_caller(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: App) -> None:
        raise OSError("the disk has gone")

    monkeypatch.setattr(App, "start", fail)
    server = naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0)
    with pytest.raises(OSError, match="the disk has gone"):
        server.start()
    monkeypatch.undo()
    with server:
        server.wait_ready()


def test_an_unforeseen_error_of_a_call_reaches_the_caller(
    server: naiad.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: App) -> None:
        raise OSError("the disk has gone")

    monkeypatch.setattr(App, "index", fail)
    with pytest.raises(OSError, match="the disk has gone"):
        server.index()


def test_an_interrupted_start_leaves_no_server_behind(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = Future.result

    def interrupted(future: Future[object], timeout: float | None = None) -> object:
        outcome = result(future, timeout)
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        return outcome

    before = set(threading.enumerate())
    monkeypatch.setattr(Future, "result", interrupted)
    with pytest.raises(KeyboardInterrupt):
        naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0).start()
    assert "naiad-server" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_it_can_be_started_again_and_stopped_twice(repository: Path) -> None:
    server = naiad.Server([repository], http_port=0, grpc_port=0, metrics_port=0)
    for _ in range(2):
        with server:
            assert server.infer("identity", {"X": rows(1)}).outputs[0].shape == (1, 2)
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.http_url


def test_a_request_that_outlasts_the_exit_timeout_is_told_so(repository: Path) -> None:
    write(repository, "slow", DELAY)
    server = naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, exit_timeout_secs=0)
    told: list[BaseException] = []

    def ask() -> None:
        with pytest.raises(UnavailableError) as caught:
            server.infer("slow", {"X": rows(1)})
        told.append(caught.value)

    with server:
        asking = threading.Thread(target=ask)
        asking.start()
        while not any(thread.name.startswith("slow") for thread in threading.enumerate()):
            assert not told
    asking.join()
    assert str(told[0]) == "the server was stopped before the model had answered"


def test_requests_in_flight_and_in_the_queue_are_finished_when_it_stops(server: naiad.Server) -> None:
    answers: list[list[list[float]]] = []

    def ask() -> None:
        with naiad.Client(server.http_url) as client:
            answers.append(client.infer("slow", {"X": rows(1)})["Y"].tolist())

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    while 'nv_inference_pending_request_count{model="slow",version="1"} 1\n' not in metrics(server):
        assert not answers
    server.stop()
    for thread in threads:
        thread.join()
    assert answers == [rows(1).tolist()] * 2


def test_metrics_hold_the_machines_figures_unless_told_otherwise(repository: Path) -> None:
    with naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, metrics_interval_ms=1) as server:
        assert ("nv_cpu_memory_total_bytes " in metrics(server)) is Path("/proc/meminfo").exists()
    with naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, allow_cpu_metrics=False) as server:
        assert "nv_cpu" not in metrics(server)


def test_metrics_config_asks_for_distributions(repository: Path) -> None:
    wanted = ("summary_latencies=true", "histogram_latencies=true", "counter_latencies=false")
    with naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, metrics_config=wanted) as server:
        server.infer("identity", {"X": rows(1)})
        text = metrics(server)
    own = 'model="identity",version="1"'
    assert f"nv_inference_request_summary_us_count{{{own}}} 1\n" in text
    assert f'nv_inference_first_response_histogram_ms_bucket{{{own},le="+Inf"}} 1\n' in text
    assert "duration_us" not in text


def test_requests_beyond_the_limit_are_refused_and_counted(repository: Path) -> None:
    write(repository, "slow", DELAY)
    options = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "max_requests_in_flight": 1}
    with naiad.Server(repository, **options) as server, naiad.Client(server.http_url) as client:

        def occupy() -> None:
            with suppress(UnavailableError):  # the other request had the only place
                server.infer("slow", {"X": rows(1)})
                return
            occupy()

        def ask_until_refused() -> None:
            while True:
                client.infer("identity", {"X": rows(1)})

        first = threading.Thread(target=occupy)
        first.start()
        with pytest.raises(UnavailableError, match="the server has 1 requests in flight already"):
            ask_until_refused()
        rejected = 'nv_inference_request_failure{model="identity",reason="REJECTED",version="1"} 1'
        assert rejected in metrics(server)
        first.join()
        assert client.infer("identity", {"X": rows(1)})["Y"].tolist() == rows(1).tolist()
