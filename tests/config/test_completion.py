# SPDX-License-Identifier: Apache-2.0
"""A config is completed to what Triton's `/config` shows, and the one given is left alone."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format

from naiad.config.completion import complete_defaults, complete_from_signature, infer_backend
from naiad.config.pbtxt import parse
from naiad.config.proto import ModelConfig
from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.errors import InvalidArgumentError

_RECORDED = [json.loads(line) for line in Path(__file__).with_name("triton_completed.jsonl").read_text().splitlines()]

_YOLO = ArtifactSignature(
    (ArtifactTensor("images", "FP32", (-1, 3, -1, -1)),), (ArtifactTensor("output0", "FP32", (-1, 84, -1)),)
)
_FIXED = ArtifactSignature(
    (ArtifactTensor("images", "FP32", (1, 3, 640, 640)),), (ArtifactTensor("output0", "FP32", (1, 84, 8400)),)
)


def _config(text: str) -> ModelConfig:
    return parse(text, "config.pbtxt")


@pytest.mark.parametrize("case", _RECORDED, ids=lambda case: case["name"])
def test_completed_config_is_what_triton_2_51_answered(case: dict[str, Any]) -> None:
    """The file holds configs of Python models and what a real server showed at /config for each."""
    completed = complete_defaults(infer_backend(_config(case["config"]), ["model.py"], case["name"]), case["name"])
    assert completed == json_format.ParseDict(case["completed"], ModelConfig())


def test_bare_yolo_with_dynamic_axes_is_completed_as_the_real_server_does() -> None:
    config = infer_backend(ModelConfig(), ["model.onnx"], "yolo")
    config = complete_defaults(complete_from_signature(config, _YOLO, 4, "yolo"), "yolo")
    assert config == _config("""
        name: "yolo"
        platform: "onnxruntime_onnx"
        backend: "onnxruntime"
        version_policy { latest { num_versions: 1 } }
        max_batch_size: 4
        input { name: "images" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] }
        output { name: "output0" data_type: TYPE_FP32 dims: [ 84, -1 ] }
        optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: true } }
        dynamic_batching { preferred_batch_size: [ 4 ] }
        instance_group { name: "yolo" kind: KIND_CPU count: 2 }
        default_model_filename: "model.onnx"
    """)


def test_no_step_changes_the_config_it_is_given() -> None:
    config = _config('max_batch_size: 2 instance_group { } dynamic_batching { } backend: "onnxruntime"')
    before = config.SerializeToString(deterministic=True)
    infer_backend(config, ["model.onnx"], "m")
    complete_from_signature(config, _YOLO, 4, "m")
    complete_defaults(config, "m", gpus=[0])
    assert config.SerializeToString(deterministic=True) == before


@pytest.mark.parametrize(
    ("text", "filenames", "backend", "platform", "filename"),
    [
        ("", ["model.onnx"], "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ("", ["model.plan", "model.onnx"], "tensorrt", "tensorrt_plan", "model.plan"),
        ("", ["model.pt"], "pytorch", "pytorch_libtorch", "model.pt"),
        ("", ["model.pt2"], "pytorch", "torch_aoti", "model.pt2"),
        ("", ["model.py", "labels.txt"], "python", "", "model.py"),
        ("", ["model.xml", "model.bin"], "openvino", "", "model.xml"),
        ("", ["model.savedmodel"], "tensorflow", "tensorflow_savedmodel", "model.savedmodel"),
        ('platform: "onnxruntime_onnx"', [], "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ('platform: "pytorch_libtorch"', ["model.onnx"], "pytorch", "pytorch_libtorch", "model.pt"),
        ('backend: "onnxruntime"', ["best.onnx"], "onnxruntime", "onnxruntime_onnx", "model.onnx"),
        ('backend: "pytorch"', ["model.pt2"], "pytorch", "torch_aoti", "model.pt2"),
        ('backend: "pytorch"', [], "pytorch", "pytorch_libtorch", "model.pt"),
        ('default_model_filename: "model.py"', ["model.onnx"], "python", "", "model.py"),
        ('backend: "onnxruntime" default_model_filename: "a.onnx"', [], "onnxruntime", "onnxruntime_onnx", "a.onnx"),
        ('backend: "python" platform: "onnxruntime_onnx"', [], "python", "onnxruntime_onnx", "model.py"),
        ('backend: "identity"', ["model.onnx"], "identity", "", ""),
        ('platform: "ensemble"', ["model.onnx"], "", "ensemble", ""),
    ],
)
def test_backend_follows_from_platform_else_file_name_else_files(
    text: str, filenames: list[str], backend: str, platform: str, filename: str
) -> None:
    config = infer_backend(_config(text), filenames, "m")
    assert config == ModelConfig(name="m", backend=backend, platform=platform, default_model_filename=filename)


def test_backend_follows_from_a_model_name_with_a_dot_where_nothing_else_tells() -> None:
    expected = ModelConfig(name="my.identity", backend="identity", default_model_filename="model.identity")
    assert infer_backend(ModelConfig(), [], "my.identity") == expected


def test_name_of_the_config_stays() -> None:
    assert infer_backend(ModelConfig(name="a"), ["model.onnx"], "b").name == "a"


def test_backend_that_nothing_tells_is_an_error_that_lists_the_files() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        infer_backend(ModelConfig(), ["best.onnx", "a.txt"], "yolo")
    assert str(caught.value).startswith(
        "Invalid model name: Could not determine backend for model 'yolo' with no backend in model configuration. "
        "Expected model name of the form 'model.<backend_name>'. The version directory holds a.txt, best.onnx, "
    )


@pytest.mark.parametrize("text", ['platform: "frob"', 'default_model_filename: "best.onnx"'])
def test_platform_that_no_backend_has_is_an_error(text: str) -> None:
    config = _config(text)
    with pytest.raises(
        InvalidArgumentError, match=f"unexpected platform type '{config.platform}' for m: expected one "
    ):
        infer_backend(config, ["best.onnx"], "m")


def test_model_with_a_fixed_first_dimension_is_completed_without_batching() -> None:
    config = complete_from_signature(ModelConfig(), _FIXED, 4, "m")
    assert config == _config(
        'input { name: "images" data_type: TYPE_FP32 dims: [ 1, 3, 640, 640 ] } '
        'output { name: "output0" data_type: TYPE_FP32 dims: [ 1, 84, 8400 ] }'
    )


@pytest.mark.parametrize(
    "spoiler",
    [ArtifactTensor("size", "INT64", (2,)), ArtifactTensor("scalar", "INT64", ())],
    ids=["fixed", "scalar"],
)
def test_one_tensor_without_a_varying_first_dimension_rules_batching_out(spoiler: ArtifactTensor) -> None:
    signature = ArtifactSignature((*_YOLO.inputs, spoiler), _YOLO.outputs)
    assert not signature.can_batch
    config = complete_from_signature(ModelConfig(), signature, 4, "m")
    assert config.max_batch_size == 0
    assert list(config.input[0].dims) == [-1, 3, -1, -1]
    assert not config.HasField("dynamic_batching")


def test_batching_asked_of_a_model_that_cannot_is_tritons_autofill_error() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        complete_from_signature(ModelConfig(max_batch_size=8), _FIXED, 4, "m")
    assert str(caught.value) == (
        "autofill failed for model 'm': model does not support batching while non-zero max_batch_size is specified: "
        "expected a first dimension of -1 in every tensor, got shape [1, 3, 640, 640] for 'images'; set "
        "max_batch_size to 0, or export the model with a dynamic batch dimension"
    )


@pytest.mark.parametrize(
    ("text", "default", "max_batch_size", "batches_dynamically"),
    [
        ("", 4, 4, True),
        ("", 1, 1, False),
        ("", 0, 0, False),
        ("", -1, 0, False),
        ("max_batch_size: 8", 4, 8, False),
        ("dynamic_batching { max_queue_delay_microseconds: 5 }", 4, 4, True),
        ("sequence_batching { }", 4, 4, False),
    ],
)
def test_batching_is_turned_on_only_where_the_config_leaves_it_open(
    text: str, default: int, max_batch_size: int, *, batches_dynamically: bool
) -> None:
    config = complete_from_signature(_config(text), _YOLO, default, "m")
    assert config.max_batch_size == max_batch_size
    assert config.HasField("dynamic_batching") == batches_dynamically
    assert list(config.input[0].dims) == ([3, -1, -1] if max_batch_size else [-1, 3, -1, -1])


def test_config_that_lists_inputs_and_outputs_is_left_alone() -> None:
    config = _config('input { name: "images" } output { name: "output0" }')
    assert complete_from_signature(config, _YOLO, 4, "m") == config


def test_only_the_missing_list_is_written() -> None:
    config = complete_from_signature(_config('input { name: "mine" }'), _YOLO, 4, "m")
    assert [tensor.name for tensor in config.input] == ["mine"]
    assert [tensor.name for tensor in config.output] == ["output0"]
    assert list(config.output[0].dims) == [84, -1]


def test_tensor_without_dimensions_beside_the_batch_is_reshaped_to_a_scalar() -> None:
    signature = ArtifactSignature((ArtifactTensor("n", "BYTES", (-1,)),), (ArtifactTensor("o", "BF16", (-1, 2)),))
    config = complete_from_signature(ModelConfig(), signature, 1, "m")
    assert config == _config(
        'max_batch_size: 1 input { name: "n" data_type: TYPE_STRING dims: [ 1 ] reshape { } } '
        'output { name: "o" data_type: TYPE_BF16 dims: [ 2 ] }'
    )


@pytest.mark.parametrize(
    ("text", "gpus", "expected"),
    [
        ("", [], 'name: "m" kind: KIND_CPU count: 2'),
        ("", [0, 1], 'name: "m" kind: KIND_GPU count: 1 gpus: [ 0, 1 ]'),
        ("count: 3", [], 'name: "m_0" kind: KIND_CPU count: 3'),
        ("gpus: [ 1 ]", [0, 1], 'name: "m_0" kind: KIND_GPU count: 1 gpus: [ 1 ]'),
        ("gpus: [ 2 ]", [0, 1], 'name: "m_0" kind: KIND_CPU count: 2 gpus: [ 2 ]'),
        ("kind: KIND_CPU", [0], 'name: "m_0" kind: KIND_CPU count: 2'),
        ("kind: KIND_MODEL", [], 'name: "m_0" kind: KIND_MODEL count: 1'),
        ("kind: KIND_GPU", [0], 'name: "m_0" kind: KIND_GPU count: 1 gpus: [ 0 ]'),
    ],
)
def test_instance_group_gets_name_kind_count_and_gpus(text: str, gpus: list[int], expected: str) -> None:
    groups = f"instance_group {{ {text} }}" if text else ""
    completed = complete_defaults(_config(f'backend: "onnxruntime" {groups}'), "m", gpus)
    assert list(completed.instance_group) == list(_config(f"instance_group {{ {expected} }}").instance_group)


def test_ensemble_gets_neither_instance_group_nor_pinned_memory() -> None:
    completed = complete_defaults(_config('platform: "ensemble"'), "m")
    assert completed == _config('name: "m" platform: "ensemble" version_policy { latest { num_versions: 1 } }')
