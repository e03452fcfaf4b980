# SPDX-License-Identifier: Apache-2.0
import io
import json
import os

import pytest
from click.testing import CliRunner
from rich.console import Console

from naiad.cli import models
from naiad.cli.main import cli
from naiad.cli.processes import start_mark
from naiad.cli.registry import RunningServer, registered
from naiad.client import Client
from naiad.errors import UnavailableError

READY: dict[str, object] = {
    "name": "yolo",
    "version": "1",
    "state": "READY",
    "platform": "onnxruntime_onnx",
    "inputs": [{"name": "images", "datatype": "FP32", "shape": [-1, 3, -1, -1]}],
    "outputs": [{"name": "output0", "datatype": "FP32", "shape": [-1, 84, -1]}],
}
FAILED: dict[str, object] = {
    "name": "[bold]",
    "version": "1",
    "state": "UNAVAILABLE",
    "reason": "Internal: no [red]luck",
}


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """What the server answers."""
    answer: list[dict[str, object]] = []
    monkeypatch.setattr(models, "_rows", lambda *_: answer)
    return answer


def test_models_are_a_table_whose_cells_are_taken_literally_and_reasons_follow_it(
    rows: list[dict[str, object]],
) -> None:
    rows += [READY, FAILED]
    output = CliRunner().invoke(cli, ["models"]).output
    lines = output.splitlines()
    assert lines[0].split() == ["MODEL", "VERSION", "STATE", "PLATFORM", "INPUTS", "OUTPUTS"]
    assert "images FP32 [-1,3,-1,-1]" in lines[2]
    assert lines[3].split() == ["[bold]", "1", "UNAVAILABLE", "-"]
    assert lines[4:] == ["", "[bold] version 1: Internal: no [red]luck"]


@pytest.mark.parametrize("width", [40, 80])
def test_a_narrow_terminal_breaks_no_words_but_those_of_tensors(rows: list[dict[str, object]], width: int) -> None:
    rows.append(READY)
    out = Console(file=io.StringIO(), width=width, soft_wrap=True)
    models.print_models(out, Client())
    assert isinstance(out.file, io.StringIO)
    lines = out.file.getvalue().splitlines()
    assert lines[0].split() == ["MODEL", "VERSION", "STATE", "PLATFORM", "INPUTS", "OUTPUTS"]
    assert lines[2].split() == ["yolo", "1", "READY", "onnxruntime_onnx", "images", "FP32", "output0", "FP32"]
    assert lines[3].split() == ["[-1,3,-1,-1]", "[-1,84,-1]"]


def test_no_line_ends_in_blanks_where_there_is_no_terminal(rows: list[dict[str, object]]) -> None:
    rows += [READY, FAILED]
    lines = CliRunner().invoke(cli, ["models"]).output.splitlines()
    assert lines == [line.rstrip() for line in lines]


def test_json_is_what_the_server_says(rows: list[dict[str, object]]) -> None:
    rows += [READY, FAILED]
    assert json.loads(CliRunner().invoke(cli, ["models", "--format=json"]).output) == [READY, FAILED]


@pytest.mark.usefixtures("rows")
def test_a_server_without_models_says_what_to_do() -> None:
    assert "naiad deploy" in CliRunner().invoke(cli, ["models"]).output


@pytest.mark.usefixtures("state")
def test_where_no_server_answers_those_of_the_user_are_named() -> None:
    pid, url = os.getpid(), "http://127.0.0.1:8000"
    here = RunningServer(pid, start_mark(pid), 8000, url, "", repositories=(), since=0, exit_timeout_secs=30)
    with registered(here):
        result = CliRunner().invoke(cli, ["models", "--url=http://127.0.0.1:1"])
    assert isinstance(result.exception, UnavailableError)
    assert str(result.exception).endswith("or check the URL; of yours, these run: --url http://127.0.0.1:8000")


@pytest.mark.parametrize(("arguments", "environment"), [(["--api-key=s3cret"], {}), ([], {"NAIAD_API_KEY": "s3cret"})])
def test_the_key_is_taken_from_the_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], environment: dict[str, str]
) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    def rows(client: Client) -> list[dict[str, object]]:
        asked.append((client.url, client._authorization))
        return []

    monkeypatch.setattr(models, "_rows", rows)
    CliRunner().invoke(cli, ["models", "--url=http://a:1", *arguments], env=environment)
    assert asked == [("http://a:1", {"Authorization": "Bearer s3cret"})]
