# SPDX-License-Identifier: Apache-2.0
"""The set-up of the two commands: what it installs, into whose environment, and when it has nothing to do."""

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/environment.py"

Commands = list[list[str]]


@pytest.fixture(scope="module")
def environment() -> ModuleType:
    spec = importlib.util.spec_from_file_location("environment", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["environment"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def commands(environment: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Commands:
    """Record the commands that are run; `python -m venv` leaves an interpreter behind, and pip succeeds."""
    ran: Commands = []

    def run(command: list[Any], **_: Any) -> "subprocess.CompletedProcess[str]":
        ran.append([str(part) for part in command])
        if "venv" in ran[-1]:
            _put_python(Path(command[-1]))
        return subprocess.CompletedProcess(command, 0, stdout="3 11\n")

    monkeypatch.setattr(environment.subprocess, "run", run)
    return ran


def _put_python(folder: Path) -> None:
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").touch()


def _pip(commands: Commands) -> Commands:
    return [command for command in commands if "pip" in command]


def test_a_new_environment_is_made_with_the_pinned_versions(
    environment: ModuleType, commands: Commands, tmp_path: Path
) -> None:
    environment.set_up(tmp_path / "v", {"yolo"})
    assert commands[0][1:] == ["-m", "venv", str(tmp_path / "v")]
    [install] = _pip(commands)
    assert install[install.index("--constraint") + 1].endswith("constraints.txt")
    assert install[-1].endswith("[yolo]")


def test_an_environment_that_was_there_keeps_its_versions(
    environment: ModuleType, commands: Commands, tmp_path: Path
) -> None:
    _put_python(tmp_path)
    environment.set_up(tmp_path, {"yolo"})
    environment.set_up(tmp_path, {"yolo", "dev"})
    assert len(_pip(commands)) == 2
    assert not [command for command in commands if "venv" in command or "--constraint" in command]


def test_the_second_run_has_nothing_to_do(environment: ModuleType, commands: Commands, tmp_path: Path) -> None:
    environment.set_up(tmp_path / "v", {"yolo", "dev"})
    commands.clear()
    environment.set_up(tmp_path / "v", {"yolo"})
    assert commands == []


def test_extras_add_up(environment: ModuleType, commands: Commands, tmp_path: Path) -> None:
    environment.set_up(tmp_path / "v", {"yolo"})
    environment.set_up(tmp_path / "v", {"dev"})
    commands.clear()
    environment.set_up(tmp_path / "v", {"dev", "yolo"})
    assert commands == []


@pytest.mark.parametrize("changed", ["_digest", "ROOT"])
def test_other_requirements_or_another_checkout_install_anew(
    environment: ModuleType, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    environment.set_up(tmp_path / "v", {"yolo"})
    commands.clear()
    for name in environment.REQUIREMENTS:
        shutil.copy(environment.ROOT / name, tmp_path)
    other: dict[str, Path | Callable[[], str]] = {"_digest": lambda: "other", "ROOT": tmp_path}
    monkeypatch.setattr(environment, changed, other[changed])
    environment.set_up(tmp_path / "v", {"yolo"})
    assert len(_pip(commands)) == 1
    assert "--constraint" in _pip(commands)[0]


def test_an_interrupted_install_goes_on_with_the_same_versions(
    environment: ModuleType, commands: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(environment, "_install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            environment.set_up(tmp_path / "v", {"yolo"})
    commands.clear()
    environment.set_up(tmp_path / "v", {"yolo"})
    [install] = _pip(commands)
    assert "--constraint" in install


@pytest.mark.parametrize("was_there", [False, True])
def test_a_failed_venv_leaves_nothing_that_looks_like_one(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    if was_there:
        (tmp_path / "v").mkdir()
        (tmp_path / "v/mine").touch()

    def run(command: list[Any], **_: Any) -> None:
        _put_python(Path(command[-1]))
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environment.subprocess, "run", run)
    with pytest.raises(subprocess.CalledProcessError):
        environment.set_up(tmp_path / "v", {"yolo"})
    assert not (tmp_path / "v/bin/python").exists()
    assert (tmp_path / "v/mine").exists() == (tmp_path / "v").exists() == was_there


def test_an_environment_with_an_old_python_is_refused(
    environment: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put_python(tmp_path)
    answer = subprocess.CompletedProcess([], 0, stdout="3 10\n")
    monkeypatch.setattr(environment.subprocess, "run", lambda *_, **__: answer)
    with pytest.raises(SystemExit, match=r"is Python 3\.10, expected 3\.11 or newer"):
        environment.set_up(tmp_path, {"yolo"})
    assert not (tmp_path / environment.RECORD).exists()


def test_a_record_that_cannot_be_read_is_no_record(environment: ModuleType, tmp_path: Path) -> None:
    for text in ("", "{", "[]", '{"extras": 1}', '{"extras": [], "more": 1}'):
        (tmp_path / environment.RECORD).write_text(text)
        assert environment.Record.read(tmp_path) is None
