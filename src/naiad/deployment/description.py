# SPDX-License-Identifier: Apache-2.0
"""What config.pbtxt says of an artifact, and how a second deployment changes it.

May import `vision`, `config` and what lies below them.
"""

import ast
from collections.abc import Iterable, Mapping
from typing import TypeVar

from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.errors import InvalidArgumentError
from naiad.vision.metadata import METADATA_PARAMETER, metadata_text, read_metadata, to_literal

Tensor = TypeVar("Tensor", "model_config_pb2.ModelInput", "model_config_pb2.ModelOutput")

TENSORRT_PARAMETERS = {
    "precision_mode": "FP16",
    "max_workspace_size_bytes": "3221225472",
    "trt_engine_cache_enable": "1",
}
"""The settings of Ultralytics' guide to TensorRT in Triton; the path of the engine cache is added to them."""


def first_config(name: str, completed: ModelConfig, artifact_metadata: Mapping[str, str]) -> ModelConfig:
    """Return the config.pbtxt of a model's first deployment.

    Args:
        name: the model's name.
        completed: what the backend read from the artifact: inputs, outputs, `max_batch_size`.
        artifact_metadata: what the artifact says of itself; used where it is Ultralytics' export.
    """
    config = ModelConfig(name=name, backend="onnxruntime", max_batch_size=completed.max_batch_size)
    config.input.extend(_plain_input(tensor) for tensor in completed.input)
    config.output.extend(_plain_output(tensor) for tensor in completed.output)
    if completed.max_batch_size > 0:
        config.dynamic_batching.SetInParent()
    metadata = read_metadata(artifact_metadata)
    if metadata is not None:
        config.parameters[METADATA_PARAMETER].string_value = to_literal(metadata)
    return config


def next_config(existing: ModelConfig, fresh: ModelConfig) -> ModelConfig:
    """Return the config.pbtxt of a later deployment.

    What describes the artifact follows the artifact: names, types and dims of inputs and outputs, whether there is a
    batch dimension, and the metadata. Everything else stays as the user has it: the size of batches, schedulers,
    instance groups, optimization, parameters, and the labels and formats of tensors that are still there.

    Args:
        existing: what the model's config.pbtxt says now.
        fresh: what `first_config` makes of the new artifact.
    """
    merged = copy_of(existing)
    merged.name = fresh.name
    if (existing.max_batch_size > 0) != (fresh.max_batch_size > 0):
        merged.max_batch_size = fresh.max_batch_size
        merged.ClearField("dynamic_batching")
        if fresh.HasField("dynamic_batching"):
            merged.dynamic_batching.SetInParent()
    inputs = [_updated(tensor, existing.input) for tensor in fresh.input]
    outputs = [_updated(tensor, existing.output) for tensor in fresh.output]
    merged.ClearField("input")
    merged.ClearField("output")
    merged.input.extend(inputs)
    merged.output.extend(outputs)
    metadata = metadata_text(fresh)
    if metadata and not _same_metadata(metadata, metadata_text(existing) or ""):
        merged.parameters[METADATA_PARAMETER].string_value = metadata
    return merged


def add_tensorrt(config: ModelConfig, cache_path: str) -> None:
    """Ask for TensorRT on GPU instances, with the settings of Ultralytics' guide; CPU instances ignore it.

    `cache_path` is where built engines are kept, in the guide a folder of the container.
    """
    accelerators = config.optimization.execution_accelerators.gpu_execution_accelerator
    others = [accelerator for accelerator in accelerators if accelerator.name != "tensorrt"]
    del accelerators[:]
    accelerators.extend(others)
    accelerators.add(name="tensorrt", parameters=TENSORRT_PARAMETERS | {"trt_engine_cache_path": cache_path})


def task(config: ModelConfig) -> str:
    """Return the YOLO task that the config's metadata names; empty where they name none."""
    return str((_parsed(metadata_text(config) or "") or {}).get("task", ""))


def check_max_batch_size(config: ModelConfig, wanted: int | None) -> None:
    """Refuse a `max_batch_size` for an artifact whose batch dimension is fixed.

    Raises:
        InvalidArgumentError: it was asked for, and cannot be had.
    """
    if wanted and not config.max_batch_size:
        shapes = ", ".join(f"{tensor.name} {list(tensor.dims)}" for tensor in config.input)
        raise InvalidArgumentError(
            f"--max-batch-size {wanted} needs a model whose batch dimension is open, got fixed shapes ({shapes}); "
            "export with --dynamic, or leave the option out"
        )


def _plain_input(tensor: "model_config_pb2.ModelInput") -> "model_config_pb2.ModelInput":
    return model_config_pb2.ModelInput(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _plain_output(tensor: "model_config_pb2.ModelOutput") -> "model_config_pb2.ModelOutput":
    return model_config_pb2.ModelOutput(name=tensor.name, data_type=tensor.data_type, dims=tensor.dims)


def _updated(fresh: Tensor, existing: Iterable[Tensor]) -> Tensor:
    """Return the artifact's tensor, with what the user had added to the one of that name."""
    known = {tensor.name: tensor for tensor in existing}.get(fresh.name)
    if known is None:
        return fresh
    tensor = type(fresh)()
    tensor.CopyFrom(known)
    if (known.data_type, list(known.dims)) != (fresh.data_type, list(fresh.dims)):
        tensor.ClearField("reshape")  # it names the old dims' elements
        tensor.data_type = fresh.data_type
        tensor.dims[:] = fresh.dims
    return tensor


def _same_metadata(left: str, right: str) -> bool:
    """Tell whether two metadata literals say the same, the date of the export aside."""
    return _undated(left) == _undated(right)


def _undated(literal: str) -> object:
    values = _parsed(literal)
    return literal if values is None else {key: value for key, value in values.items() if key != "date"}


def _parsed(literal: str) -> dict[str, object] | None:
    """Return what a metadata literal says; None for a text that is no such literal: users write them, too."""
    try:
        values = ast.literal_eval(literal)
    except (ValueError, SyntaxError):
        return None
    return values if isinstance(values, dict) else None
