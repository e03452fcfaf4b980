# SPDX-License-Identifier: Apache-2.0
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from naiad.cli import demo
from naiad.cli.console import console
from naiad.cli.registry import RunningServer

pytest.importorskip("ultralytics")

Naiad = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_demo_walks_from_weights_to_boxes_and_leaves_no_server(
    naiad: Naiad, test_models: Path, tmp_path: Path, state: Path
) -> None:
    picture = tmp_path / "boxes.jpg"
    result = naiad("demo", "--weights", str(test_models / "yolov8n.pt"), "--output", str(picture))
    assert result.returncode == 0, result.stderr
    assert "Found: 4 persons, 1 bus" in result.stdout
    assert picture.read_bytes().startswith(b"\xff\xd8")  # a JPEG
    assert list(state.iterdir()) == []


def test_without_weights_the_demo_goes_on_and_says_that_boxes_mean_nothing(
    naiad: Naiad, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NAIAD_DEMO_WEIGHTS", raising=False)
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))  # it also keeps downloaded weights in mind
    monkeypatch.setenv("YOLO_OFFLINE", "true")
    result = naiad("demo")
    assert result.returncode == 0, result.stderr
    assert "untrained YOLO11n: everything works as usual, but its boxes mean nothing" in result.stdout
    assert "untrained weights: this means nothing" in result.stdout
    assert (tmp_path / "naiad-demo.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_demo_s_server_is_stopped_whatever_happens(repository: Path, state: Path) -> None:
    servers: list[RunningServer] = []

    def interrupt(server: RunningServer) -> None:
        assert server.is_running
        servers.append(server)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), demo.served(console(), repository) as server:
        interrupt(server)
    assert not servers[0].is_running
    assert list(state.iterdir()) == []


def test_the_demo_s_server_needs_no_port_but_a_free_one(repository: Path, state: Path) -> None:
    with demo.served(console(), repository) as server:
        assert server.http_port > 0
        assert (server.grpc_url, server.metrics_url) == ("", "")
