# SPDX-License-Identifier: Apache-2.0
"""`naiad.Server`: a whole server inside the process, asked with and without a socket."""

import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.builtin_models import FREE_PORTS, identity, of_kind, write_model

import naiad
from naiad.errors import InternalError, InvalidArgumentError, NotFoundError, UnavailableError, UnsupportedError
from naiad.server.app import App

ONE_INSTANCE = "instance_group { count: 1 kind: KIND_CPU }"
SLOW = identity(kind="delay", delay_us="300000") + ONE_INSTANCE
BROKEN = identity(kind="fail_load")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    write_model(tmp_path, "identity", identity())
    return tmp_path


@pytest.fixture
def server(repository: Path) -> Iterator[naiad.Server]:
    write_model(repository, "slow", SLOW)
    with naiad.Server(repository, **FREE_PORTS) as running:
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
    write_model(repository, "broken", BROKEN)
    with naiad.Server(repository, **FREE_PORTS, exit_on_error=False) as server:
        server.wait_ready("identity")
        with pytest.raises(UnavailableError, match="model 'broken' was not ready within 0 s: broken UNAVAILABLE"):
            server.wait_ready("broken", timeout_s=0)
        with pytest.raises(UnavailableError, match="the server was not ready within 0 s"):
            server.wait_ready(timeout_s=0)


def test_a_model_that_there_is_not_is_not_waited_for(server: naiad.Server) -> None:
    with pytest.raises(NotFoundError, match=r"there is no model 'identitty', expected one of: .*identity"):
        server.wait_ready("identitty")
    with pytest.raises(NotFoundError, match="model 'identity' has no version '7', expected one of: 1"):
        server.wait_ready("identity", "7")


