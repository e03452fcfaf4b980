# SPDX-License-Identifier: Apache-2.0
import signal
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import click
import numpy as np
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from naiad.cli import background, serve
from naiad.cli.main import cli
from naiad.cli.registry import RunningServer
from naiad.client import Client
from naiad.errors import UnavailableError
from naiad.options import LATER_FLAGS, BackendOption, RestrictedGroup, ServerOptions

Naiad = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[ServerOptions]:
    """The options that the server would have been started with."""
    options: list[ServerOptions] = []

    def run(given: ServerOptions, log: object, on_ready: object) -> int:
        assert callable(on_ready)
        options.append(given)
        return 0

    monkeypatch.setattr(serve, "run", run)
    monkeypatch.setattr(serve, "_open_log", lambda _: None)
    return options


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, ["serve", *arguments], env=env)


def test_both_spellings_of_a_value_are_triton_s(seen: list[ServerOptions]) -> None:
    assert invoke("--model-repository=a", "--http-port", "9000", "--exit-on-error=FALSE").exit_code == 0
    assert seen == [ServerOptions(model_repository=("a",), http_port=9000, exit_on_error=False)]


def test_repeatable_flags_add_up_under_either_name(seen: list[ServerOptions]) -> None:
    invoke(
        "--model-repository=a",
        "--model-store=b",
        "--backend-config=onnxruntime,default-max-batch-size=8",
        "--backend-config=x=y",
        "--disable-auto-complete-config",
    )
    assert seen[0].model_repository == ("a", "b")
    assert seen[0].backend_config == (
        BackendOption("onnxruntime", "default-max-batch-size", "8"),
        BackendOption("", "x", "y"),
    )
    assert not seen[0].auto_complete


