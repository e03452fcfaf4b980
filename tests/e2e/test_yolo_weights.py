# SPDX-License-Identifier: Apache-2.0
"""Real weights see what is in the photos, through unmodified `ultralytics.YOLO` over HTTP."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
import tritonclient.http
from tests.e2e.comparison import add_model, assert_close, assert_same, counts, predict
from tests.e2e.exports import Export, Exports
from tests.e2e.serving import Serving, serving
from ultralytics.utils.triton import TritonRemoteModel

_IN_BUS = {"bus": 1, "person": 4}
_IN_ZIDANE = {"person": 2, "tie": 1}
# As a rectangle, 640 × 480, a fifth thing in it is just above the threshold: 0.255, served or not.
_IN_BUS_AS_RECTANGLE = _IN_BUS | {"stop sign": 1}


@pytest.fixture(scope="module")
def dynamic(test_models: Path) -> Export:
    return Export(test_models / "yolov8n.onnx", "detect", 640, True, {})


@pytest.fixture(scope="module")
def fixed(test_models: Path, exports: Exports) -> Export:
    return exports.trained(test_models / "yolov8n.pt", size=640, is_dynamic=False)


@pytest.fixture(scope="module")
def server(dynamic: Export, fixed: Export, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server with two models, neither of which has a config.pbtxt."""
    folder = tmp_path_factory.mktemp("weights")
    repository = folder / "models"
    add_model(repository, "bare", dynamic.path)
    add_model(repository, "square", fixed.path)
    with serving(repository, log=folder / "log") as running:
        yield running


