# SPDX-License-Identifier: Apache-2.0
"""What the rules look at: one version of a model, as written, as its file says, and as it is served.

May import `config` and `repository`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from naiad.backends.base import BackendModel
from naiad.config import pbtxt
from naiad.config.location import find_line, read_marks
from naiad.config.problems import Problem
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.deployment.check.findings import Finding, Severity
from naiad.repository.loading import ModelDefinition
from naiad.repository.scan import CONFIG_FILENAME, FoundVersion
from naiad.tensors import BY_CONFIG_NAME, DATATYPES

Tensor = model_config_pb2.ModelInput | model_config_pb2.ModelOutput

_VARIABLE = -1


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a model file says, whatever the config: its inputs and outputs, and its own metadata."""

    signature: ArtifactSignature
    metadata: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, backend_model: BackendModel, definition: ModelDefinition) -> "Artifact":
        """Ask an opened model, which any backend answers: it completes a config that says nothing.

        Raises:
            NaiadError: the backend needs a config that says more.
        """
        completed = backend_model.complete(bare_config(definition.config))
        leading = (_VARIABLE,) if completed.max_batch_size > 0 else ()
        inputs, outputs = (
            tuple(ArtifactTensor(item.name, _datatype(item), leading + model_dims(item)) for item in items)
            for items in (completed.input, completed.output)
        )
        return cls(ArtifactSignature(inputs, outputs), backend_model.metadata)

    def find(self, kind: str, name: str) -> ArtifactTensor | None:
        """Return the `input` or `output` called `name`."""
        return next((tensor for tensor in self.tensors(kind) if tensor.name == name), None)

    def tensors(self, kind: str) -> tuple[ArtifactTensor, ...]:
        """Return the tensors of a kind, `input` or `output`."""
        return self.signature.inputs if kind == "input" else self.signature.outputs


@dataclass(frozen=True, slots=True)
class Subject:
    """One version of a model.

    `definition.config` is what the user wrote, with its backend settled; `served` is what comes of it, None where
    nothing does, and `threads_per_instance` what each of its instances computes with; `artifact` is None where the
    model file cannot be read.
    """

    definition: ModelDefinition
    version: FoundVersion
    artifact: Artifact | None = None
    served: ModelConfig | None = None
    threads_per_instance: int = 0

    @property
    def written(self) -> ModelConfig:
        """The user's config, with its backend settled."""
        return self.definition.config

    @property
    def config_file(self) -> str:
        """The path of config.pbtxt, whether it is there or not."""
        return str(self.definition.found.directory / CONFIG_FILENAME)

    @property
    def model_file(self) -> str:
        """The path of the model file."""
        return str(self.version.directory / self.written.default_model_filename)

    def finding(
        self,
        rule: str,
        severity: Severity,
        message: str,
        *,
        field: str = "",
        expected: str = "",
        got: str = "",
        fix: str = "",
        corrected: str = "",
    ) -> Finding:
        """Return a finding at a field of config.pbtxt; at the model file where the config doesn't have the field."""
        line = find_line(read_marks(self.definition.text), field) if field else 0
        problem = (
            Problem(self.config_file, line, field, message, expected, got, fix)
            if line
            else Problem(self.model_file, 0, "", message, expected, got, fix)
        )
        return Finding(rule, severity, problem, corrected.rstrip("\n"))

    def parameter_field(self, key: str) -> str:
        """Return the path, in the user's text, of the value of the parameter `key`; empty where it has none."""
        lines = self.definition.text.split("\n")
        written = re.compile(rf"key\s*:\s*(['\"]){re.escape(key)}\1")
        for mark in read_marks(self.definition.text):
            if re.fullmatch(r"parameters\[\d+\]\.key", mark.path) and written.match(
                lines[mark.line - 1], mark.column - 1
            ):
                return mark.path.removesuffix("key") + "value.string_value"
        return ""


def bare_config(config: ModelConfig) -> ModelConfig:
    """Return what names a model and its runtime, without anything that could contradict the model file."""
    return ModelConfig(
        name=config.name,
        platform=config.platform,
        backend=config.backend,
        default_model_filename=config.default_model_filename,
    )


def model_dims(tensor: Tensor) -> tuple[int, ...]:
    """Return the dims that the model itself sees, without a batch dimension."""
    return tuple(tensor.reshape.shape if tensor.HasField("reshape") else tensor.dims)


def tensor_text(kind: str, tensor: ArtifactTensor, *, batching: bool, existing: Tensor | None = None) -> str:
    """Return the `input` or `output` block for a tensor of the model file, as config.pbtxt should have it.

    With `batching` the first dimension is left out, as max_batch_size > 0 says. What `existing` has beside name, type
    and dims (labels, format) stays.
    """
    config = ModelConfig()
    # Any: the two classes have these fields in common, and no base that says so.
    block: Any = config.input.add() if kind == "input" else config.output.add()
    if existing is not None:
        block.CopyFrom(existing)
        block.ClearField("reshape")
    block.name = tensor.name
    block.data_type = model_config_pb2.DataType.Value(DATATYPES[tensor.datatype].config_name)
    dims = tensor.dims[1:] if batching else tensor.dims
    block.dims[:] = dims or (1,)
    if not dims:
        block.reshape.SetInParent()
    return pbtxt.dump(config)


def shown(dims: tuple[int, ...]) -> str:
    """Return dims as config.pbtxt has them: `[3, 640, 640]`."""
    return f"[{', '.join(map(str, dims))}]"


def _datatype(tensor: Tensor) -> str:
    return BY_CONFIG_NAME[model_config_pb2.DataType.Name(tensor.data_type)].name
