# SPDX-License-Identifier: Apache-2.0
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.cli.conftest import CONFIG, Naiad, add_model

from naiad.cli.main import cli
from naiad.errors import NotFoundError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["check", *map(str, arguments)])


def test_a_model_that_serves_is_shown_as_it_will_be(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository.parent)
    result = run("models")
    assert result.exit_code == 0, result.output
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "✓ copy is served  models/copy",
        "  version    1",
        "  backend    builtin",
        "  inputs     x  FP32 [batch, 2]",
        "  outputs    y  FP32 [batch, 2]",
        "  batching   up to 4 rows in a request; requests are not merged",
        "  instances  1 × CPU, 1 thread each",
        "",
        "1 of 1 model served; no problems",
        "Serve it: naiad serve --model-repository=models",
    ]


def test_a_problem_is_shown_with_place_line_fix_and_corrected_text(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repository.parent)
    (repository / "copy" / "config.pbtxt").write_text(f'{CONFIG}name: "other"\n')
    result = run("models")
    message = "unexpected directory name 'copy' for model 'other', directory name must equal model name"
    assert result.exit_code == 1
    assert [line.rstrip() for line in result.output.splitlines()] == [
        "✗ copy is not served  models/copy",
        "",
        f"  ✗ error[config-field] {message}",
        "    at        models/copy/config.pbtxt:6  name",
        '              6 │ name: "other"',
        "    expected  'copy'",
        "    got       'other'",
        "    fix       take 'name' away, or rename the directory to 'other'",
        '    correct   name: "copy"',
        "",
        "0 of 1 model served; 1 error",
    ]


def test_versions_batching_and_counts_are_told(repository: Path) -> None:
    policy = "version_policy { specific { versions: [2, 3] } }"
    add_model(repository, "many", f"{policy}\ndynamic_batching {{ max_queue_delay_microseconds: 50 }}")
    for version in "23":
        (repository / "many" / version).mkdir()
    add_model(repository, "one")
    (repository / "one" / "config.pbtxt").write_text(CONFIG.replace("max_batch_size: 4", "instance_group { count: 3 }"))
    output = run(repository).output
    assert "version    2, 3 of 1, 2, 3 (version policy: specific)" in output
    assert "requests are merged, up to 4 rows, waiting up to 50 µs" in output
    assert "none: one request at a time" in output
    assert "instances  3 × CPU" in output
    assert "Serve them: naiad serve" in output


def test_an_onnx_model_shows_metadata_and_threads(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    dims = ["n", 3, "h", "w"]
    tensors = [onnx.helper.make_tensor_value_info(name, 1, dims) for name in ("images", "output0")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["output0"])], "g", tensors[:1], tensors[1:]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    names = str({number: f"[bold]{number}" for number in range(6)})
    onnx.helper.set_model_props(model, {"task": "detect", "stride": "32", "names": names})
    (tmp_path / "yolo" / "1").mkdir(parents=True)
    onnx.save(model, tmp_path / "yolo" / "1" / "model.onnx")
    output = run(tmp_path).output
    assert "inputs     images  FP32 [batch, 3, any, any]" in output
    assert "metadata   detect, 6 classes ([bold]0, [bold]1, [bold]2, [bold]3, …)" in output
    assert re.search(r"instances  2 × CPU, \d+ threads? each", output)


def test_json_is_nothing_but_the_document(failing_repository: Path) -> None:
    result = run(failing_repository, "--format", "json")
    assert result.exit_code == 1
    document = json.loads(result.output)
    assert document["summary"] == {"models": 2, "errors": 1, "warnings": 0, "notes": 0}
    assert [model["name"] for model in document["models"] if model["served"]] == ["copy"]


@pytest.mark.parametrize(("flags", "exit_code"), [((), 0), (("--strict",), 1)])
def test_warnings_fail_only_strictly(repository: Path, flags: tuple[str, ...], exit_code: int) -> None:
    (repository / "loose.onnx").touch()
    result = run(repository, *flags)
    assert "! warning[loose-weights] weights beside the models are not served" in result.output
    assert result.exit_code == exit_code


def test_an_empty_repository_says_how_to_fill_it(tmp_path: Path) -> None:
    result = run(tmp_path)
    assert (result.exit_code, "naiad deploy WEIGHTS --repository" in result.output) == (0, True)


def test_a_path_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    result = run(tmp_path / "nowhere")
    assert isinstance(result.exception, NotFoundError)


def test_no_path_is_wrong_usage() -> None:
    assert run().exit_code == 2


def test_nothing_is_coloured_and_no_spinner_shown_where_nobody_looks(failing_repository: Path, naiad: Naiad) -> None:
    result = naiad("check", str(failing_repository))
    assert result.returncode == 1
    assert "\x1b" not in result.stdout
    assert "Checking" not in result.stdout
    assert result.stderr == ""


def test_a_terminal_of_100_columns_is_kept_to(repository: Path) -> None:
    """The real command, on a terminal of its own."""
    (repository / "copy" / "config.pbtxt").write_text(f'{CONFIG}name: "{"other" * 30}"\n')
    pty = pytest.importorskip("pty")
    primary, secondary = pty.openpty()
    environment = {**os.environ, "COLUMNS": "100", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "naiad", "check", str(repository)], stdout=secondary, stderr=secondary, env=environment
    )
    os.close(secondary)
    written = b""
    try:
        while chunk := os.read(primary, 4096):
            written += chunk
    except OSError:
        pass  # how Linux tells that the other end is closed
    os.close(primary)
    assert process.wait() == 1
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written.decode())
    lines = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    assert max(map(len, lines)) <= 100
    assert "\x1b[31m" not in written.decode(), "NO_COLOR is kept"
    assert any("error[config-field]" in line for line in lines)
