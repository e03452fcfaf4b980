# SPDX-License-Identifier: Apache-2.0
"""Ultralytics' guide for Triton, step for step, with `naiad serve` where it has `docker run`."""

import contextlib
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from tests.e2e.comparison import assert_same, predict
from tests.e2e.exports import Exports, lively_model
from tests.e2e.serving import free_ports
from tritonclient.http import InferenceServerClient
from ultralytics import YOLO  # type: ignore[attr-defined] # it is loaded lazily

_MODEL_NAME = "yolo"

_CONFIG = """
# What Ultralytics needs to know of the model, as Python writes it
parameters {
  key: "metadata"
  value: {
    string_value: "%s"
  }
}

# (Optional) TensorRT for inference on a GPU
# The first run is slow: the engine is built then
optimization {
  execution_accelerators {
    gpu_execution_accelerator {
      name: "tensorrt"
      parameters {
        key: "precision_mode"
        value: "FP16"
      }
      parameters {
        key: "max_workspace_size_bytes"
        value: "3221225472"
      }
      parameters {
        key: "trt_engine_cache_enable"
        value: "1"
      }
      parameters {
        key: "trt_engine_cache_path"
        value: "/models/yolo/1"
      }
    }
  }
}
"""


@dataclass(frozen=True, slots=True)
class _Guide:
    """Where the guide's first half leaves off."""

    repository: Path
    metadata: dict[str, Any]

    @property
    def model(self) -> Path:
        return self.repository / _MODEL_NAME


@pytest.fixture(scope="module")
def guide(tmp_path_factory: pytest.TempPathFactory) -> _Guide:
    """Export with the metadata captured, then make the repository."""
    folder = tmp_path_factory.mktemp("guide")
    model = lively_model("detect")
    network: Any = model.model
    network.names = {index: f"class {index}" for index in network.names}
    network.pt_path = str(folder / "yolo11n.pt")

    metadata: list[dict[str, Any]] = []

    def on_export_end(exporter: Any) -> None:
        metadata.append(exporter.metadata)

    model.add_callback("on_export_end", on_export_end)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's exporter to Ultralytics
        onnx_file = model.export(format="onnx", dynamic=True)

    triton_repo_path = folder / "triton_repo"
    triton_model_path = triton_repo_path / _MODEL_NAME
    (triton_model_path / "1").mkdir(parents=True, exist_ok=True)
    Path(onnx_file).rename(triton_model_path / "1" / "model.onnx")
    (triton_model_path / "config.pbtxt").touch()
    return _Guide(triton_repo_path, metadata[0])


@contextmanager
def _server(guide: _Guide, log: Path) -> Iterator[int]:
    """Stand in for `docker run` and `docker kill`."""
    http_port, grpc_port, metrics_port = free_ports(3)
    command = (
        f"-m naiad serve --model-repository={guide.repository} --http-port {http_port} --grpc-port {grpc_port} "
        f"--metrics-port {metrics_port}"
    )
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, *command.split()], stdout=output, stderr=subprocess.STDOUT)
    try:
        yield http_port
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text(encoding="utf-8")


def _wait(port: int) -> InferenceServerClient:
    """Wait for the model exactly as the guide does."""
    triton_client = InferenceServerClient(url=f"localhost:{port}", verbose=False, ssl=False)
    for _ in range(10):
        with contextlib.suppress(Exception):
            assert triton_client.is_model_ready(_MODEL_NAME)
            break
        time.sleep(1)
    return triton_client


def test_the_guide_from_export_to_boxes(guide: _Guide, tmp_path: Path, bus: str) -> None:
    (guide.model / "config.pbtxt").write_text(_CONFIG % guide.metadata, encoding="utf-8")
    log = tmp_path / "log"
    with _server(guide, log) as port:
        with _wait(port) as client:
            assert client.is_model_ready(_MODEL_NAME)
            config = client.get_model_config(_MODEL_NAME)
        model = YOLO(f"http://localhost:{port}/{_MODEL_NAME}", task="detect")
        results: Any = model(bus, imgsz=320, verbose=False)
    assert config["parameters"]["metadata"]["string_value"] == str(guide.metadata)
    (accelerator,) = config["optimization"]["execution_accelerators"]["gpu_execution_accelerator"]
    assert accelerator == {
        "name": "tensorrt",
        "parameters": {
            "precision_mode": "FP16",
            "max_workspace_size_bytes": "3221225472",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": "/models/yolo/1",
        },
    }
    assert results[0].names == guide.metadata["names"] == {index: f"class {index}" for index in range(80)}
    local = predict(str(guide.model / "1" / "model.onnx"), "detect", [bus], 320)
    assert assert_same(results, local).boxes >= 50


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="here the accelerator may be used"
)
def test_without_a_gpu_the_accelerator_is_ignored_with_one_warning(guide: _Guide, tmp_path: Path) -> None:
    (guide.model / "config.pbtxt").write_text(_CONFIG % guide.metadata, encoding="utf-8")
    log = tmp_path / "log"
    with _server(guide, log) as port:
        _wait(port).close()
    said = log.read_text(encoding="utf-8")
    (warning,) = [line for line in said.splitlines() if "Accelerator will be ignored" in line]
    assert re.match(r"W\d{4} \d\d:\d\d:\d\d\.\d{6} ", warning), said
    assert "yolo" in warning


@pytest.mark.parametrize(
    "config",
    ["", 'name: "yolo"\nplatform: "onnxruntime_onnx"\n', 'name: "yolo"\nbackend: "onnxruntime"\nmax_batch_size: 2\n'],
    ids=["touched", "platform", "backend"],
)
def test_the_guides_older_forms_of_config(config: str, guide: _Guide, tmp_path: Path, bus: str) -> None:
    (guide.model / "config.pbtxt").write_text(config, encoding="utf-8")
    with _server(guide, tmp_path / "log") as port:
        with _wait(port) as client:
            served = client.get_model_config(_MODEL_NAME)
        results = predict(f"http://localhost:{port}/{_MODEL_NAME}", "detect", [bus], 320)
    assert served["max_batch_size"] == (2 if "max_batch_size" in config else 4)
    assert results[0].names == guide.metadata["names"]
    local = predict(str(guide.model / "1" / "model.onnx"), "detect", [bus], 320)
    assert assert_same(results, local).boxes >= 50


def test_metadata_of_awkward_names_reaches_the_client_from_the_artifact(
    exports: Exports, tmp_path: Path, bus: str
) -> None:
    """The guide's own template breaks on a quote in a name; without a config there is nothing to break."""
    export = exports.random("detect", is_dynamic=True)
    folder = tmp_path / "triton_repo" / _MODEL_NAME / "1"
    folder.mkdir(parents=True)
    (folder / "model.onnx").symlink_to(export.path)
    with _server(_Guide(tmp_path / "triton_repo", {}), tmp_path / "log") as port:
        _wait(port).close()
        results = predict(f"http://localhost:{port}/{_MODEL_NAME}", "detect", [bus], 320)
    assert results[0].names == export.names
