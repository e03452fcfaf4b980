# SPDX-License-Identifier: Apache-2.0
import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

import naiad
from naiad.cli import status
from naiad.cli.main import cli
from naiad.cli.registry import RunningServer

SERVER = RunningServer(1001, "mark", 8000, "http://127.0.0.1:1", "", ("/a", "/[b]"), 0.0, 30, "/log")


def test_a_server_is_shown_with_what_it_serves_and_whether_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "running_servers", lambda: [SERVER])
    lines = CliRunner().invoke(cli, ["status"]).output.splitlines()
    assert lines[0].startswith("http://127.0.0.1:1  not ready  process 1001  since 19")
    assert [line.split() for line in lines[1:]] == [["models", "/a"], ["models", "/[b]"], ["log", "/log"]]


def test_a_server_is_shown_with_all_that_it_listens_on(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = replace(SERVER, grpc_url="grpc://127.0.0.1:2", metrics_url="http://127.0.0.1:3/metrics")
    monkeypatch.setattr(status, "running_servers", lambda: [everything])
    lines = CliRunner().invoke(cli, ["status"]).output.splitlines()
    assert [line.split() for line in lines[3:5]] == [
        ["grpc", "grpc://127.0.0.1:2"],
        ["metrics", "http://127.0.0.1:3/metrics"],
    ]


def test_a_server_without_http_is_not_said_to_be_unready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "running_servers", lambda: [replace(SERVER, http_port=0, http_url="")])
    assert CliRunner().invoke(cli, ["status"]).output.startswith("metrics only  cannot be asked  process 1001")
    (row,) = json.loads(CliRunner().invoke(cli, ["status", "--format=json"]).output)
    assert row["ready"] is None


def test_json_has_every_field(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status, "running_servers", lambda: [SERVER])
    (row,) = json.loads(CliRunner().invoke(cli, ["status", "--format=json"]).output)
    assert (row["pid"], row["http_port"], row["repositories"], row["ready"]) == (1001, 8000, ["/a", "/[b]"], False)


@pytest.mark.usefixtures("state")
def test_without_servers_it_says_how_to_start_one() -> None:
    result = CliRunner().invoke(cli, ["status"])
    assert result.exit_code == 0
    assert "--detach" in result.output


def test_an_https_server_is_asked_with_the_certificate_it_was_started_with(
    monkeypatch: pytest.MonkeyPatch, repository: Path, certificates: Path
) -> None:
    certificate, key = str(certificates / "cert.pem"), str(certificates / "key.pem")
    options = {"http_use_ssl": True, "http_server_cert": certificate, "http_server_key": key, "http_port": 0}
    with naiad.Server(repository, **options, allow_grpc=False, allow_metrics=False) as server:
        here = replace(SERVER, http_url=server.http_url, certificate=certificate)
        rows = [here, replace(here, certificate=key), replace(here, certificate="")]
        monkeypatch.setattr(status, "running_servers", lambda: rows)
        answers = json.loads(CliRunner().invoke(cli, ["status", "--format=json"]).output)
    assert [row["ready"] for row in answers] == [True, False, None]
