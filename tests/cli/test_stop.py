# SPDX-License-Identifier: Apache-2.0
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from naiad.cli import background, stop
from naiad.cli.main import cli
from naiad.cli.registry import RunningServer
from naiad.errors import NotFoundError, UnavailableError

FIRST = RunningServer(1001, "mark", 8000, "http://127.0.0.1:8000", "", ("/models",), 0.0, 30)
SECOND = replace(FIRST, pid=1002, http_port=9000, http_url="http://127.0.0.1:9000")


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> list[RunningServer]:
    """Two servers run; the list holds those that were stopped."""
    servers: list[RunningServer] = []
    monkeypatch.setattr(stop, "running_servers", lambda: [FIRST, SECOND])

    def record(server: RunningServer) -> bool:
        servers.append(server)
        return True

    monkeypatch.setattr(background, "stop", record)
    return servers


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["stop", *arguments])


def test_the_port_chooses(stopped: list[RunningServer]) -> None:
    assert invoke("--port=9000").exit_code == 0
    assert stopped == [SECOND]


def test_all_are_stopped_when_asked_for(stopped: list[RunningServer]) -> None:
    assert invoke("--all").exit_code == 0
    assert stopped == [FIRST, SECOND]


def test_one_of_several_must_be_chosen(stopped: list[RunningServer]) -> None:
    result = invoke()
    assert result.exit_code == 2
    assert "several servers run, on ports 8000, 9000" in result.stderr
    assert stopped == []


def test_a_port_where_none_runs_is_told_with_those_where_one_does(stopped: list[RunningServer]) -> None:
    result = invoke("--port=1")
    assert isinstance(result.exception, NotFoundError)
    assert str(result.exception).startswith("no server of yours runs on port 1, expected one of 8000, 9000")
    assert stopped == []


def test_a_server_that_does_not_stop_is_an_error_with_a_last_resort(
    stopped: list[RunningServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "stop", lambda _: False)
    result = invoke("--port=8000")
    assert isinstance(result.exception, UnavailableError)
    assert str(result.exception).endswith("end it with: kill -9 1001")
    assert stopped == []