def test_the_environment_gives_values_and_flags_win(seen: list[ServerOptions]) -> None:
    environment = {
        "NAIAD_SERVE_MODEL_REPOSITORY": "a;b",
        "NAIAD_SERVE_HTTP_PORT": "9000",
        "NAIAD_SERVE_METRICS_PORT": "9002",
    }
    invoke("--http-port=9001", env=environment)
    assert seen == [ServerOptions(model_repository=("a", "b"), http_port=9001, metrics_port=9002)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--http-port=high"], "--http-port expects a whole number, got 'high'"),
        (["--http-prot=1"], "no such flag: '--http-prot'; did you mean '--http-port'?"),
        (["--model-repositry=a"], "no such flag: '--model-repositry'; did you mean '--model-repository'?"),
        (["--xyzzy=1"], "no such flag: '--xyzzy'; naiad serve --help lists them"),
        (["--rate-limit=on"], "--rate-limit=on: the rate limiter is not available in this version of Naiad"),
        (["--rate-limit", "on"], "--rate-limit=on: the rate limiter is not available in this version of Naiad"),
        (["--model-control-mode=explicit"], "is not available in this version"),
        (["models"], "'models' is not a flag; to serve that folder: --model-repository=models"),
    ],
)
def test_wrong_flags_exit_with_1_and_say_what_to_do(
    seen: list[ServerOptions], arguments: list[str], message: str
) -> None:
    result = invoke("--model-repository=a", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Usage: " in result.stderr
    assert seen == []


def test_a_file_without_a_flag_is_told_the_way_into_a_repository(tmp_path: Path) -> None:
    file = tmp_path / "my yolo.onnx"
    file.touch()
    result = invoke("--model-repository=a", str(file))
    assert f"is not a flag; to serve that file, put it into a folder of models: naiad deploy '{file}'" in result.stderr


@pytest.mark.parametrize(
    ("field", "typed", "completed"),
    [
        ("model_repository", "mo", [("dir", "mo")]),
        ("http_server_cert", "", [("file", "")]),
        ("allow_http", "T", [("plain", "true")]),
        ("log_format", "i", [("plain", "ISO8601")]),
        ("http_port", "80", []),
    ],
)
def test_values_are_completed(field: str, typed: str, completed: list[tuple[str, str]]) -> None:
    option = next(one for one in serve.command.params if one.name == field)
    items = option.shell_complete(click.Context(serve.command), typed)
    assert [(item.type, item.value) for item in items] == completed


@pytest.mark.parametrize("name", sorted(LATER_FLAGS))
def test_every_flag_of_later_work_is_known(seen: list[ServerOptions], name: str) -> None:
    result = invoke("--model-repository=a", f"--{name}=something")
    assert result.exit_code == 1
    assert f"--{name}=something: " in result.stderr
    assert "is not available in this version of Naiad; " in result.stderr
    assert seen == []


def test_a_later_flag_that_asks_for_nothing_is_let_through(seen: list[ServerOptions]) -> None:
    assert invoke("--model-repository=a", "--rate-limit=off").exit_code == 0
    assert len(seen) == 1


def test_a_flag_without_effect_is_told(seen: list[ServerOptions]) -> None:
    result = invoke("--model-repository=a", "--http-thread-count=4")
    assert "Notice: --http-thread-count has no effect" in result.stderr
    assert seen[0].http_thread_count == 4


def test_the_arguments_of_a_background_server_give_the_same_options(seen: list[ServerOptions]) -> None:
    given = {
        "model_repository": ("a", "b c"),
        "exit_on_error": False,
        "disable_auto_complete_config": True,
        "http_port": 0,
        "backend_config": (BackendOption("", "k", "v,w"),),
        "http_restricted_api": (RestrictedGroup(("health", "trace"), "k", "a=b"),),
    }
    assert invoke(*serve.serve_arguments(given)).exit_code == 0
    assert seen == [ServerOptions(**given)]  # type: ignore[arg-type]


def test_what_the_environment_says_does_not_show_in_the_arguments_of_a_background_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    launched: list[list[str]] = []

    def launch(arguments: list[str], port: int) -> None:
        launched.append([*arguments, str(port)])
        raise UnavailableError("only the arguments matter")

    monkeypatch.setattr(background, "launch", launch)
    environment = {"NAIAD_SERVE_HTTP_RESTRICTED_API": "trace:k=s3cret", "NAIAD_SERVE_HTTP_PORT": "9000"}
    invoke("--model-repository=a", "--detach", env=environment)
    assert launched == [["--model-repository=a", "9000"]]


def test_the_models_of_a_server_that_asks_for_certificates_are_not_asked_for() -> None:
    out = Console(file=StringIO())
    server = RunningServer(1001, "mark", 1, "https://127.0.0.1:1", "", (), 0.0, 30)
    serve._show_models(out, server, ServerOptions(model_repository=("models",)))
    assert isinstance(out.file, StringIO)
    assert out.file.getvalue() == "Its models are not shown here: it lets in only clients with a certificate\n"


def test_a_server_serves_until_it_is_told_to_stop(repository: Path, state: Path) -> None:
    process = subprocess.Popen(
        [
            *(sys.executable, "-u", "-m", "naiad", "serve", f"--model-repository={repository}"),
            *("--http-port=0", "--grpc-port=0", "--metrics-port=0"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process, Client(_announced_url(process)) as client:
        array = np.array([[1, 2]], np.float32)
        np.testing.assert_array_equal(client.infer("copy", {"x": array})["y"], array)
        assert [path.stem for path in state.glob("*.json")] == [str(process.pid)]
        process.send_signal(signal.SIGTERM)
        output, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Signal (15) received." in output
    assert "successfully loaded 'copy' version 1" in log
    assert list(state.glob("*.json")) == []


def _announced_url(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    banner = ""
    for line in process.stdout:
        banner += line
        if line.startswith("Only this machine"):
            break
    assert "copy" in banner
    assert "1 × 1" in banner
    return next(line.split()[1] for line in banner.splitlines() if line.startswith("HTTP "))


def test_a_model_that_fails_ends_the_start_with_the_reason(failing_repository: Path, naiad: Naiad) -> None:
    result = naiad(
        "serve", f"--model-repository={failing_repository}", "--http-port=0", "--grpc-port=0", "--metrics-port=0"
    )
    assert result.returncode == 1
    assert "failed to load all models" in result.stderr
    assert "broken version 1: Internal: out of luck" in result.stderr
    assert result.stderr.count(f"to see how they should read: naiad check {failing_repository}") == 1


def test_a_server_in_the_background_is_found_asked_and_stopped(failing_repository: Path, naiad: Naiad) -> None:
    started = naiad(
        *("serve", f"--model-repository={failing_repository}", "--http-port=0", "--grpc-port=0", "--metrics-port=0"),
        *("--exit-on-error=false", "--detach"),
    )
    assert started.returncode == 0, started.stderr
    assert "out of luck" in started.stdout
    url = next(line.split()[1] for line in started.stdout.splitlines() if line.strip().startswith("http "))
    listed = naiad("models", "--url", url)
    assert [line.split()[:3] for line in listed.stdout.splitlines()[2:4]] == [
        ["broken", "1", "UNAVAILABLE"],
        ["copy", "1", "READY"],
    ]
    assert url in naiad("status").stdout
    stopped = naiad("stop", "--port", url.rpartition(":")[2])
    assert stopped.returncode == 0
    assert naiad("stop").returncode == 1


def test_a_background_server_that_cannot_start_says_why(failing_repository: Path, naiad: Naiad) -> None:
    result = naiad(
        "serve",
        f"--model-repository={failing_repository}",
        "--http-port=0",
        "--grpc-port=0",
        "--metrics-port=0",
        "--detach",
    )
    assert result.returncode == 1
    assert "the server did not start (exit code 1)" in result.stderr
    assert "broken version 1: Internal: out of luck" in result.stderr
