# SPDX-License-Identifier: Apache-2.0
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from naiad.cli import deploy as deploy_command
from naiad.cli.main import cli
from naiad.config.proto import ModelConfig
from naiad.deployment import Deployment, ExportOptions


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What `deploy` was called with; it deploys nothing."""
    seen: list[dict[str, Any]] = []

    def record(weights: str, name: str | None, repository: Path, **options: Any) -> Deployment:
        options.pop("on_step")("Working")
        seen.append({"weights": weights, "name": name, "repository": repository, **options})
        config = ModelConfig()
        config.parameters["metadata"].string_value = "{'task': 'pose'}"
        return Deployment("yolo", len(seen), repository / "yolo" / str(len(seen)) / "model.onnx", config)

    monkeypatch.setattr(deploy_command, "deploy", record)
    return seen


def test_defaults_are_those_of_the_function(calls: list[dict[str, Any]]) -> None:
    result = CliRunner().invoke(cli, ["deploy", "best.pt"])
    assert result.exit_code == 0
    assert calls == [
        {
            "weights": "best.pt",
            "name": None,
            "repository": Path("models"),
            "export": ExportOptions(),
            "max_batch_size": None,
            "tensorrt": False,
        }
    ]


def test_options_reach_the_export(calls: list[dict[str, Any]]) -> None:
    arguments = "--name yolo -r /srv --imgsz 320 --fixed --batch 2 --half --no-simplify --opset 17 --nms"
    result = CliRunner().invoke(
        cli, ["deploy", "best.pt", *arguments.split(), "--max-batch-size=8", "--accelerator=tensorrt"]
    )
    assert result.exit_code == 0
    assert calls == [
        {
            "weights": "best.pt",
            "name": "yolo",
            "repository": Path("/srv"),
            "export": ExportOptions(imgsz=320, dynamic=False, batch=2, half=True, simplify=False, opset=17, nms=True),
            "max_batch_size": 8,
            "tensorrt": True,
        }
    ]


@pytest.mark.usefixtures("calls")
def test_it_says_how_to_serve_and_ask_the_model_in_its_task() -> None:
    output = CliRunner().invoke(cli, ["deploy", "best.pt"]).output
    assert "Deployed yolo version 1: models/yolo/1/model.onnx" in output
    assert "naiad serve --model-repository=models" in output
    assert 'YOLO("http://localhost:8000/yolo", task="pose")' in output
    assert "restart" not in output
    assert "restart" in CliRunner().invoke(cli, ["deploy", "best.pt"]).output
