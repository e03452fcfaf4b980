# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from naiad import __version__
from naiad.cli.main import cli, main
from naiad.errors import NotFoundError


def test_help_lists_every_command_with_examples() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name in ("demo", "deploy", "check", "serve", "models", "status", "stop", "completion"):
        assert f"\n  {name} " in result.output
    assert "naiad serve --model-repository=models" in result.output


@pytest.mark.parametrize("name", ["demo", "deploy", "check", "serve", "models", "status", "stop", "completion"])
def test_the_help_of_each_command_has_examples(name: str) -> None:
    result = CliRunner().invoke(cli, [name, "--help"])
    assert result.exit_code == 0
    assert f"Examples:\n    naiad {name}" in result.output.replace("  Examples:", "Examples:")


def test_version() -> None:
    assert CliRunner().invoke(cli, ["--version"]).output == f"naiad {__version__}\n"


@pytest.mark.parametrize(("name", "hint"), [("srve", "Did you mean 'serve'?"), ("xyzzy", "No such command 'xyzzy'.")])
def test_an_unknown_command_is_wrong_usage_and_the_closest_one_is_named(name: str, hint: str) -> None:
    result = CliRunner().invoke(cli, [name])
    assert result.exit_code == 2
    assert hint in result.stderr


def test_an_error_of_naiad_becomes_a_message_and_exit_code_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise NotFoundError("no such thing; look elsewhere")

    monkeypatch.setattr(cli, "main", fail)
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr().err == "Error: no such thing; look elsewhere\n"


def test_output_that_a_terminal_or_pipe_has_no_letters_for_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    answer = subprocess.run(
        [sys.executable, "-m", "naiad", "check", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
    )
    assert answer.stdout.startswith("? empty is not served")
    assert answer.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_ask_naiad(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_NAIAD_COMPLETE={shell}_complete" in result.output


def test_help_loads_neither_a_runtime_nor_the_server() -> None:
    heavy = ("onnxruntime", "numpy", "asyncio", "rich", "google.protobuf", "naiad.server.app")
    code = (
        "import sys; from naiad.cli.main import cli; cli.main(['--help'], standalone_mode=False);"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.splitlines()[-1] == "[]"
