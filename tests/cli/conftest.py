# SPDX-License-Identifier: Apache-2.0
"""What the tests of the commands share: a repository that needs no model file, and state of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Naiad = Callable[..., "subprocess.CompletedProcess[str]"]

CONFIG = """
backend: "builtin"
max_batch_size: 4
input { name: "x" data_type: TYPE_FP32 dims: [2] }
output { name: "y" data_type: TYPE_FP32 dims: [2] }
"""


def add_model(repository: Path, name: str, extra: str = "") -> None:
    """Add a model that answers with what it is sent."""
    (repository / name / "1").mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(CONFIG + extra)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one model, `copy`."""
    folder = tmp_path / "models"
    add_model(folder, "copy")
    return folder


@pytest.fixture
def failing_repository(repository: Path) -> Path:
    """A repository in which `broken` fails to load."""
    kind = 'parameters { key: "kind" value { string_value: "fail_load" } }'
    message = 'parameters { key: "message" value { string_value: "out of luck" } }'
    add_model(repository, "broken", f"{kind} {message}")
    return repository


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the files that tell of running servers."""
    folder = tmp_path / "state"
    monkeypatch.setenv("NAIAD_STATE_DIR", str(folder))
    return folder


@pytest.fixture
def naiad(state: Path) -> Iterator[Naiad]:
    """Runs `naiad` in a process; servers that it leaves behind are stopped at the end."""

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "naiad", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=dict(os.environ))

    yield run
    if list(state.glob("*.json")):
        run("stop", "--all")
