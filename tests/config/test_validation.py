# SPDX-License-Identifier: Apache-2.0
"""Validation refuses what Triton refuses, in its words, and says where and what to do."""

import json
from pathlib import Path
from typing import Any

import pytest

from naiad.config.completion import complete_defaults, infer_backend
from naiad.config.pbtxt import parse
from naiad.config.problems import ConfigError, Problem
from naiad.config.validation import validate

_VERDICTS = [json.loads(line) for line in Path(__file__).with_name("triton_verdicts.jsonl").read_text().splitlines()]
_UNREADABLE = "failed to read text proto"


def _problems(text: str, name: str = "m", gpus: tuple[int, ...] = ()) -> tuple[Problem, ...]:
    try:
        validate(parse(text, "c"), name, "c", text, gpus)
    except ConfigError as error:
        return error.problems
    return ()


def _refusal(case: dict[str, Any]) -> str | None:
    name, text = case["name"], case["config"]
    config = complete_defaults(infer_backend(parse(text, "c"), ["model.py"], name), name)
    try:
        validate(config, name, "c", text)
    except ConfigError as error:
        return error.problems[0].message
    return None


@pytest.mark.parametrize(
    "case", [case for case in _VERDICTS if case["refusal"] != _UNREADABLE], ids=lambda case: case["name"]
)
def test_verdict_is_that_of_triton_2_51(case: dict[str, Any]) -> None:
    """The file holds configs of Python models, and the sentence with which a real server refused each, if it did."""
    assert _refusal(case) == case["refusal"]


@pytest.mark.parametrize(
    "case", [case for case in _VERDICTS if case["refusal"] == _UNREADABLE], ids=lambda case: case["name"]
)
def test_text_that_triton_2_51_cannot_read_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        parse(case["config"], "c")


@pytest.mark.parametrize("case", [case for case in _VERDICTS if not case["refusal"]], ids=lambda case: case["name"])
def test_config_that_triton_accepts_is_valid_before_its_completion_too(case: dict[str, Any]) -> None:
    assert _problems(case["config"], case["name"]) == ()


@pytest.mark.parametrize(
    ("text", "line", "field", "expected", "got", "fix"),
    [
        (
            'max_batch_size: 4\nname: "other"',
            2,
            "name",
            "'m'",
            "'other'",
            "take 'name' away, or rename the directory to 'other'",
        ),
        (
            "max_batch_size: -1",
            1,
            "max_batch_size",
            "0 for a model without batch dimension, or the most rows in a batch",
            "-1",
            "",
        ),
        (
            'input {\n name: "I" data_type: TYPE_FP32\n dims: [ 3,\n 0 ] }',
            4,
            "input[0].dims[1]",
            "",
            "0",
            "write dims: [3, -1]",
        ),
        (
            'max_batch_size: 4\noutput { name: "O"\n data_type: TYPE_FP32 }',
            2,
            "output[0]",
            "",
            "",
            "write dims: [ ... ], without the batch dimension, -1 for a size that varies",
        ),
        (
            'input { name: "I" data_type: TYPE_FP32 dims: [ 2, -1, 6 ]\nreshape { shape: [ 12, -1 ] } }',
            2,
            "input[0].reshape.shape",
            "as many elements as dims [2, -1, 6] has, between its -1 too",
            "[12, -1]",
            "",
        ),
        (
            'input { name: "I" data_type: TYPE_FP32 dims: [ 1, 3, 4, 4 ]\nformat: FORMAT_NCHW }',
            2,
            "input[0].format",
            "channels, height and width, without the batch dimension",
            "[1, 3, 4, 4]",
            "write 3 dims, or take 'format: FORMAT_NCHW' away",
        ),
        (
            "max_batch_size: 4\ndynamic_batching {\n preferred_batch_size: [ 4, 8 ] }",
            3,
            "dynamic_batching.preferred_batch_size[1]",
            "at most 4",
            "8",
            "write max_batch_size: 8, or a smaller preferred size",
        ),
        (
            "instance_group [ { },\n { kind: KIND_CPU\n gpus: [ 0 ] } ]",
            3,
            "instance_group[1].gpus",
            "no GPU, this machine has none that can be used",
            "[0]",
            "take 'gpus' away",
        ),
        (
            "version_policy { specific { } }",
            1,
            "version_policy.specific.versions",
            "a policy that names a version",
            "none",
            "write versions: [ 1 ], or take 'version_policy' away",
        ),
    ],
)
def test_problem_says_where_and_what_to_do(text: str, line: int, field: str, expected: str, got: str, fix: str) -> None:
    (problem,) = _problems(text)
    assert (problem.file, problem.line, problem.field) == ("c", line, field)
    assert (problem.expected, problem.got, problem.fix) == (expected, got, fix)


