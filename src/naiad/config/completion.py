# SPDX-License-Identifier: Apache-2.0
"""Filling in what a config leaves out, so that the result is what Triton's `/config` shows.

In the order of a load: `infer_backend` (which runtime, from the files), `complete_from_signature` (inputs, outputs
and batching, from the model file), `complete_defaults` (the rest). All return copies.
May import `errors`, `tensors`, protobuf and what lies beside it.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.errors import InvalidArgumentError
from naiad.tensors import DATATYPES

ENSEMBLE_PLATFORM = "ensemble"

_Group = model_config_pb2.ModelInstanceGroup


class _Runtime(NamedTuple):
    """A backend, the platform it fills in (empty: none), and the file name it looks for."""

    backend: str
    platform: str
    filename: str


_RUNTIMES = (
    _Runtime("tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
    _Runtime("tensorflow", "tensorflow_graphdef", "model.graphdef"),
    _Runtime("tensorrt", "tensorrt_plan", "model.plan"),
    _Runtime("onnxruntime", "onnxruntime_onnx", "model.onnx"),
    _Runtime("openvino", "", "model.xml"),
    _Runtime("pytorch", "pytorch_libtorch", "model.pt"),
    _Runtime("pytorch", "torch_aoti", "model.pt2"),
    _Runtime("python", "", "model.py"),
)
"""In the order in which Triton's core asks (AutoCompleteBackendFields); the first that fits wins."""

CPU_INSTANCES = {"onnxruntime": 2, "tensorflow": 2}
"""Instances of a CPU group whose count isn't given, as in Triton's core; 1 for any other backend."""


def infer_backend(config: ModelConfig, filenames: Iterable[str], model_name: str) -> ModelConfig:
    """Return a copy with `name`, `backend`, `platform` and `default_model_filename` filled in where they are empty.

    Mirrors Triton's core: the backend follows from the platform, else from `default_model_filename`, else from the
    files of the first version directory, else from a model name of the form `model.<backend>`.

    Args:
        config: the user's, empty where there is no config.pbtxt.
        filenames: what lies in the model's first version directory.
        model_name: the model's directory.

    Raises:
        InvalidArgumentError: nothing tells the backend (Triton's texts).
    """
    completed = copy_of(config)
    completed.name = config.name or model_name
    if config.platform == ENSEMBLE_PLATFORM:
        return completed
    present = frozenset(filenames)
    runtime = _find_runtime(config, present)
    if runtime is not None:
        completed.backend = config.backend or runtime.backend
        completed.platform = config.platform or runtime.platform
        completed.default_model_filename = config.default_model_filename or runtime.filename
    elif not (config.backend or config.platform or config.default_model_filename):
        completed.backend = _backend_of_name(model_name, present)
        completed.default_model_filename = f"model.{completed.backend}"
    if not completed.backend:
        known = ", ".join(row.platform for row in _RUNTIMES if row.platform)
        raise InvalidArgumentError(
            f"unexpected platform type '{config.platform}' for {completed.name}: expected one of {known}, or a "
            "'backend'; write backend: \"onnxruntime\", or what runs the file"
        )
    return completed


def _find_runtime(config: ModelConfig, present: frozenset[str]) -> _Runtime | None:
    platform, filename = config.platform, config.default_model_filename
    if config.backend:
        rows = [row for row in _RUNTIMES if row.backend == config.backend]
        fitting = (
            *(row for row in rows if platform and row.platform == platform),
            *(row for row in rows if row.filename == filename),
            *(row for row in rows if row.filename in present),
            *rows,
        )
        return next(iter(fitting), None)
    if platform:
        return next((row for row in _RUNTIMES if row.platform == platform or row.filename == filename), None)
    if filename:
        return next((row for row in _RUNTIMES if row.filename == filename), None)
    return next((row for row in _RUNTIMES if row.filename in present), None)


def _backend_of_name(model_name: str, present: frozenset[str]) -> str:
    _, dot, backend = model_name.partition(".")
    if not dot:
        known = ", ".join(row.filename for row in _RUNTIMES)
        raise InvalidArgumentError(
            f"Invalid model name: Could not determine backend for model '{model_name}' with no backend in model "
            "configuration. Expected model name of the form 'model.<backend_name>'. "
            f"The version directory holds {', '.join(sorted(present)) or 'nothing'}, expected one of {known}; rename "
            "the model's file, or set 'backend' and 'default_model_filename' in config.pbtxt"
        )
    return backend


