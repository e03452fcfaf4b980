# SPDX-License-Identifier: Apache-2.0
"""Problems of config.pbtxt itself and of the machine: the text as it should read is accepted."""

import pytest
from tests.deployment.check.repositories import Repository

from naiad.deployment.check import Severity


@pytest.mark.parametrize(
    ("line", "corrected"),
    [
        ("  shape: [3, 640, 640]", "dims: [3, 640, 640]"),
        ("  data_type: TYPE_FLOAT32", "data_type: TYPE_FP32"),
        ('  data_type: "TYPE_FP32"', "data_type: TYPE_FP32"),
        ("  dims: [3, 640.0, 640]", "dims: [3, 640, 640]"),
        ("  name: images", 'name: "images"'),
        ("  name: [", ""),
    ],
)
def test_a_line_that_is_no_protobuf_text_is_put_right(repository: Repository, line: str, corrected: str) -> None:
    repository.onnx("m/1/model.onnx")
    path = repository.config("m", f"input {{\n{line}\n}}\n")
    finding = repository.only_finding("m")
    assert (finding.rule, finding.severity) == ("config-syntax", Severity.ERROR)
    assert (finding.problem.file, finding.problem.line) == (str(path), 2)
    assert finding.corrected == corrected


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ('name: "other"', "name"),
        ("max_batch_size: -3", "max_batch_size"),
        ("version_policy { latest { num_versions: 0 } }", "version_policy.latest.num_versions"),
        (
            "max_batch_size: 4 dynamic_batching { preferred_batch_size: [0, 2, 8] }",
            "dynamic_batching.preferred_batch_size[0]",
        ),
        ("instance_group { kind: KIND_GPU count: 1 }", "instance_group[0].kind"),
        ("instance_group { kind: KIND_GPU gpus: [7] }", "instance_group[0].gpus"),
        ("instance_group { kind: KIND_CPU gpus: [0] }", "instance_group[0].gpus"),
        ("instance_group { kind: KIND_CPU profile: 'a' }", "instance_group[0].profile"),
        ('max_batch_size: 4 input { name: "images" dims: [3, -1, -1] }', "input[0]"),
        ("max_batch_size: 4 input { data_type: TYPE_FP32 dims: [3, 0, -1] }", "input[0]"),
        ('max_batch_size: 4 output { name: "output0" data_type: TYPE_FP32 dims: [3, 0, 0] }', "output[0].dims[1]"),
    ],
)
def test_a_field_that_makes_no_sense_is_put_right(repository: Repository, text: str, field: str) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", text)
    model = repository.check("m")
    finding = model.findings[0]
    assert (finding.rule, finding.problem.line, finding.problem.field) == ("config-field", 1, field)
    assert model.served == ()
    batching = "" if field == "max_batch_size" else "max_batch_size: 4\n"
    repository.config("m", f"{batching}{finding.corrected}")
    assert repository.check("m").findings == ()


def test_a_gpu_that_is_not_there_may_be_one_elsewhere(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", "instance_group { count: 2 kind: KIND_GPU }")
    finding = repository.only_finding("m")
    assert finding.problem.message.endswith("has kind KIND_GPU but no GPUs are available")
    assert finding.corrected == "instance_group {\n  kind: KIND_AUTO\n  count: 2\n}"


def test_a_folder_of_a_container_is_only_noted(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config(
        "m",
        'optimization { execution_accelerators { gpu_execution_accelerator {\n  name: "tensorrt"\n'
        '  parameters { key: "precision_mode" value: "FP16" }\n'
        '  parameters { key: "trt_engine_cache_path" value: "/models/m/1" }\n} } }',
    )
    model = repository.check("m")
    assert model.served
    assert {finding.severity for finding in model.findings} == {Severity.NOTE}
    finding = next(one for one in model.findings if one.rule == "container-path")
    assert (finding.problem.line, finding.problem.got) == (3, "/models/m/1")
    assert "trt_engine_cache_path" not in finding.corrected
    assert "precision_mode" in finding.corrected


def test_a_folder_that_is_there_is_fine(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config(
        "m",
        'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt"\n'
        f'  parameters {{ key: "trt_engine_cache_path" value: "{repository.path}" }} }} }} }}',
    )
    assert [finding.rule for finding in repository.check("m").findings] == ["backend-remark"]


def test_what_a_backend_warns_about_is_noted_without_the_models_name(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", 'optimization { execution_accelerators { gpu_execution_accelerator { name: "tensorrt" } } }')
    finding = repository.only_finding("m")
    assert finding.problem.message == "GPU Execution Accelerator will be ignored for model instance on CPU"