def test_options_may_be_given_as_the_texts_of_flags_and_as_paths(repository: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("s3cret")
    ports: dict[str, object] = {"http_port": "0", "grpc_port": 0, "allow_metrics": "false"}
    restricted = ["model-config:admin=s3cret"]
    with (
        naiad.Server(repository, api_key_file=keys, http_restricted_api=restricted, **ports) as server,
        naiad.Client(server.http_url, api_key="s3cret") as client,
    ):
        assert client.ready()
        with pytest.raises(InvalidArgumentError, match="This API is restricted, expecting header 'admin'"):
            client.model_config("identity")


@pytest.mark.parametrize(
    ("option", "error", "told"),
    [
        ({"htp_port": 1}, TypeError, "Server has no option 'htp_port'; did you mean 'http_port'?"),
        ({"xyzzy": 1}, TypeError, "Server has no option 'xyzzy'; they are the flags of naiad serve, with underscores"),
        ({"allow_http": "no"}, InvalidArgumentError, "--allow-http expects true, false, 1 or 0, got 'no'"),
        ({"allow_http": 3}, InvalidArgumentError, "--allow-http expects true or false, got 3"),
        ({"http_port": None}, InvalidArgumentError, "--http-port expects a whole number, got None"),
        ({"log_file": 5}, InvalidArgumentError, "--log-file expects a text, got 5"),
    ],
)
def test_a_wrong_option_is_named(option: dict[str, object], error: type[Exception], told: str) -> None:
    with pytest.raises(error) as caught:
        naiad.Server("models", **option)
    assert str(caught.value).startswith(told)


def test_a_model_that_fails_to_load_stops_the_start(repository: Path) -> None:
    write_model(repository, "broken", BROKEN)
    with pytest.raises(InternalError, match="failed to load all models:\n  broken version 1: "):
        naiad.Server(repository, **FREE_PORTS).start()


def test_an_unforeseen_error_at_the_start_reaches_the_caller(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: App) -> None:
        raise OSError("the disk has gone")

    monkeypatch.setattr(App, "start", fail)
    server = naiad.Server(repository, **FREE_PORTS)
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
        naiad.Server(repository, **FREE_PORTS).start()
    assert "naiad-server" not in {thread.name for thread in set(threading.enumerate()) - before}


def test_it_can_be_started_again_and_stopped_twice(repository: Path) -> None:
    server = naiad.Server([repository], **FREE_PORTS)
    for _ in range(2):
        with server:
            assert server.infer("identity", {"X": rows(1)}).outputs[0].shape == (1, 2)
    server.stop()
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.http_url


def test_a_request_that_outlasts_the_exit_timeout_is_told_so(repository: Path) -> None:
    write_model(repository, "slow", SLOW)
    server = naiad.Server(repository, **FREE_PORTS, exit_timeout_secs=0)
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
    with naiad.Server(repository, **FREE_PORTS, metrics_interval_ms=1) as server:
        assert ("nv_cpu_memory_total_bytes " in metrics(server)) is Path("/proc/meminfo").exists()
    with naiad.Server(repository, **FREE_PORTS, allow_cpu_metrics=False) as server:
        assert "nv_cpu" not in metrics(server)


def test_metrics_config_asks_for_distributions(repository: Path) -> None:
    wanted = ("summary_latencies=true", "histogram_latencies=true", "counter_latencies=false")
    with naiad.Server(repository, **FREE_PORTS, metrics_config=wanted) as server:
        server.infer("identity", {"X": rows(1)})
        text = metrics(server)
    own = 'model="identity",version="1"'
    assert f"nv_inference_request_summary_us_count{{{own}}} 1\n" in text
    assert f'nv_inference_first_response_histogram_ms_bucket{{{own},le="+Inf"}} 1\n' in text
    assert "duration_us" not in text


def test_requests_beyond_the_limit_are_refused_and_counted(repository: Path) -> None:
    write_model(repository, "slow", SLOW)
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
        with pytest.raises(
            UnavailableError, match="the server has as many requests in flight as --max-requests-in-flight=1"
        ):
            ask_until_refused()
        rejected = 'nv_inference_request_failure{model="identity",reason="REJECTED",version="1"} 1'
        assert rejected in metrics(server)
        first.join()
        assert client.infer("identity", {"X": rows(1)})["Y"].tolist() == rows(1).tolist()


class TestStream:
    """Requests that may be answered any number of times."""

    @pytest.fixture
    def server(self, repository: Path) -> Iterator[naiad.Server]:
        write_model(repository, "repeat", of_kind("repeat"))
        write_model(repository, "unlucky", of_kind("repeat", fail_value="13", message="bad"))
        write_model(repository, "parameters", of_kind("parameters"))
        with naiad.Server(repository, **FREE_PORTS, exit_timeout_secs=5) as running:
            yield running

    def test_each_response_is_given_as_it_comes(self, server: naiad.Server) -> None:
        with server.stream("repeat", repeated(1, 2, 3)) as responses:
            assert [response.output("OUT").tolist() for response in responses] == [[1], [2], [3]]
            assert list(responses) == []

    def test_a_model_with_one_answer_gives_one(self, server: naiad.Server) -> None:
        assert [answer.output("Y").tolist() for answer in server.stream("identity", {"X": rows(2)})] == [
            rows(2).tolist()
        ]

    def test_many_responses_come_whole_and_in_order(self, server: naiad.Server) -> None:
        answers = [int(answer.output("OUT")[0]) for answer in server.stream("repeat", repeated(*range(1000)))]
        assert answers == list(range(1000))

    def test_an_error_in_between_is_a_response(self, server: naiad.Server) -> None:
        first, failed, last = server.stream("unlucky", repeated(1, 13, 2))
        assert (first.error, str(failed.error), last.output("OUT").tolist()) == (None, "bad", [2])

    def test_what_is_wrong_is_raised(self, server: naiad.Server) -> None:
        with pytest.raises(NotFoundError):
            server.stream("missing", {})
        wrong = repeated(1) | {"DELAY": np.zeros(2, np.uint32)}
        with pytest.raises(InvalidArgumentError, match="same number of elements"):
            next(server.stream("repeat", wrong))
        with pytest.raises(UnsupportedError, match=r"model 'repeat' is decoupled, .* use stream"):
            server.infer("repeat", repeated(1))

    def test_nothing_in_time_withdraws_the_request(self, server: naiad.Server) -> None:
        with pytest.raises(TimeoutError, match=r"no response within 0\.01 s"):
            next(server.stream("repeat", repeated(1, delay_ms=60_000), timeout_s=0.01))
        wait_for_cancelled(server, 1)

    def test_who_stops_early_or_forgets_withdraws_the_request(self, server: naiad.Server) -> None:
        with server.stream("repeat", repeated(*range(1000), delay_ms=10)) as responses:
            next(responses)
        wait_for_cancelled(server, 1)
        responses = server.stream("repeat", repeated(1, delay_ms=60_000))
        del responses
        wait_for_cancelled(server, 2)

    def test_parameters_go_both_ways(self, server: naiad.Server) -> None:
        answer = server.infer("parameters", {}, parameters={"a": 1})
        assert (answer.parameters, answer.output("OUTPUT0").tolist()) == ({"a": 1}, [b'{"a":1}'])

    def test_what_is_open_is_finished_when_the_server_stops(self, server: naiad.Server) -> None:
        responses = server.stream("repeat", repeated(*range(10), delay_ms=10))
        assert next(responses).output("OUT").tolist() == [0]
        server.stop()
        assert [response.output("OUT").tolist() for response in responses] == [[n] for n in range(1, 10)]

    def test_stopping_the_server_ends_what_is_open(self, repository: Path) -> None:
        write_model(repository, "repeat", of_kind("repeat"))
        options = FREE_PORTS | {"exit_timeout_secs": 0}
        with naiad.Server(repository, **options) as server:
            responses = server.stream("repeat", repeated(1, delay_ms=60_000))
        with pytest.raises(UnavailableError, match="topp"):
            next(responses)


def repeated(*values: int, delay_ms: int = 0) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[Any]]]:
    return {
        "IN": np.array(values, np.int32),
        "DELAY": np.full(len(values), delay_ms, np.uint32),
        "WAIT": np.zeros(1, np.uint32),
    }


def wait_for_cancelled(server: naiad.Server, count: int) -> None:
    """Wait until the model has ended so many requests whose program has gone."""
    deadline_s = time.monotonic() + 10
    sample = f'nv_inference_request_failure{{model="repeat",reason="CANCELED",version="1"}} {count}'
    while sample not in metrics(server):
        assert time.monotonic() < deadline_s
        time.sleep(0.005)