def complete_from_signature(
    config: ModelConfig, signature: ArtifactSignature, default_max_batch_size: int, model_name: str
) -> ModelConfig:
    """Return a copy with inputs, outputs, `max_batch_size` and `dynamic_batching` filled in from the model file.

    Mirrors the auto-completion of Triton's ONNX Runtime backend: a config that lists both inputs and outputs is left
    alone; else batching is settled first (it takes a varying first dimension in every tensor), then whichever of the
    two lists is missing is written, without the batch dimension.

    Args:
        config: what `infer_backend` returned.
        signature: what the model file says.
        default_max_batch_size: rows, for a model that can batch and whose config gives none (backend option
            `default-max-batch-size`); 1 turns no dynamic batching on, 0 no batching at all.
        model_name: for the error.

    Raises:
        InvalidArgumentError: the config wants batching and the model file cannot (Triton's text).
    """
    completed = copy_of(config)
    lists_inputs = bool(config.input or config.batch_input)
    lists_outputs = bool(config.output or config.batch_output)
    if lists_inputs and lists_outputs:
        return completed
    _complete_batching(completed, signature, default_max_batch_size, model_name)
    skipped = 1 if completed.max_batch_size else 0
    if not lists_inputs:
        completed.input.extend(model_config_pb2.ModelInput(**_declare(tensor, skipped)) for tensor in signature.inputs)
    if not lists_outputs:
        completed.output.extend(
            model_config_pb2.ModelOutput(**_declare(tensor, skipped)) for tensor in signature.outputs
        )
    return completed


def _complete_batching(config: ModelConfig, signature: ArtifactSignature, default_size: int, model_name: str) -> None:
    if not signature.can_batch:
        if config.max_batch_size:
            fixed = next(t for t in (*signature.inputs, *signature.outputs) if t.dims[:1] != (-1,))
            raise InvalidArgumentError(
                f"autofill failed for model '{model_name}': model does not support batching while non-zero "
                f"max_batch_size is specified: expected a first dimension of -1 in every tensor, got shape "
                f"{list(fixed.dims)} for '{fixed.name}'; set max_batch_size to 0, or export the model with a dynamic "
                "batch dimension"
            )
        return
    if config.max_batch_size == 0:
        config.max_batch_size = max(default_size, 0)
        if config.max_batch_size > 1 and config.WhichOneof("scheduling_choice") is None:
            config.dynamic_batching.SetInParent()


def _declare(tensor: ArtifactTensor, skipped: int) -> dict[str, Any]:
    """Return the fields of the `ModelInput` or `ModelOutput` for a tensor, without its first `skipped` dimensions."""
    dims = tensor.dims[skipped:]
    fields: dict[str, Any] = {
        "name": tensor.name,
        "data_type": DATATYPES[tensor.datatype].config_name,
        "dims": dims or (1,),
    }
    if not dims:  # a scalar: `dims` may not be empty, so it is one element, reshaped to none
        fields["reshape"] = model_config_pb2.ModelTensorReshape()
    return fields


def complete_defaults(config: ModelConfig, model_name: str, gpus: Sequence[int] = ()) -> ModelConfig:
    """Return a copy with everything else that Triton's core fills in: the config as the server will show it.

    The name; a version policy of the latest version; a preferred batch size of `max_batch_size` where dynamic
    batching names none; pinned memory; and at least one instance group, each with name, kind and count.

    Args:
        config: the user's, after the two steps before.
        model_name: the model's directory.
        gpus: ids of the GPUs that may be used; where there are none, a group of kind AUTO becomes CPU.
    """
    completed = copy_of(config)
    completed.name = config.name or model_name
    if not config.HasField("version_policy"):
        completed.version_policy.latest.num_versions = 1
    batching = completed.dynamic_batching
    if config.HasField("dynamic_batching") and config.max_batch_size > 0 and not batching.preferred_batch_size:
        batching.preferred_batch_size.append(config.max_batch_size)
    if config.platform == ENSEMBLE_PLATFORM:
        return completed
    for memory in ("input_pinned_memory", "output_pinned_memory"):
        if not config.optimization.HasField(memory):
            getattr(completed.optimization, memory).enable = True
    _complete_instance_groups(completed, gpus)
    return completed


def _complete_instance_groups(config: ModelConfig, gpus: Sequence[int]) -> None:
    if not config.instance_group:
        config.instance_group.add(name=config.name)
    for index, group in enumerate(config.instance_group):
        group.name = group.name or f"{config.name}_{index}"
        if group.kind == _Group.KIND_AUTO:
            group.kind = _Group.KIND_GPU if gpus and set(group.gpus) <= set(gpus) else _Group.KIND_CPU
        if group.count < 1:
            group.count = CPU_INSTANCES.get(config.backend, 1) if group.kind == _Group.KIND_CPU else 1
        if group.kind == _Group.KIND_GPU and not group.gpus:
            group.gpus.extend(gpus)
