# SPDX-License-Identifier: Apache-2.0
"""Small ONNX models, made where a test wants them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from naiad.backends.base import BackendSettings, ModelFiles
from naiad.backends.onnxruntime.backend import OnnxRuntimeBackend
from naiad.backends.onnxruntime.model import OnnxModel
from naiad.config.proto import ModelConfig

IR_VERSION = 10
OPSET = 21
"""What the oldest onnxruntime that Naiad takes (1.20) reads."""

Tensor = tuple[str, int, Sequence[int | str]]
SaveGraph = Callable[..., Path]
Open = Callable[..., OnnxModel]


@pytest.fixture
def files(tmp_path: Path) -> ModelFiles:
    """Version 1 of a model `m`, without a file."""
    directory = tmp_path / "repository" / "m"
    (directory / "1").mkdir(parents=True)
    return ModelFiles(directory, directory / "1")


@pytest.fixture
def save_graph(files: ModelFiles) -> SaveGraph:
    """Write an ONNX file for the model: by default, each output is the input beside it."""

    def save(
        inputs: Sequence[Tensor] = (("x", TensorProto.FLOAT, ["N", 16]),),
        outputs: Sequence[Tensor] = (("y", TensorProto.FLOAT, ["N", 16]),),
        *,
        nodes: Sequence[Any] | None = None,
        filename: str = "model.onnx",
        initializers: Sequence[Any] = (),
        metadata: dict[str, str] | None = None,
        ir_version: int = IR_VERSION,
        opset: int = OPSET,
        **options: Any,
    ) -> Path:
        if nodes is None:
            pairs = zip(inputs, outputs, strict=True)
            nodes = [helper.make_node("Identity", [source[0]], [output[0]]) for source, output in pairs]
        graph = helper.make_graph(
            nodes,
            "graph",
            [helper.make_tensor_value_info(*tensor) for tensor in inputs],
            [helper.make_tensor_value_info(*tensor) for tensor in outputs],
            initializer=list(initializers),
        )
        model = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
        helper.set_model_props(model, metadata or {})
        path = files.version_directory / filename
        onnx.save_model(model, path, **options)
        return path

    return save


@pytest.fixture
def open_model(files: ModelFiles) -> Open:
    """Open the model with a config and settings."""

    def open_it(config: ModelConfig | None = None, **settings: Any) -> OnnxModel:
        given = config or ModelConfig(name="m", backend="onnxruntime")
        model = OnnxRuntimeBackend().open(files, given, BackendSettings(**{"usable_cores": 2} | settings))
        assert isinstance(model, OnnxModel)
        return model

    return open_it