def test_all_problems_are_told_at_once_each_with_its_line() -> None:
    text = 'max_batch_size: -1\ninput { name: "I" }\noutput {\n  data_type: TYPE_FP32 dims: [ 0 ]\n}\n'
    assert [(problem.line, problem.field) for problem in _problems(text)] == [
        (1, "max_batch_size"),
        (2, "input[0]"),
        (2, "input[0]"),
        (3, "output[0]"),
        (4, "output[0].dims[0]"),
    ]


def test_without_the_text_there_are_no_lines_but_all_else() -> None:
    with pytest.raises(ConfigError, match=r"^c: max_batch_size: 'max_batch_size' must be non-negative value for m; "):
        validate(parse("max_batch_size: -1", "c"), "m", "c")


@pytest.mark.parametrize("kind", ["input", "output"])
def test_name_listed_twice_is_refused(kind: str) -> None:
    text = f'{kind} [\n {{ name: "a" data_type: TYPE_FP32 dims: 1 }},\n {{ name: "a" data_type: TYPE_FP32 dims: 1 }} ]'
    (problem,) = _problems(text)
    assert (problem.line, problem.field) == (3, f"{kind}[1].name")
    assert problem.message == f"model {kind} 'a' is listed twice for m"
    assert problem.got == f"it also as {kind}[0]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: KIND_GPU", None),
        ("kind: KIND_GPU gpus: [ 0 ]", None),
        ("gpus: [ 1 ]", None),
        ("kind: KIND_GPU gpus: [ 0, 7 ]", "instance group m_0 of model m specifies invalid or unsupported gpu id 7"),
        ("gpus: [ 7 ]", "instance group m_0 of model m has kind KIND_CPU but specifies one or more GPUs"),
        (
            'name: "x" kind: KIND_MODEL gpus: [ 0 ]',
            "instance group x of model m has kind KIND_MODEL but specifies one or more GPUs",
        ),
    ],
)
def test_gpus_of_a_group_must_be_there(text: str, message: str | None) -> None:
    problems = _problems(f"instance_group {{ {text} }}", gpus=(0, 1))
    assert [problem.message for problem in problems] == ([message] if message else [])


def test_group_of_an_unknown_gpu_is_refused_without_gpus_too() -> None:
    (problem,) = _problems("instance_group { kind: KIND_GPU gpus: [ 0 ] }")
    assert problem.message == "instance group m_0 of model m specifies invalid or unsupported gpu id 0"
    assert problem.expected == "ids of GPUs that can be used: there are none"


def test_profile_is_for_tensorrt_alone() -> None:
    (problem,) = _problems('platform: "onnxruntime_onnx" instance_group { profile: "1" }')
    assert problem.message == (
        "instance group m_0 of model m and platform onnxruntime_onnx specifies profile field which is only supported "
        "for TensorRT models"
    )
    assert _problems('platform: "tensorrt_plan" instance_group { profile: "1" }') == ()


@pytest.mark.parametrize("filename", ["../1/model.onnx", "/etc/model.onnx", "a/../../model.onnx"])
def test_the_models_file_stays_in_its_version_directory(filename: str) -> None:
    text = f'default_model_filename: "{filename}"'
    with pytest.raises(ConfigError, match="leads out of the version directory") as caught:
        validate(parse(text, "config.pbtxt"), "m", "config.pbtxt", text)
    assert (caught.value.problems[0].line, caught.value.problems[0].field) == (1, "default_model_filename")
    validate(parse('default_model_filename: "onnx/model.onnx"', "c"), "m", "c")


def test_a_datatype_by_a_number_that_means_nothing_is_refused() -> None:
    text = 'input { name: "x" data_type: TYPE_FP32 dims: [ 1 ] }\noutput { name: "y" data_type: 32 dims: [ 1 ] }'
    with pytest.raises(ConfigError, match="has a 'data_type' that there is none of") as caught:
        validate(parse(text, "config.pbtxt"), "m", "config.pbtxt", text)
    assert (caught.value.problems[0].line, caught.value.problems[0].got) == (2, "32")
