# SPDX-License-Identifier: Apache-2.0
"""From weights to boxes with two commands: `naiad deploy`, then `naiad serve`."""

import subprocess
import sys
from pathlib import Path

import pytest
import tritonclient.http
from tests.e2e.comparison import assert_same, predict
from tests.e2e.exports import Exports, lively_model, names_of
from tests.e2e.serving import serving


def deploy(*arguments: str) -> str:
    """Run `naiad deploy`, which must succeed; return what it printed."""
    command = [sys.executable, "-m", "naiad", "deploy", *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("options", [(), ("--accelerator=tensorrt",)], ids=["plain", "accelerator"])
@pytest.mark.parametrize(("task", "is_dynamic"), [("detect", True), ("pose", False), ("classify", True)])
def test_an_export_is_deployed_with_all_its_class_names(
    task: str, is_dynamic: bool, options: tuple[str, ...], exports: Exports, tmp_path: Path, bus: str
) -> None:
    export = exports.random(task, is_dynamic)
    repository = tmp_path / "models"
    deploy(str(export.path), "--name=yolo", f"--repository={repository}", *options)
    with (
        serving(repository, log=tmp_path / "log") as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        config = client.get_model_config("yolo")
        served = predict(f"{server.url}/yolo", task, [bus], export.size)
    assert served[0].names == export.names
    assert assert_same(served, predict(str(export.path), task, [bus], export.size)).numbers >= 300
    assert ("dynamic_batching" in config) == is_dynamic
    accelerators = config["optimization"].get("execution_accelerators", {}).get("gpu_execution_accelerator", [])
    assert [one["name"] for one in accelerators] == (["tensorrt"] if options else [])


def test_a_checkpoint_is_exported_and_a_second_one_becomes_the_next_version(tmp_path: Path, bus: str) -> None:
    checkpoint = tmp_path / "best.pt"
    lively_model("detect").save(checkpoint)
    repository = tmp_path / "models"
    for _ in range(2):
        deploy(str(checkpoint), "--name=yolo", f"--repository={repository}", "--imgsz=320")
    versions = sorted(folder.name for folder in (repository / "yolo").iterdir() if folder.is_dir())
    assert versions == ["1", "2"]
    with (
        serving(repository, log=tmp_path / "log") as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        assert client.get_model_metadata("yolo")["versions"] == ["2"]
        served = predict(f"{server.url}/yolo", "detect", [bus], 320)
    assert served[0].names == names_of(80)
    local = predict(str(repository / "yolo" / "2" / "model.onnx"), "detect", [bus], 320)
    assert assert_same(served, local).boxes >= 50
