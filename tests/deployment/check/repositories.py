# SPDX-License-Identifier: Apache-2.0
"""A repository to fill with small ONNX models and their configs, and what a check finds in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

onnx = pytest.importorskip("onnx")

from naiad.deployment.check import RULES, CheckedModel, Finding, check  # noqa: E402

Shape = Sequence[int | str]

METADATA = {
    "task": "detect",
    "stride": "32",
    "imgsz": "[640, 640]",
    "names": "{0: 'person', 1: 'bicycle'}",
    "args": "{'dynamic': True}",
}
"""What Ultralytics' exporter writes into a dynamic export, in short."""


@dataclass(frozen=True)
class Repository:
    """A model repository in the making."""

    path: Path

    def onnx(
        self,
        file: str,
        shape: Shape = ("batch", 3, "height", "width"),
        *,
        metadata: Mapping[str, str] = METADATA,
        inputs: Sequence[str] = ("images",),
        outputs: Sequence[str] = ("output0",),
        datatype: int = onnx.TensorProto.FLOAT,
    ) -> Path:
        """Write a model whose outputs all are its first input."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        taken, given = (
            [onnx.helper.make_tensor_value_info(name, datatype, list(shape)) for name in names]
            for names in (inputs, outputs)
        )
        nodes = [onnx.helper.make_node("Identity", [inputs[0]], [name]) for name in outputs]
        graph = onnx.helper.make_graph(nodes, "copy", taken, given)
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.helper.set_model_props(model, dict(metadata))
        onnx.save(model, path)
        return path

    def write(self, file: str, content: bytes = b"") -> Path:
        """Write a file."""
        path = self.path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def config(self, name: str, text: str) -> Path:
        """Write a model's config.pbtxt."""
        return self.write(f"{name}/config.pbtxt", text.encode())

    def check(self, name: str) -> CheckedModel:
        """Check the repository, and return what came of one model."""
        model = next(model for model in check([self.path]).models if model.name == name)
        assert {finding.rule for finding in model.findings} <= RULES.keys()
        return model

    def only_finding(self, name: str) -> Finding:
        """Check the repository; the one finding about a model."""
        (finding,) = self.check(name).findings
        return finding