@pytest.fixture
def sent_shapes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of the tensors that Ultralytics sends, as it sends them."""
    shapes: list[tuple[int, ...]] = []
    call = TritonRemoteModel.__call__

    def listen(self: TritonRemoteModel, *inputs: np.ndarray) -> Any:
        shapes.extend(one.shape for one in inputs)
        return call(self, *inputs)

    monkeypatch.setattr(TritonRemoteModel, "__call__", listen)
    return shapes


@pytest.mark.parametrize(("model", "in_bus"), [("bare", _IN_BUS_AS_RECTANGLE), ("square", _IN_BUS)])
def test_the_photos_show_what_they_show(
    model: str, in_bus: dict[str, int], server: Serving, dynamic: Export, fixed: Export, bus: str, zidane: str
) -> None:
    artifact = dynamic.path if model == "bare" else fixed.path
    for photo, expected in ((bus, in_bus), (zidane, _IN_ZIDANE)):
        served = predict(f"{server.url}/{model}", "detect", [photo], 640)
        assert counts(served[0]) == expected
        assert assert_same(served, predict(str(artifact), "detect", [photo], 640)).boxes == sum(expected.values())


def test_names_come_from_the_artifact_without_a_config(server: Serving, fixed: Export, bus: str) -> None:
    names = predict(f"{server.url}/bare", "detect", [bus], 640)[0].names
    assert names == fixed.names
    assert (len(names), names[0], names[5], names[79]) == (80, "person", "bus", "toothbrush")


def test_a_dynamic_model_gets_a_full_hd_photo_as_a_rectangle(
    server: Serving, dynamic: Export, zidane: str, sent_shapes: list[tuple[int, ...]]
) -> None:
    photo = full_hd(zidane)
    served = predict(f"{server.url}/bare", "detect", [photo], 640)
    assert set(sent_shapes) == {(1, 3, 384, 640)}
    assert served[0].orig_shape == (1080, 1920)
    assert counts(served[0]) == _IN_ZIDANE
    assert_same(served, predict(str(dynamic.path), "detect", [photo], 640))


def test_a_fixed_model_gets_a_full_hd_photo_as_a_square(
    server: Serving, fixed: Export, zidane: str, sent_shapes: list[tuple[int, ...]]
) -> None:
    photo = full_hd(zidane)
    served = predict(f"{server.url}/square", "detect", [photo], 320)
    assert set(sent_shapes) == {(1, 3, 640, 640)}  # its metadata overrules the caller's imgsz
    assert counts(served[0]) == _IN_ZIDANE
    assert_same(served, predict(str(fixed.path), "detect", [photo], 320))


def test_a_batch_of_several_photos(
    server: Serving, dynamic: Export, bus: str, zidane: str, sent_shapes: list[tuple[int, ...]]
) -> None:
    photos = [bus, zidane, zidane, bus]
    served = predict(f"{server.url}/bare", "detect", photos, 640)
    assert (4, 3, 640, 640) in sent_shapes
    assert [counts(result) for result in served] == [_IN_BUS, _IN_ZIDANE, _IN_ZIDANE, _IN_BUS]
    assert assert_same(served, predict(str(dynamic.path), "detect", photos, 640)).boxes == 16


def test_the_config_of_a_bare_dynamic_model_is_completed_as_triton_does(server: Serving) -> None:
    with tritonclient.http.InferenceServerClient(server.http) as client:
        config = client.get_model_config("bare")
    assert (config["name"], config["backend"], config["platform"]) == ("bare", "onnxruntime", "onnxruntime_onnx")
    assert config["max_batch_size"] == 4
    assert [(one["name"], one["data_type"], one["dims"]) for one in config["input"]] == [
        ("images", "TYPE_FP32", [3, -1, -1])
    ]
    assert [(one["name"], one["data_type"], one["dims"]) for one in config["output"]] == [
        ("output0", "TYPE_FP32", [84, -1])
    ]
    assert config["dynamic_batching"]["preferred_batch_size"] == [4]
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 0
    assert [(one["name"], one["kind"], one["count"]) for one in config["instance_group"]] == [("bare", "KIND_CPU", 2)]
    assert config["version_policy"] == {"latest": {"num_versions": 1}}
    assert config["default_model_filename"] == "model.onnx"
    assert "'stride': 32" in config["parameters"]["metadata"]["string_value"]


def test_the_config_of_a_bare_fixed_model_has_no_batching(server: Serving) -> None:
    with tritonclient.http.InferenceServerClient(server.http) as client:
        config = client.get_model_config("square")
    assert config["max_batch_size"] == 0
    assert config["input"][0]["dims"] == [1, 3, 640, 640]
    assert config["output"][0]["dims"] == [1, 84, 8400]
    assert "dynamic_batching" not in config


def test_two_versions_of_a_model_are_asked_by_number(
    dynamic: Export, exports: Exports, repository: Path, tmp_path: Path
) -> None:
    other = exports.random("detect", is_dynamic=True)
    config = "version_policy { all { } }"
    folder = add_model(repository, "yolo", dynamic.path, config)
    (folder / "2").mkdir()
    (folder / "2" / "model.onnx").symlink_to(other.path.resolve())
    image = np.random.default_rng(1).random((2, 3, 64, 96), dtype=np.float32)
    expected = {"1": _run(dynamic.path, image), "2": _run(other.path, image)}
    assert np.abs(expected["1"] - expected["2"]).max() > 1
    with (
        serving(repository, log=tmp_path / "log") as server,
        tritonclient.http.InferenceServerClient(server.http) as client,
    ):
        assert client.get_model_metadata("yolo")["versions"] == ["1", "2"]
        for asked, answered in (("1", "1"), ("2", "2"), ("", "2")):
            tensor = tritonclient.http.InferInput("images", image.shape, "FP32")
            tensor.set_data_from_numpy(image)
            answer = client.infer("yolo", [tensor], model_version=asked)
            assert answer.get_response()["model_version"] == answered
            assert_close(answer.as_numpy("output0"), expected[answered], f"version {answered}")


def full_hd(path: str) -> np.ndarray:
    """Return a photo of 16:9 as one of 1920 × 1080."""
    photo: Any = cv2.imread(path)
    resized: np.ndarray = cv2.resize(photo, (1920, 1080))
    return resized


def _run(artifact: Path, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(artifact, providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {"images": image})[0]
    return output
