# SPDX-License-Identifier: Apache-2.0
"""Which execution providers a config asks for, without any of them being there."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from naiad.backends.base import Placement
from naiad.backends.onnxruntime.providers import (
    CPU,
    CUDA,
    OPENVINO,
    TENSORRT,
    Provider,
    ProviderChoice,
    choose_providers,
)
from naiad.config.proto import ModelConfig
from naiad.errors import InvalidArgumentError, UnavailableError

GPU_WHEEL = (TENSORRT, CUDA, CPU)
GPU_1 = Placement("m_0", "GPU", 1)
VERSION = Path("/repository/m/1")


def accelerated(device: str, text: str) -> str:
    return f"optimization {{ execution_accelerators {{ {device}_execution_accelerator {{ {text} }} }} }}"


def parameters(**values: str) -> str:
    return " ".join(f'parameters {{ key: "{key}" value: "{value}" }}' for key, value in values.items())


def chosen(
    text: str = "",
    placement: Placement = GPU_1,
    available: tuple[str, ...] = GPU_WHEEL,
    model_parameters: dict[str, str] | None = None,
) -> ProviderChoice:
    config = text_format.Parse(text, ModelConfig(name="m"))
    for key, value in (model_parameters or {}).items():
        config.parameters[key].string_value = value
    return choose_providers(config, placement, available, VERSION)


def options(choice: ProviderChoice, name: str) -> dict[str, str]:
    return next(dict(provider.options) for provider in choice.providers if provider.name == name)


def test_a_cpu_instance_has_the_cpu_provider() -> None:
    assert chosen(placement=Placement("m_0")) == ProviderChoice((Provider(CPU, {}),))


def test_a_gpu_instance_has_cuda_on_its_device_and_cpu_for_the_rest() -> None:
    assert chosen() == ProviderChoice((Provider(CUDA, {"device_id": "1"}), Provider(CPU, {})))


def test_a_gpu_instance_without_cuda_says_how_to_get_it() -> None:
    with pytest.raises(UnavailableError) as caught:
        chosen(available=(CPU,))
    assert str(caught.value) == (
        "instance 'm_0' of model 'm' is of kind KIND_GPU, but the installed onnxruntime has no CUDAExecutionProvider, "
        "got CPUExecutionProvider; run: pip uninstall onnxruntime && pip install onnxruntime-gpu, or write "
        "instance_group [ { kind: KIND_CPU } ]"
    )


@pytest.mark.parametrize("name", ["tensorrt", "cuda", "anything"])
def test_a_cpu_instance_ignores_gpu_accelerators_with_tritons_warning(name: str) -> None:
    choice = chosen(accelerated("gpu", f'name: "{name}"'), Placement("m_0"))
    assert choice.providers == (Provider(CPU, {}),)
    assert choice.warnings == ("GPU Execution Accelerator will be ignored for model instance on CPU",)


def test_cuda_parameters_become_options_in_onnx_runtimes_words() -> None:
    given = {
        "cudnn_conv_algo_search": "1",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "1",
        "do_copy_in_default_stream": "0",
    }
    choice = chosen(model_parameters=given)
    assert options(choice, CUDA) == {
        "device_id": "1",
        "cudnn_conv_algo_search": "HEURISTIC",
        "gpu_mem_limit": "1073741824",
        "arena_extend_strategy": "kSameAsRequested",
        "do_copy_in_default_stream": "0",
    }


def test_the_cuda_accelerator_sets_options_over_the_models_parameters() -> None:
    text = accelerated("gpu", f'name: "cuda" {parameters(cudnn_conv_algo_search="DEFAULT", use_tf32="0")}')
    assert options(chosen(text, model_parameters={"cudnn_conv_algo_search": "0"}), CUDA) == {
        "device_id": "1",
        "cudnn_conv_algo_search": "DEFAULT",
        "use_tf32": "0",
    }


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("cudnn_conv_algo_search", "3", "expected one of: 0 (EXHAUSTIVE), 1 (HEURISTIC), 2 (DEFAULT)"),
        ("gpu_mem_limit", "-1", "expected a whole number, 0 or more"),
        ("gpu_mem_limit", "2GB", "expected a whole number, 0 or more"),
        ("arena_extend_strategy", "x", "expected one of: 0 (kNextPowerOfTwo), 1 (kSameAsRequested)"),
        ("do_copy_in_default_stream", "yes", "expected one of: 0, 1"),
    ],
)
def test_a_wrong_cuda_parameter_names_key_value_and_what_is_expected(key: str, value: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        chosen(model_parameters={key: value})
    assert str(caught.value) == f"parameter '{key}' is '{value}', {expected}"


def test_tensorrt_goes_before_cuda_with_its_options_translated(tmp_path: Path) -> None:
    text = parameters(
        precision_mode="FP16",
        max_workspace_size_bytes="1073741824",
        trt_engine_cache_enable="true",
        trt_engine_cache_path=str(tmp_path),
        trt_max_partition_iterations="4",
        int8_use_native_calibration_table="false",
    )
    choice = chosen(accelerated("gpu", f'name: "tensorrt" {text}'))
    assert [provider.name for provider in choice.providers] == [TENSORRT, CUDA, CPU]
    assert options(choice, TENSORRT) == {
        "device_id": "1",
        "trt_fp16_enable": "1",
        "trt_max_workspace_size": "1073741824",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(tmp_path),
        "trt_max_partition_iterations": "4",
        "trt_int8_use_native_calibration_table": "0",
    }
    assert choice.warnings == ()


@pytest.mark.parametrize(("mode", "option"), [("FP32", {}), ("INT8", {"trt_int8_enable": "1"})])
def test_precision_modes(mode: str, option: dict[str, str]) -> None:
    choice = chosen(accelerated("gpu", f'name: "tensorrt" {parameters(precision_mode=mode)}'))
    assert options(choice, TENSORRT) == {"device_id": "1"} | option


def test_an_engine_cache_from_a_container_moves_to_the_version_directory() -> None:
    text = accelerated("gpu", f'name: "tensorrt" {parameters(trt_engine_cache_path="/models/m/1/cache")}')
    choice = chosen(text)
    assert options(choice, TENSORRT)["trt_engine_cache_path"] == str(VERSION)
    assert choice.warnings == (
        (
            "trt_engine_cache_path '/models/m/1/cache' is not a directory here; TensorRT keeps its engines in the "
            "model's version directory instead"
        ),
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('name: "tensorrt" ' + parameters(workspace="1"), "unknown parameter 'workspace' is provided for TensorRT "),
        ('name: "tensorrt" ' + parameters(precision_mode="FP8"), "unsupported precision mode 'FP8' is requested, "),
        ('name: "openvino"', "unknown Execution Accelerator 'openvino' is requested, expected: tensorrt or cuda"),
    ],
)
def test_what_a_gpu_accelerator_has_not_is_refused_in_tritons_words(text: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        chosen(accelerated("gpu", text))
    assert str(caught.value).startswith(expected)


def test_without_tensorrt_the_model_runs_on_cuda_with_a_warning() -> None:
    choice = chosen(accelerated("gpu", 'name: "tensorrt"'), available=(CUDA, CPU))
    assert [provider.name for provider in choice.providers] == [CUDA, CPU]
    assert choice.warnings[0].startswith("TensorRT Execution Accelerator is not in the installed onnxruntime")


def test_openvino_goes_before_the_cpu_provider() -> None:
    text = accelerated("cpu", f'name: "openvino" {parameters(num_of_threads="2")}')
    choice = chosen(text, Placement("m_0"), (OPENVINO, CPU))
    assert choice.providers == (
        Provider(OPENVINO, {"device_type": "CPU", "num_of_threads": "2"}),
        Provider(CPU, {}),
    )


def test_without_openvino_the_model_runs_on_cpu_with_a_warning_that_says_what_to_install() -> None:
    choice = chosen(accelerated("cpu", 'name: "openvino"'), Placement("m_0"), (CPU,))
    assert choice.providers == (Provider(CPU, {}),)
    assert choice.warnings[0].endswith("run: pip uninstall onnxruntime && pip install onnxruntime-openvino")


def test_an_unknown_cpu_accelerator_is_refused_in_tritons_words() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^unknown Execution Accelerator 'onednn' is requested"):
        chosen(accelerated("cpu", 'name: "onednn"'), Placement("m_0"))
