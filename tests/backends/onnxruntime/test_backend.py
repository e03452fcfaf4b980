# SPDX-License-Identifier: Apache-2.0
"""Opening files: which one, and what is wrong with it."""

import importlib.metadata
import logging
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from naiad.backends.base import ModelFiles, Placement
from naiad.backends.onnxruntime.backend import OnnxRuntimeBackend
from naiad.backends.onnxruntime.model import OnnxModel
from naiad.config.proto import ModelConfig
from naiad.errors import InternalError, UnavailableError

SaveGraph = Callable[..., Path]
Open = Callable[..., OnnxModel]


def test_the_file_that_the_config_names_is_opened(save_graph: SaveGraph, open_model: Open) -> None:
    save_graph(filename="yolo.onnx", metadata={"task": "detect"})
    model = open_model(ModelConfig(name="m", default_model_filename="yolo.onnx"))
    assert model.metadata == {"task": "detect"}


def test_a_folder_holds_the_model_with_its_external_data(
    files: ModelFiles, save_graph: SaveGraph, open_model: Open
) -> None:
    (files.version_directory / "model.onnx").mkdir()
    save_graph(filename="model.onnx/model.onnx", metadata={"in": "folder"})
    assert open_model().metadata == {"in": "folder"}


def test_a_file_that_is_not_there_is_named_from_the_repository_on(files: ModelFiles, open_model: Open) -> None:
    with pytest.raises(UnavailableError) as caught:
        open_model()
    assert str(caught.value) == (
        "unable to find 'm/1/model.onnx' for model 'm', got no ONNX file there; put the ONNX file there"
    )


def test_a_file_of_another_name_is_proposed(save_graph: SaveGraph, open_model: Open) -> None:
    save_graph(filename="yolo.onnx")
    with pytest.raises(UnavailableError) as caught:
        open_model()
    assert str(caught.value) == (
        "unable to find 'm/1/model.onnx' for model 'm', got yolo.onnx there; rename yolo.onnx to model.onnx, or write "
        'default_model_filename: "yolo.onnx" in config.pbtxt'
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"garbage", "onnx runtime error 7: Load model from m/1/model.onnx failed:Protobuf parsing failed."),
        # The older ONNX Runtime is, the more it says of where in its own code this came up.
        (b"", r"onnx runtime error [12]: Load model from m/1/model\.onnx failed:.*(No|not have a) graph.*"),
    ],
)
def test_a_corrupt_file_is_told_in_tritons_words_without_where_the_repository_lies(
    files: ModelFiles, open_model: Open, content: bytes, expected: str
) -> None:
    (files.version_directory / "model.onnx").write_bytes(content)
    with pytest.raises(InternalError) as caught:
        open_model()
    told = f"{expected} The file is cut off, damaged or no ONNX model: export it or copy it again"
    assert re.fullmatch(told, str(caught.value))


@pytest.mark.parametrize("newer", [{"ir_version": 99}, {"opset": 99}])
def test_a_model_newer_than_the_runtime_says_what_to_upgrade(
    save_graph: SaveGraph, open_model: Open, newer: dict[str, int]
) -> None:
    save_graph(**newer)
    with pytest.raises(InternalError) as caught:
        open_model()
    assert str(caught.value).startswith("onnx runtime error 1: Load model from m/1/model.onnx failed:")
    assert str(caught.value).endswith("; the model is newer than the runtime, run: pip install -U onnxruntime")


@pytest.fixture
def with_external_data(save_graph: SaveGraph) -> Path:
    weights = numpy_helper.from_array(np.full((16, 16), 2, np.float32), "w")
    path = save_graph(
        nodes=[helper.make_node("MatMul", ["x", "w"], ["y"])],
        initializers=[weights],
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path.parent / "weights.bin"


@pytest.mark.usefixtures("with_external_data")
def test_external_data_beside_the_model_is_read(open_model: Open) -> None:
    model = open_model()
    instance = model.create_instance(model.complete(ModelConfig(name="m")), Placement("m_0"))
    assert instance.run({"x": np.ones((1, 16), np.float32)}, ["y"])["y"].tolist() == [[32.0] * 16]


def test_external_data_that_is_not_there_is_told(files: ModelFiles, with_external_data: Path, open_model: Open) -> None:
    with_external_data.unlink()
    with pytest.raises(InternalError, match=r'["[]m/1/weights\.bin["\]]') as caught:
        open_model()
    assert str(files.directory.parent) not in str(caught.value)


def test_a_gpu_instance_without_a_gpu_runtime_says_how_to_get_one(
    save_graph: SaveGraph, open_model: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    save_graph()
    config = ModelConfig(name="m")
    config.instance_group.add(name="m_0", kind="KIND_GPU", gpus=[0])
    with pytest.raises(UnavailableError, match="pip install onnxruntime-gpu"):
        open_model(config)


def test_two_distributions_of_onnxruntime_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def installed(name: str) -> str:
        if name not in ("onnxruntime", "onnxruntime-gpu"):
            raise importlib.metadata.PackageNotFoundError(name)
        return "1.20"

    monkeypatch.setattr("naiad.backends.onnxruntime.backend.version", installed)
    with caplog.at_level(logging.WARNING):
        OnnxRuntimeBackend()
    assert [record.getMessage() for record in caplog.records] == [
        (
            "onnxruntime and onnxruntime-gpu are all installed, but share one folder: the last one installed has "
            "overwritten files of the others; run: pip uninstall -y onnxruntime onnxruntime-gpu && pip install "
            "PACKAGE, with the one PACKAGE you need"
        )
    ]


def test_one_distribution_is_nothing_to_warn_of(caplog: pytest.LogCaptureFixture) -> None:
    OnnxRuntimeBackend()
    assert caplog.records == []
