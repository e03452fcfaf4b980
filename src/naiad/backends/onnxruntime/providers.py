# SPDX-License-Identifier: Apache-2.0
"""A config's placement and accelerators as ONNX Runtime's execution providers with their options.

Pure functions: nothing here needs a GPU. Names and values are those of Triton's onnxruntime_backend; the options they
become are ONNX Runtime's. May import `base`, `config`, `errors`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from naiad.backends.base import Placement
from naiad.backends.onnxruntime.parameters import choice, string_parameters, whole_number
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.errors import InvalidArgumentError, UnavailableError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"
OPENVINO = "OpenVINOExecutionProvider"

_SWITCH = {"0": "0", "1": "1"}

_CUDA_OPTIONS: Mapping[str, Callable[[str, str], str]] = {
    "cudnn_conv_algo_search": lambda key, value: choice(
        key, value, {"0": "EXHAUSTIVE", "1": "HEURISTIC", "2": "DEFAULT"}
    ),
    "gpu_mem_limit": lambda key, value: str(whole_number(key, value)),
    "arena_extend_strategy": lambda key, value: choice(key, value, {"0": "kNextPowerOfTwo", "1": "kSameAsRequested"}),
    "do_copy_in_default_stream": lambda key, value: choice(key, value, _SWITCH),
}
"""Parameter of Triton → its value as the CUDA provider's option of the same name."""

_TENSORRT_RENAMED: Mapping[str, str] = {
    "max_workspace_size_bytes": "trt_max_workspace_size",
    "int8_calibration_table_name": "trt_int8_calibration_table_name",
    "int8_use_native_calibration_table": "trt_int8_use_native_calibration_table",
}

_PRECISIONS: Mapping[str, Mapping[str, str]] = {
    "FP32": {},
    "FP16": {"trt_fp16_enable": "1"},
    "INT8": {"trt_int8_enable": "1"},
}


class Provider(NamedTuple):
    """An execution provider and its options."""

    name: str
    options: Mapping[str, str]


class ProviderChoice(NamedTuple):
    """The providers in order of preference, and what to warn about."""

    providers: tuple[Provider, ...]
    warnings: tuple[str, ...] = ()


def choose_providers(
    config: ModelConfig, placement: Placement, available: Collection[str], version_directory: Path
) -> ProviderChoice:
    """Return the providers for an instance of `config` placed at `placement`.

    `available` are those of the installed runtime; TensorRT keeps its engines in `version_directory` if it is told
    to keep them in a place that is not there.

    Raises:
        InvalidArgumentError: an accelerator or a parameter that there is none of.
        UnavailableError: a GPU instance, but the installed runtime knows no GPU.
    """
    if placement.kind == "GPU":
        return _gpu_providers(config, placement, available, version_directory)
    return _cpu_providers(config, available)


def _cpu_providers(config: ModelConfig, available: Collection[str]) -> ProviderChoice:
    accelerators = config.optimization.execution_accelerators
    cpu = Provider(CPU, {})
    warnings = []
    chosen = []
    if accelerators.gpu_execution_accelerator:
        warnings.append("GPU Execution Accelerator will be ignored for model instance on CPU")
    for accelerator in accelerators.cpu_execution_accelerator:
        if accelerator.name != "openvino":
            raise _unknown_accelerator(accelerator.name, ("openvino",))
        if OPENVINO in available:
            chosen.append(Provider(OPENVINO, {"device_type": "CPU"} | dict(accelerator.parameters)))
        else:
            warnings.append(_not_installed("OpenVINO", "CPU", "onnxruntime-openvino"))
    return ProviderChoice((*chosen, cpu), tuple(warnings))


def _gpu_providers(
    config: ModelConfig, placement: Placement, available: Collection[str], version_directory: Path
) -> ProviderChoice:
    if CUDA not in available:
        raise UnavailableError(
            f"instance '{placement.name}' of model '{config.name}' is of kind KIND_GPU, but the installed onnxruntime "
            f"has no {CUDA}, got {', '.join(available)}; run: pip uninstall onnxruntime && pip install "
            "onnxruntime-gpu, or write instance_group [ { kind: KIND_CPU } ]"
        )
    device = {"device_id": str(placement.device_id)}
    cuda = device | dict(_cuda_options(string_parameters(config)))
    warnings = []
    chosen = []
    for accelerator in config.optimization.execution_accelerators.gpu_execution_accelerator:
        if accelerator.name == "cuda":
            cuda |= _all_cuda_options(accelerator.parameters)
        elif accelerator.name != "tensorrt":
            raise _unknown_accelerator(accelerator.name, ("tensorrt", "cuda"))
        elif TENSORRT not in available:
            warnings.append(_not_installed("TensorRT", "CUDA", "onnxruntime-gpu tensorrt"))
        else:
            options, remarks = _tensorrt_options(accelerator, version_directory)
            chosen.append(Provider(TENSORRT, device | options))
            warnings += remarks
    return ProviderChoice((*chosen, Provider(CUDA, cuda), Provider(CPU, {})), tuple(warnings))


def _cuda_options(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for key, read in _CUDA_OPTIONS.items():
        if key in parameters:
            yield key, read(key, parameters[key])


def _all_cuda_options(parameters: Mapping[str, str]) -> dict[str, str]:
    """Return an accelerator's parameters; those Triton does not name are the provider's own and go as they are."""
    return dict(parameters) | dict(_cuda_options(parameters))


def _tensorrt_options(
    accelerator: "model_config_pb2.ModelOptimizationPolicy.ExecutionAccelerators.Accelerator", version_directory: Path
) -> tuple[dict[str, str], Sequence[str]]:
    options: dict[str, str] = {}
    for key, value in accelerator.parameters.items():
        if key == "precision_mode":
            options |= _precision(value)
        elif key in _TENSORRT_RENAMED:
            options[_TENSORRT_RENAMED[key]] = _switch(value)
        elif key.startswith("trt_"):
            options[key] = _switch(value)
        else:
            raise InvalidArgumentError(
                f"unknown parameter '{key}' is provided for TensorRT Execution Accelerator, expected precision_mode, "
                f"{', '.join(_TENSORRT_RENAMED)} or a trt_ option of ONNX Runtime; mend or remove it"
            )
    cache = options.get("trt_engine_cache_path")
    if cache is None or Path(cache).is_dir():
        return options, ()
    # Repositories written for a container name its mount point, such as /models/yolo/1.
    options["trt_engine_cache_path"] = str(version_directory)
    warning = (
        f"trt_engine_cache_path '{cache}' is not a directory here; TensorRT keeps its engines in the model's version "
        "directory instead"
    )
    return options, (warning,)


def _precision(value: str) -> Mapping[str, str]:
    if value not in _PRECISIONS:
        raise InvalidArgumentError(
            f"unsupported precision mode '{value}' is requested, expected one of: {', '.join(_PRECISIONS)}"
        )
    return _PRECISIONS[value]


def _switch(value: str) -> str:
    """Return a boolean as ONNX Runtime reads it ("true" is an error there); other values as they are."""
    return {"true": "1", "false": "0"}.get(value.lower(), value)


def _unknown_accelerator(name: str, known: Sequence[str]) -> InvalidArgumentError:
    return InvalidArgumentError(f"unknown Execution Accelerator '{name}' is requested, expected: {' or '.join(known)}")


def _not_installed(accelerator: str, instead: str, packages: str) -> str:
    return (
        f"{accelerator} Execution Accelerator is not in the installed onnxruntime, the model runs on {instead} without "
        f"it; run: pip uninstall onnxruntime && pip install {packages}"
    )
