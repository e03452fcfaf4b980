# SPDX-License-Identifier: Apache-2.0
"""Whether a config makes sense, as Triton's ValidateModelConfig asks, but with all mistakes told at once.

Where Triton refuses, this refuses with Triton's sentence, and adds field, line, expected, got and a fix. What only
the server can know (is there such a backend, such a version directory, such a label file) is asked elsewhere.
May import `errors`, protobuf and what lies beside it.
"""

from collections.abc import Sequence
from pathlib import PurePath

from naiad.config.location import Mark, find_line, read_marks
from naiad.config.problems import ConfigError, Problem
from naiad.config.proto import ModelConfig, model_config_pb2

_Tensor = model_config_pb2.ModelInput | model_config_pb2.ModelOutput
_Format = model_config_pb2.ModelInput.Format
_Group = model_config_pb2.ModelInstanceGroup

_VARIABLE = -1


class _Report:
    """Collects problems of one file."""

    def __init__(self, config: ModelConfig, directory_name: str, source: str, marks: Sequence[Mark]) -> None:
        self.model = config.name or directory_name
        self.problems: list[Problem] = []
        self._source = source
        self._marks = marks

    def add(self, field: str, message: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        """Note a problem; `message` is Triton's sentence, whose end ("for MODEL") the caller writes."""
        line = find_line(self._marks, field)
        self.problems.append(Problem(self._source, line, field, message, expected, got, fix))


def validate(config: ModelConfig, directory_name: str, source: str, text: str = "", gpus: Sequence[int] = ()) -> None:
    """Refuse a config that cannot be served.

    It may be called before or after completion; before, what is left out is not missed.

    Args:
        config: what `parse` or the completion returned.
        directory_name: the model's directory, which its name must equal.
        source: the config's file name, for errors.
        text: the file's content, from which lines are told; empty where there is none.
        gpus: ids of the GPUs that may be used.

    Raises:
        ConfigError: with every problem found.
    """
    report = _Report(config, directory_name, source, read_marks(text))
    _check_name(config, directory_name, report)
    if config.max_batch_size < 0:
        report.add(
            "max_batch_size",
            f"'max_batch_size' must be non-negative value for {report.model}",
            expected="0 for a model without batch dimension, or the most rows in a batch",
            got=str(config.max_batch_size),
        )
    _check_filename(config, report)
    _check_version_policy(config, report)
    for kind, tensors in _tensors(config):
        for index, tensor in enumerate(tensors):
            _check_tensor(kind, f"{kind}[{index}]", tensor, config.max_batch_size, report)
        _check_distinct(kind, [tensor.name for tensor in tensors], report)
    for index, declared in enumerate(config.input):
        _check_format(f"input[{index}]", declared, report)
    if config.HasField("dynamic_batching"):
        _check_dynamic_batching(config, report)
    for index, group in enumerate(config.instance_group):
        _check_instance_group(index, group, config, gpus, report)
    if report.problems:
        raise ConfigError(report.problems)


def _check_filename(config: ModelConfig, report: _Report) -> None:
    """Keep the model's file inside its version directory; a config may come from people the server does not trust."""
    path = PurePath(config.default_model_filename)
    if path.is_absolute() or ".." in path.parts:
        report.add(
            "default_model_filename",
            f"default_model_filename of model '{report.model}' leads out of the version directory",
            expected="the name of a file in the version directory",
            got=f"'{config.default_model_filename}'",
            fix="put the file into the version directory and write its name",
        )


def _check_name(config: ModelConfig, directory_name: str, report: _Report) -> None:
    if config.name and config.name != directory_name:
        report.add(
            "name",
            f"unexpected directory name '{directory_name}' for model '{config.name}', directory name must equal model "
            "name",
            expected=f"'{directory_name}'",
            got=f"'{config.name}'",
            fix=f"take 'name' away, or rename the directory to '{config.name}'",
        )


def _check_version_policy(config: ModelConfig, report: _Report) -> None:
    choice = config.version_policy.WhichOneof("policy_choice")
    if choice == "latest" and config.version_policy.latest.num_versions == 0:
        field, fix = "version_policy.latest.num_versions", "write num_versions: 1"
    elif choice == "specific" and not config.version_policy.specific.versions:
        field, fix = "version_policy.specific.versions", "write versions: [ 1 ], or take 'version_policy' away"
    else:
        return
    report.add(
        field,
        f"at least one version must be available under the version policy of model '{report.model}'",
        expected="a policy that names a version",
        got="none",
        fix=fix,
    )


def _tensors(config: ModelConfig) -> tuple[tuple[str, Sequence[_Tensor]], ...]:
    return (("input", config.input), ("output", config.output))


def _check_tensor(kind: str, path: str, tensor: _Tensor, max_batch_size: int, report: _Report) -> None:
    """Check what inputs and outputs have in common (ValidateIOShape)."""
    end = f"for {report.model}"
    if not tensor.name:
        report.add(path, f"model {kind} must specify 'name' {end}", fix='write name: "..." as the model file has it')
    told = f"model {kind} '{tensor.name}'"
    if tensor.data_type == model_config_pb2.TYPE_INVALID:
        report.add(path, f"{told} must specify 'data_type' {end}", fix="write data_type: TYPE_FP32, or what it is")
    elif tensor.data_type not in model_config_pb2.DataType.values():
        report.add(
            f"{path}.data_type",
            f"{told} has a 'data_type' that there is none of {end}",
            expected="a datatype's name",
            got=str(tensor.data_type),
            fix="write data_type: TYPE_FP32, or what it is",
        )
    if not tensor.dims:
        without = ", without the batch dimension" if max_batch_size > 0 else ""
        report.add(
            path, f"{told} must specify 'dims' {end}", fix=f"write dims: [ ... ]{without}, -1 for a size that varies"
        )
    for index, size in enumerate(tensor.dims):
        if not _is_size(size):
            report.add(
                f"{path}.dims[{index}]",
                f"{told} dimension must be integer >= 1, or -1 to indicate a variable-size dimension {end}",
                got=str(size),
                fix=f"write dims: {[size if _is_size(size) else _VARIABLE for size in tensor.dims]}",
            )
    if tensor.is_shape_tensor:
        report.add(
            f"{path}.is_shape_tensor",
            f"shape tensors are only supported for TensorRT platform {end}",
            fix="take 'is_shape_tensor' away",
        )
    if tensor.HasField("reshape") and tensor.dims and all(map(_is_size, tensor.dims)):
        _check_reshape(f"{path}.reshape", told, tensor, max_batch_size, report)


def _check_reshape(path: str, told: str, tensor: _Tensor, max_batch_size: int, report: _Report) -> None:
    dims, shape = list(tensor.dims), list(tensor.reshape.shape)
    end = f"for {report.model}"
    if not shape and max_batch_size == 0:
        report.add(
            path,
            f"{told} cannot have empty reshape for non-batching model as scalar tensors are not supported {end}",
            fix="write reshape { shape: [ 1 ] }, or take 'reshape' away",
        )
    elif not all(map(_is_size, shape)):
        report.add(
            f"{path}.shape",
            f"{told} reshape dimensions must be integer >= 1, or -1 to indicate a variable-size dimension {end}",
            got=str(shape),
        )
    elif dims.count(_VARIABLE) != shape.count(_VARIABLE) and dims.count(_VARIABLE) * shape.count(_VARIABLE):
        report.add(
            f"{path}.shape",
            f"{told} has different number of variable-size dimensions for dims and reshape {end}",
            expected=f"{dims.count(_VARIABLE)} of -1 as in dims {dims}",
            got=str(shape),
        )
    elif _fixed_sizes(dims) != _fixed_sizes(shape):
        report.add(
            f"{path}.shape",
            f"{told} has different size for dims and reshape {end}",
            expected=f"as many elements as dims {dims} has, between its -1 too",
            got=str(shape),
        )


def _is_size(size: int) -> bool:
    return size >= 1 or size == _VARIABLE


def _fixed_sizes(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the element counts before, between and after the variable dimensions: [2, 4, -1, 6] gives (8, 6)."""
    counts = [1]
    for size in shape:
        if size == _VARIABLE:
            counts.append(1)
        else:
            counts[-1] *= size
    return tuple(counts)


def _check_distinct(kind: str, names: Sequence[str], report: _Report) -> None:
    """Refuse a name that is listed twice. Triton's core doesn't ask, its ONNX Runtime backend fails on it later."""
    for index, name in enumerate(names):
        if name and name in names[:index]:
            report.add(
                f"{kind}[{index}].name",
                f"model {kind} '{name}' is listed twice for {report.model}",
                got=f"it also as {kind}[{names.index(name)}]",
                fix="keep one of them",
            )


def _check_format(path: str, declared: model_config_pb2.ModelInput, report: _Report) -> None:
    if declared.format != model_config_pb2.ModelInput.FORMAT_NONE and len(declared.dims) != 3:
        report.add(
            f"{path}.format",
            f"model input NHWC/NCHW require 3 dims for {report.model}",
            expected="channels, height and width, without the batch dimension",
            got=str(list(declared.dims)),
            fix=f"write 3 dims, or take 'format: {_Format.Name(declared.format)}' away",
        )


def _check_dynamic_batching(config: ModelConfig, report: _Report) -> None:
    _check_preferred_sizes(config, report)
    _check_priorities(config.dynamic_batching, report)
    if config.dynamic_batching.preserve_ordering:
        _check_preserved_order(config.dynamic_batching, report)


def _check_preferred_sizes(config: ModelConfig, report: _Report) -> None:
    limit = config.max_batch_size
    for index, size in enumerate(config.dynamic_batching.preferred_batch_size):
        field = f"dynamic_batching.preferred_batch_size[{index}]"
        if size <= 0:
            report.add(
                field,
                f"dynamic batching preferred size must be positive for {report.model}",
                expected=f"1 to {limit}",
                got=str(size),
            )
        elif size > limit:
            report.add(
                field,
                f"dynamic batching preferred size must be <= max batch size for {report.model}",
                expected=f"at most {limit}",
                got=str(size),
                fix=f"write max_batch_size: {size}, or a smaller preferred size",
            )


def _check_priorities(batching: model_config_pb2.ModelDynamicBatching, report: _Report) -> None:
    levels = batching.priority_levels
    if levels == 0:
        return
    if not 1 <= batching.default_priority_level <= levels:
        report.add(
            "dynamic_batching.default_priority_level",
            f"default priority level must be in range [1, {levels}] for {report.model}",
            got=str(batching.default_priority_level),
            fix="write default_priority_level: 1, or the level of a request that names none",
        )
    for level in sorted(batching.priority_queue_policy):
        if not 1 <= level <= levels:
            report.add(
                "dynamic_batching.priority_queue_policy",
                f"priority queue policy must have priority level in range [1, {levels}] for {report.model}",
                got=str(level),
            )


def _check_preserved_order(batching: model_config_pb2.ModelDynamicBatching, report: _Report) -> None:
    if batching.priority_levels > 1:
        report.add(
            "dynamic_batching.preserve_ordering",
            f"Only one priority level is allowed when 'preserve_ordering' is true for {report.model}",
            got=f"{batching.priority_levels} levels",
            fix="take 'preserve_ordering' or 'priority_levels' away",
        )
    policies = [("dynamic_batching.default_queue_policy", batching.default_queue_policy)]
    policies += [("dynamic_batching.priority_queue_policy", p) for p in batching.priority_queue_policy.values()]
    for field, policy in policies:
        if policy.default_timeout_microseconds and policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY:
            report.add(
                field,
                "Queue policy can not have DELAY as timeout action when 'preserve_ordering' is true for "
                f"{report.model}",
                fix="write timeout_action: REJECT, or take 'preserve_ordering' away",
            )


def _check_instance_group(
    index: int, group: model_config_pb2.ModelInstanceGroup, config: ModelConfig, gpus: Sequence[int], report: _Report
) -> None:
    path = f"instance_group[{index}]"
    told = f"instance group {group.name or f'{report.model}_{index}'} of model {report.model}"
    unknown = [gpu for gpu in group.gpus if gpu not in gpus]
    kind = group.kind
    if kind == _Group.KIND_AUTO and group.gpus:
        kind = _Group.KIND_CPU if unknown else _Group.KIND_GPU
    if kind in (_Group.KIND_CPU, _Group.KIND_MODEL) and group.gpus:
        report.add(
            f"{path}.gpus",
            f"{told} has kind {_Group.Kind.Name(kind)} but specifies one or more GPUs",
            expected=f"GPUs {list(gpus)}" if gpus else "no GPU, this machine has none that can be used",
            got=str(list(group.gpus)),
            fix="take 'gpus' away",
        )
    elif kind == _Group.KIND_GPU and not group.gpus and not gpus:
        report.add(
            f"{path}.kind",
            f"{told} has kind KIND_GPU but no GPUs are available",
            fix="write kind: KIND_AUTO to use a GPU where there is one; a GPU needs a runtime that can use it, such as "
            "onnxruntime-gpu instead of onnxruntime",
        )
    elif kind == _Group.KIND_GPU and unknown:
        report.add(
            f"{path}.gpus",
            f"{told} specifies invalid or unsupported gpu id {unknown[0]}",
            expected=f"ids of GPUs that can be used: {', '.join(map(str, gpus)) or 'there are none'}",
            got=str(list(group.gpus)),
        )
    if group.profile and config.platform != "tensorrt_plan":
        platform = f"platform {config.platform} " if config.platform else "platform "
        report.add(
            f"{path}.profile",
            f"{told} and {platform}specifies profile field which is only supported for TensorRT models",
            fix="take 'profile' away",
        )
