# SPDX-License-Identifier: Apache-2.0
from collections.abc import Mapping
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from naiad.config import pbtxt  # noqa: E402
from naiad.deployment import ExportOptions, deploy  # noqa: E402
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError, UnsupportedError  # noqa: E402

METADATA = {"task": "detect", "stride": "32", "names": '{0: "it\'s"}', "args": "{'dynamic': True}"}


def write_onnx(path: Path, shape: list[int | str] | None = None, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a model that copies `images` to `output0`."""
    dims = shape or ["batch", 3, "height", "width"]
    tensors = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, dims) for name in ("images", "output0")]
    node = onnx.helper.make_node("Identity", ["images"], ["output0"])
    graph = onnx.helper.make_graph([node], "copy", tensors[:1], tensors[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    onnx.helper.set_model_props(model, dict(METADATA if metadata is None else metadata))
    onnx.save(model, path)
    return path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_an_onnx_file_becomes_version_one_with_a_config(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "best.onnx")
    steps: list[str] = []
    made = deploy(weights, repository=tmp_path / "models", on_step=steps.append)
    assert (made.model, made.version, made.task) == ("best", 1, "detect")
    assert made.path.read_bytes() == weights.read_bytes()
    assert files(tmp_path / "models") == ["best/1/model.onnx", "best/config.pbtxt"]
    text = (tmp_path / "models" / "best" / "config.pbtxt").read_text(encoding="utf-8")
    assert pbtxt.parse(text, "config.pbtxt") == made.config
    assert made.config.max_batch_size == 4
    assert list(made.config.input[0].dims) == [3, -1, -1]
    assert made.config.HasField("dynamic_batching")
    assert steps == ["Copying the model", "Reading the model", "Writing the repository"]


def test_deploying_again_makes_the_next_version_and_leaves_a_config_that_still_fits(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "best.onnx")
    config = deploy(weights, "yolo", tmp_path).path.parents[1] / "config.pbtxt"
    config.write_text(f"# tuned by hand\n{config.read_text(encoding='utf-8')}", encoding="utf-8")
    made = deploy(weights, "yolo", tmp_path)
    assert made.version == 2
    assert made.path == tmp_path / "yolo" / "2" / "model.onnx"
    assert config.read_text(encoding="utf-8").startswith("# tuned by hand\n")


def test_max_batch_size_is_the_one_asked_for(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "best.onnx")
    assert deploy(weights, "yolo", tmp_path, max_batch_size=8).config.max_batch_size == 8
    assert deploy(weights, "yolo", tmp_path).config.max_batch_size == 8
    assert deploy(weights, "yolo", tmp_path, max_batch_size=2).config.max_batch_size == 2


def test_a_fixed_shape_has_all_its_dims_and_no_batching(tmp_path: Path) -> None:
    made = deploy(write_onnx(tmp_path / "best.onnx", [2, 3, 32, 32]), "yolo", tmp_path)
    assert made.config.max_batch_size == 0
    assert list(made.config.input[0].dims) == [2, 3, 32, 32]


def test_tensorrt_can_be_asked_for(tmp_path: Path) -> None:
    made = deploy(write_onnx(tmp_path / "best.onnx"), "yolo", tmp_path, tensorrt=True)
    accelerator = made.config.optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert accelerator.parameters["trt_engine_cache_path"] == "/models/yolo/1"


def test_weights_beside_the_file_come_along(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "big.onnx")
    (tmp_path / "big.onnx.data").write_bytes(b"weights")
    made = deploy(weights, "yolo", tmp_path / "models")
    assert files(made.path.parent) == ["big.onnx.data", "model.onnx"]


@pytest.mark.parametrize(
    ("weights", "kind", "message"),
    [
        ("best.engine", UnsupportedError, "'.engine' cannot be deployed in this version"),
        ("best.torchscript", UnsupportedError, "export the model with format=onnx"),
        ("best.txt", InvalidArgumentError, "expected a .pt or .onnx file"),
        ("missing.onnx", NotFoundError, "does not exist, expected an .onnx file"),
        ("yolo_openvino_model", UnsupportedError, "a folder cannot be deployed"),
    ],
)
def test_what_cannot_be_deployed_is_refused_and_leaves_nothing(
    tmp_path: Path, weights: str, kind: type[NaiadError], message: str
) -> None:
    (tmp_path / "yolo_openvino_model").mkdir()
    with pytest.raises(kind) as caught:
        deploy(tmp_path / weights, "yolo", tmp_path / "models")
    assert message in str(caught.value)
    assert files(tmp_path) == []


def test_an_onnx_file_is_not_exported_so_how_to_do_that_is_refused(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "best.onnx")
    with pytest.raises(InvalidArgumentError, match=r"is taken as it is, so it cannot be given imgsz, half: those are"):
        deploy(weights, "yolo", tmp_path / "models", export=ExportOptions(imgsz=320, half=True))
    assert files(tmp_path) == ["best.onnx"]


def test_a_file_that_is_no_model_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "best.onnx").write_bytes(b"not a model")
    with pytest.raises(NaiadError, match=r"best\.onnx' cannot be deployed: .*Load model from best\.onnx failed"):
        deploy(tmp_path / "best.onnx", "yolo", tmp_path / "models")
    assert [entry.name for entry in tmp_path.iterdir()] == ["best.onnx"]


def test_a_broken_config_is_told_before_anything_is_written(tmp_path: Path) -> None:
    weights = write_onnx(tmp_path / "best.onnx")
    (tmp_path / "models" / "yolo").mkdir(parents=True)
    (tmp_path / "models" / "yolo" / "config.pbtxt").write_text("max_batch_sise: 4")
    with pytest.raises(InvalidArgumentError, match="max_batch_sise"):
        deploy(weights, "yolo", tmp_path / "models")
    assert files(tmp_path / "models") == ["yolo/config.pbtxt"]


def test_a_checkpoint_is_exported_with_its_metadata_and_its_folder_left_alone(
    tmp_path: Path, test_models: Path
) -> None:
    pytest.importorskip("ultralytics")
    before = files(test_models)
    made = deploy(test_models / "yolov8n.pt", "yolo", tmp_path, export=ExportOptions(imgsz=64, dynamic=False, batch=2))
    assert files(tmp_path) == ["yolo/1/model.onnx", "yolo/config.pbtxt"]
    assert list(made.config.input[0].dims) == [2, 3, 64, 64]
    assert made.task == "detect"
    assert "0: 'person'" in made.config.parameters["metadata"].string_value
    assert files(test_models) == before
