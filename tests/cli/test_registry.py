# SPDX-License-Identifier: Apache-2.0
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from naiad.cli.processes import start_mark
from naiad.cli.registry import RunningServer, find_server, new_log_file, registered, running_servers, state_directory
from naiad.errors import UnavailableError

HERE = RunningServer(
    pid=os.getpid(),
    mark=start_mark(os.getpid()),
    http_port=8000,
    http_url="http://127.0.0.1:8000",
    metrics_url="",
    repositories=("/models",),
    since=1.5,
    exit_timeout_secs=30,
)


def test_a_process_has_a_mark_while_it_runs_and_none_afterwards() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        mark = start_mark(process.pid)
        assert mark
        assert start_mark(process.pid) == mark
        assert start_mark(os.getpid()) not in ("", mark)
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # ended, but not yet waited for
        assert start_mark(process.pid) == ""
    assert start_mark(process.pid) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other folders")
@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"XDG_STATE_HOME": "{home}/elsewhere"}, "elsewhere/naiad/servers"),
        ({"HOME": "{home}"}, ".local/state/naiad/servers"),
    ],
)
def test_state_lies_where_the_system_keeps_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, environment: dict[str, str], folder: str
) -> None:
    for name in ("NAIAD_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value.format(home=tmp_path))
    assert state_directory() == tmp_path / folder
    assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


def test_a_server_of_another_version_is_listed_too(state: Path) -> None:
    with registered(HERE):
        (file,) = state.glob("*.json")
        values = json.loads(file.read_text())
        file.write_text(json.dumps({name: values[name] for name in values if name != "grpc_url"} | {"later": 1}))
        assert running_servers() == [HERE]


@pytest.mark.usefixtures("state")
def test_a_server_is_listed_while_it_runs() -> None:
    with registered(HERE):
        assert running_servers() == [HERE]
        assert find_server(HERE.pid) == HERE
    assert running_servers() == []
    assert find_server(HERE.pid) is None


def test_a_server_whose_number_another_process_has_got_is_forgotten(state: Path) -> None:
    with registered(replace(HERE, mark="long ago")):
        assert find_server(HERE.pid) is None
        assert running_servers() == []
        assert list(state.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": 1}'])
def test_a_file_that_cannot_be_read_is_removed(state: Path, text: str) -> None:
    state.mkdir()
    (state / "1.json").write_text(text)
    assert running_servers() == []
    assert list(state.iterdir()) == []


def test_only_their_user_sees_the_files(state: Path) -> None:
    with registered(HERE):
        assert state.stat().st_mode & 0o077 == 0


def test_old_logs_go_but_not_that_of_a_running_server(state: Path) -> None:
    state.mkdir()
    logs = [state / f"2026{number:04}.log" for number in range(13)]
    for log in logs:
        log.touch()
    with registered(replace(HERE, log=str(logs[0]))):
        assert not new_log_file(8000).exists()
    assert sorted(state.glob("*.log")) == [logs[0], *logs[3:]]


def test_a_folder_that_cannot_be_used_is_told_with_the_variable_that_names_another(state: Path) -> None:
    state.write_text("not a folder")
    with pytest.raises(UnavailableError, match="name another one in NAIAD_STATE_DIR"):
        running_servers()
    state.unlink()
    state.mkdir()
    (state / f"{HERE.pid}.new").mkdir()  # where the file would be written
    with pytest.raises(UnavailableError, match="cannot be written: Is a directory"), registered(HERE):
        pass
