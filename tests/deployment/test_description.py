# SPDX-License-Identifier: Apache-2.0
import ast

import pytest

from naiad.config import pbtxt
from naiad.config.proto import ModelConfig
from naiad.deployment.description import (
    add_tensorrt,
    check_max_batch_size,
    first_config,
    next_config,
    task,
)
from naiad.errors import InvalidArgumentError

COMPLETED = pbtxt.parse(
    """
    name: "aside" backend: "onnxruntime" max_batch_size: 4 default_model_filename: "model.onnx"
    input { name: "images" data_type: TYPE_FP32 dims: [3, -1, -1] }
    output { name: "output0" data_type: TYPE_FP32 dims: [84, -1] }
    dynamic_batching { preferred_batch_size: 4 }
    instance_group { count: 2 kind: KIND_CPU }
    """,
    "completed",
)
FIXED = pbtxt.parse(
    """
    input { name: "images" data_type: TYPE_FP32 dims: [1, 3, 640, 640] }
    output { name: "output0" data_type: TYPE_FP32 dims: [1, 84, 8400] }
    """,
    "fixed",
)
NASTY_NAMES = {0: "it's", 1: 'a "b"', 2: "back\\slash", 3: "two\nlines", 4: "größer 日本", 5: "{tag}", 6: "#no comment"}


def artifact_metadata(**changes: object) -> dict[str, str]:
    values: dict[str, object] = {"task": "detect", "stride": 32, "names": {0: "bus"}, "date": "2026-01-01"}
    return {key: str(value) for key, value in (values | changes).items()}


def served_metadata(config: ModelConfig) -> dict[str, object]:
    values: dict[str, object] = ast.literal_eval(config.parameters["metadata"].string_value)
    return values


def test_the_first_config_says_what_the_artifact_is_and_nothing_more() -> None:
    assert first_config("yolo", COMPLETED, {}) == pbtxt.parse(
        """
        name: "yolo" backend: "onnxruntime" max_batch_size: 4
        input { name: "images" data_type: TYPE_FP32 dims: [3, -1, -1] }
        output { name: "output0" data_type: TYPE_FP32 dims: [84, -1] }
        dynamic_batching { }
        """,
        "expected",
    )


def test_a_model_of_fixed_shape_is_not_batched() -> None:
    config = first_config("yolo", FIXED, {})
    assert config.max_batch_size == 0
    assert not config.HasField("dynamic_batching")
    assert list(config.input[0].dims) == [1, 3, 640, 640]


def test_class_names_survive_the_way_to_the_client_whatever_is_in_them() -> None:
    config = first_config("yolo", COMPLETED, artifact_metadata(names=NASTY_NAMES))
    read_back = pbtxt.parse(pbtxt.dump(config), "config.pbtxt")
    assert served_metadata(read_back)["names"] == NASTY_NAMES
    assert served_metadata(read_back)["stride"] == 32


def test_metadata_that_is_not_ultralytics_is_left_out() -> None:
    assert not first_config("m", COMPLETED, {"producer": "somebody"}).parameters


def test_deploying_again_keeps_what_the_user_wrote() -> None:
    first = first_config("yolo", COMPLETED, artifact_metadata())
    edited = ModelConfig()
    edited.CopyFrom(first)
    edited.max_batch_size = 16
    edited.dynamic_batching.max_queue_delay_microseconds = 100
    edited.instance_group.add(count=3)
    edited.output[0].label_filename = "labels.txt"
    edited.parameters["intra_op_thread_count"].string_value = "1"
    assert next_config(edited, first_config("yolo", COMPLETED, artifact_metadata(date="2026-02-02"))) == edited


def test_deploying_again_follows_the_artifact_in_what_describes_it() -> None:
    first = first_config("yolo", COMPLETED, artifact_metadata())
    first.input[0].reshape.shape[:] = [3, 1, 1]
    changed = ModelConfig()
    changed.CopyFrom(COMPLETED)
    changed.input[0].dims[:] = [3, 320, 320]
    changed.output.add(name="output1", data_type="TYPE_FP32", dims=[32, 80, 80])
    config = next_config(first, first_config("yolo", changed, artifact_metadata(names={0: "cat"})))
    assert list(config.input[0].dims) == [3, 320, 320]
    assert not config.input[0].HasField("reshape")
    assert [output.name for output in config.output] == ["output0", "output1"]
    assert served_metadata(config)["names"] == {0: "cat"}


def test_deploying_a_fixed_model_over_a_batching_one_ends_batching_and_back() -> None:
    batching, fixed = first_config("yolo", COMPLETED, {}), first_config("yolo", FIXED, {})
    assert next_config(batching, fixed) == fixed
    assert next_config(fixed, batching) == batching


def test_metadata_of_the_user_stays_where_the_artifact_has_none() -> None:
    first = first_config("yolo", COMPLETED, {})
    first.parameters["metadata"].string_value = "{'names': {0: 'mine'}}"
    assert next_config(first, first_config("yolo", COMPLETED, {})) == first


def test_looking_for_metadata_adds_none() -> None:
    config = next_config(first_config("m", COMPLETED, {}), first_config("m", COMPLETED, {}))
    assert task(config) == ""
    assert not config.parameters


@pytest.mark.parametrize("text", ["", "not a literal {", "[1]", "{'names': {}}"])
def test_metadata_without_a_task_name_none(text: str) -> None:
    config = ModelConfig()
    config.parameters["metadata"].string_value = text
    assert task(config) == ""


def test_the_task_is_that_of_the_metadata() -> None:
    assert task(first_config("m", COMPLETED, artifact_metadata(task="pose"))) == "pose"


def test_tensorrt_is_asked_for_as_in_ultralytics_guide_and_only_once() -> None:
    config = first_config("yolo", COMPLETED, {})
    config.optimization.execution_accelerators.gpu_execution_accelerator.add(name="cuda")
    add_tensorrt(config, "/models/yolo/1")
    add_tensorrt(config, "/models/yolo/1")
    cuda, tensorrt = config.optimization.execution_accelerators.gpu_execution_accelerator
    assert (cuda.name, tensorrt.name) == ("cuda", "tensorrt")
    assert dict(tensorrt.parameters) == {
        "precision_mode": "FP16",
        "max_workspace_size_bytes": "3221225472",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": "/models/yolo/1",
    }


def test_a_batch_size_for_a_model_of_fixed_shape_is_refused_with_its_shapes() -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"fixed shapes \(images \[1, 3, 640, 640\]\); export with --dynamic"
    ):
        check_max_batch_size(first_config("yolo", FIXED, {}), 8)
    check_max_batch_size(first_config("yolo", FIXED, {}), None)
