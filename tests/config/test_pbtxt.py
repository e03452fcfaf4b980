# SPDX-License-Identifier: Apache-2.0
"""config.pbtxt is read as protobuf's text format, written so that it reads back equal, and its mistakes explained."""

import ast
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.pbtxt import dump, parse
from naiad.config.problems import ConfigError, Problem
from naiad.config.proto import ModelConfig, model_config_pb2

_GUIDE = """\
# Generated for the guide.
name: "yolo"  # the directory's name
platform: "onnxruntime_onnx"
max_batch_size: 4
input [
  {
    name: "images"
    data_type: TYPE_FP32
    dims: [ 3, -1, -1 ]
  }
]
output [ { name: "output0", data_type: TYPE_FP32, dims: [ 84, -1 ] } ]
instance_group [{ kind: KIND_CPU }];
optimization { execution_accelerators {
  gpu_execution_accelerator : [ {
    name : "tensorrt"
    parameters { key: "precision_mode" value: "FP16" }
  }]
}}
parameters { key: "metadata" value: { string_value: "{'names': {0: 'it\\\\'s'}}" } }
parameters: < key: "anything" value: { string_value: "kept" 'joined' } >
dynamic_batching { preserve_ordering: True }
"""


def _problems(text: str) -> tuple[Problem, ...]:
    try:
        parse(text, "m/config.pbtxt")
    except ConfigError as error:
        return error.problems
    return ()


def _problem(text: str) -> str:
    (problem,) = _problems(text)
    return str(problem)


def test_everything_that_the_text_format_allows_is_read() -> None:
    config = parse(_GUIDE, "config.pbtxt")
    assert list(config.input[0].dims) == [3, -1, -1]
    assert config.output[0].data_type == model_config_pb2.TYPE_FP32
    assert config.instance_group[0].kind == model_config_pb2.ModelInstanceGroup.KIND_CPU
    assert config.dynamic_batching.preserve_ordering
    assert config.parameters["anything"].string_value == "keptjoined"
    assert ast.literal_eval(config.parameters["metadata"].string_value) == {"names": {0: "it's"}}
    accelerator = config.optimization.execution_accelerators.gpu_execution_accelerator[0]
    assert accelerator.parameters["precision_mode"] == "FP16"


@pytest.mark.parametrize("text", ["", "# only a comment", "\n\n", 'backend: "x"\r\nmax_batch_size: 1\r\n'])
def test_little_or_windows_text_is_read(text: str) -> None:
    assert parse(text, "c") == (ModelConfig(backend="x", max_batch_size=1) if "backend" in text else ModelConfig())


def test_config_is_written_in_the_order_and_brevity_of_the_documentation() -> None:
    config = parse(_GUIDE, "config.pbtxt")
    config.ClearField("optimization")
    assert (
        dump(config)
        == """\
name: "yolo"
platform: "onnxruntime_onnx"
max_batch_size: 4
input {
  name: "images"
  data_type: TYPE_FP32
  dims: [3, -1, -1]
}
output {
  name: "output0"
  data_type: TYPE_FP32
  dims: [84, -1]
}
dynamic_batching {
  preserve_ordering: true
}
instance_group {
  kind: KIND_CPU
}
parameters {
  key: "anything"
  value {
    string_value: "keptjoined"
  }
}
parameters {
  key: "metadata"
  value {
    string_value: "{\\'names\\': {0: \\'it\\\\\\'s\\'}}"
  }
}
"""
    )


def test_text_that_is_not_ascii_is_written_as_it_is() -> None:
    assert dump(ModelConfig(name="Fußgänger 人")) == 'name: "Fußgänger 人"\n'


_STRINGS = st.one_of(st.text(max_size=20), st.text("'\"\\\n\r\t\0\x7f\x85\u2028#{}é人😀", max_size=12))
_DIMS = st.lists(st.one_of(st.just(-1), st.integers(1, 2**63 - 1)), max_size=4)


@st.composite
def _configs(draw: st.DrawFn) -> ModelConfig:
    config = ModelConfig(
        name=draw(_STRINGS),
        max_batch_size=draw(st.integers(-(2**31), 2**31 - 1)),
        default_model_filename=draw(_STRINGS),
        metric_tags=draw(st.dictionaries(_STRINGS, _STRINGS, max_size=2)),
    )
    for _ in range(draw(st.integers(0, 2))):
        config.input.add(name=draw(_STRINGS), data_type=draw(st.integers(0, 14)), dims=draw(_DIMS))
    for _ in range(draw(st.integers(0, 2))):
        config.instance_group.add(kind=draw(st.integers(0, 3)), gpus=draw(st.lists(st.integers(0, 9), max_size=3)))
    for key, value in draw(st.dictionaries(_STRINGS, _STRINGS, max_size=3)).items():
        config.parameters[key].string_value = value
    if draw(st.booleans()):
        config.dynamic_batching.max_queue_delay_microseconds = draw(st.integers(0, 2**64 - 1))
    return config


@given(_configs())
def test_what_is_written_reads_back_equal(config: ModelConfig) -> None:
    assert parse(dump(config), "c") == config


@given(st.dictionaries(st.integers(0, 100), _STRINGS, max_size=5))
def test_class_names_as_a_python_literal_survive(names: dict[int, str]) -> None:
    config = ModelConfig()
    config.parameters["metadata"].string_value = str({"names": names})
    read = parse(dump(config), "c").parameters["metadata"].string_value
    assert ast.literal_eval(read) == {"names": names}


# protobuf for Python reads an unknown escape as it is written, with a warning that no user sees.
@pytest.mark.filterwarnings("ignore:.*invalid escape sequence:DeprecationWarning")
@given(st.data())
def test_a_damaged_text_is_read_or_explained(data: Any) -> None:
    start = data.draw(st.integers(0, len(_GUIDE)))
    end = data.draw(st.integers(start, min(start + 12, len(_GUIDE))))
    text = _GUIDE[:start] + data.draw(st.text("{}[]<>:;,\"'#ab1-\n", max_size=3)) + _GUIDE[end:]
    assert all(problem.message and 1 <= problem.line <= text.count("\n") + 1 for problem in _problems(text))


@given(st.text(max_size=30))
def test_any_text_is_read_or_explained(text: str) -> None:
    assert all(problem.message and problem.line for problem in _problems(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # A field that isn't there.
        (
            'backend: "python"\nmax_batchsize: 4',
            "2: max_batchsize: ModelConfig has no field 'max_batchsize'; write 'max_batch_size'",
        ),
        ("maxBatchSize: 4", "1: maxBatchSize: ModelConfig has no field 'maxBatchSize'; write 'max_batch_size'"),
        (
            'input [\n { name: "x",\n dtype: TYPE_FP32 } ]',
            "3: input[0].dtype: ModelInput has no field 'dtype'; write 'data_type'",
        ),
        ("input { shape: [ 3 ] }", "1: input[0].shape: ModelInput has no field 'shape'; write 'dims'"),
        (
            "instance_group { nonsense: 3 }",
            (
                "1: instance_group[0].nonsense: ModelInstanceGroup has no field 'nonsense'; expected one of "
                "name, kind, "
                "count, rate_limiter, gpus, secondary_devices, profile, passive, host_policy"
            ),
        ),
        (
            "dynamic_batching { queue_policy { } }",
            (
                "1: dynamic_batching.queue_policy: ModelDynamicBatching has no field 'queue_policy'; expected one of "
                "default_queue_policy, priority_queue_policy; write 'default_queue_policy'"
            ),
        ),
        (
            'name: "x"\n[foo.bar]: 1',
            "2: a name in brackets is an extension, and configs have none; take the brackets away",
        ),
        # A value of the wrong type.
        (
            "instance_group { kind: GPU }",
            (
                "1: instance_group[0].kind: Kind has no value GPU; expected one of KIND_AUTO, KIND_GPU, KIND_CPU, "
                "KIND_MODEL, got GPU; write kind: KIND_GPU, without quotes"
            ),
        ),
        (
            'instance_group { kind: "KIND_CPU" }',
            (
                '1: instance_group[0].kind: Kind has no value "KIND_CPU"; expected one of KIND_AUTO, KIND_GPU, '
                "KIND_CPU, "
                'KIND_MODEL, got "KIND_CPU"; write kind: KIND_CPU, without quotes'
            ),
        ),
        (
            'max_batch_size: "4"',
            (
                "1: max_batch_size: wrong value for 'max_batch_size'; expected an integer, got \"4\"; write "
                "max_batch_size: 4"
            ),
        ),
        (
            "max_batch_size: 4.0",
            (
                "1: max_batch_size: wrong value for 'max_batch_size'; expected an integer, got 4.0; write "
                "max_batch_size: 4"
            ),
        ),
        ("max_batch_size: 4.5", "1: max_batch_size: wrong value for 'max_batch_size'; expected an integer, got 4.5"),
        (
            "max_batch_size: 2147483648",
            (
                "1: max_batch_size: wrong value for 'max_batch_size'; expected an integer from -2147483648 to "
                "2147483647, "
                "got 2147483648"
            ),
        ),
        (
            "dynamic_batching {\n  max_queue_delay_microseconds: -1 }",
            (
                "2: dynamic_batching.max_queue_delay_microseconds: wrong value for 'max_queue_delay_microseconds'; "
                "expected an integer from 0 to 18446744073709551615, got -1"
            ),
        ),
        (
            'input { dims: [ 3,\n "640" ] }',
            "2: input[0].dims[1]: wrong value for 'dims'; expected an integer, got \"640\"; write 640",
        ),
        (
            "input { dims: [ None, 3 ] }",
            (
                "1: input[0].dims[0]: wrong value for 'dims'; expected an integer, got None; write -1 for a size that "
                "varies"
            ),
        ),
        (
            'dynamic_batching { preserve_ordering: "true" }',
            (
                "1: dynamic_batching.preserve_ordering: wrong value for 'preserve_ordering'; expected true or false, "
                'without quotes, got "true"; write preserve_ordering: true'
            ),
        ),
        (
            "dynamic_batching { preserve_ordering: yes }",
            (
                "1: dynamic_batching.preserve_ordering: wrong value for 'preserve_ordering'; expected true or false, "
                "without quotes, got yes; write preserve_ordering: true"
            ),
        ),
        (
            "backend: onnxruntime",
            (
                "1: backend: wrong value for 'backend'; expected a string in quotes, got onnxruntime; write "
                'backend: "onnxruntime"'
            ),
        ),
        (
            "name: “yolo”",
            (
                "1: name: wrong value for 'name'; expected a string in quotes, got “yolo”; write name: \"yolo\" "
                "with plain "
                "quotes, these are typographic"
            ),
        ),
        (
            'name: [ "a" ]',
            (
                "1: name: wrong value for 'name'; expected a string in quotes, got [; 'name' is one string, not "
                "a list: "
                "take the brackets away"
            ),
        ),
        (
            "name: null",
            (
                "1: name: wrong value for 'name'; expected a string in quotes, got null; take 'name' away to leave it "
                "unset"
            ),
        ),
        (
            'name: "\\377"',
            "1: name: 'name' is not UTF-8; write the text itself instead of \\ codes",
        ),
        ('name:\nbackend: "x"', "1: name: 'name' has no value; expected a string in quotes"),
        (
            "dynamic_batching: true",
            (
                "1: dynamic_batching: wrong value for 'dynamic_batching'; expected a block { } of "
                "ModelDynamicBatching, "
                "got true; write dynamic_batching { ... }"
            ),
        ),
        (
            'parameters { key: "a" value: "b" }',
            (
                "1: parameters[0].value: wrong value for 'value'; expected a block { } of ModelParameter, got "
                '"b"; write '
                'value { string_value: "b" }'
            ),
        ),
        (
            "input {\n  name: }",
            "2: input[0].name: wrong value for 'name'; expected a string in quotes, got }",
        ),
        (
            "dynamic_batching }",
            (
                "1: dynamic_batching: wrong value for 'dynamic_batching'; expected a block { } of "
                "ModelDynamicBatching, "
                "got }; write dynamic_batching { ... }"
            ),
        ),
        (
            "input {\n  name: ]",
            "2: input[0].name: wrong value for 'name'; expected a string in quotes, got ]",
        ),
        (
            "input { dims: ] }",
            "1: input[0].dims[0]: wrong value for 'dims'; expected an integer, got ]; write -1 for a size that varies",
        ),
        # Twice.
        (
            "max_batch_size: 1\n\nmax_batch_size: 2",
            (
                "3: max_batch_size: 'max_batch_size' is written twice; expected it once, got it also on line 1; "
                "keep one "
                "of them"
            ),
        ),
        (
            "dynamic_batching { }\nsequence_batching { }",
            (
                "2: sequence_batching: 'sequence_batching' and 'dynamic_batching' exclude each other; expected one of "
                "them, got 'dynamic_batching' also, on line 1; keep one of them"
            ),
        ),
        # Braces, brackets, commas, colons.
        (
            'input {\n  name: "I"\n\noutput { name: "O" }',
            (
                "4: input[0].output: ModelInput has no field 'output'; 'output' is a field of ModelConfig: close "
                "'input[0]' with a } before it, which was opened on line 1"
            ),
        ),
        (
            'backend: "x"\ninput {\n  name: "I"\n',
            "2: input[0]: 'input[0]' is never closed; expected '}', got the end of the file; write } where it ends",
        ),
        (
            'input { name: "I" }\n}',
            (
                "2: not a field; expected a field's name, got }; take this } away, it closes nothing; or a { is "
                "missing "
                "before it"
            ),
        ),
        (
            "input { dims: [ 1, 2 }",
            "1: input[0].dims: 'input[0].dims' is never closed; expected ']', got }; write ] where it ends",
        ),
        (
            'input [ { name: "a" }',
            "1: input: 'input' is never closed; expected ']', got the end of the file; write ] where it ends",
        ),
        (
            'input [\n  { name: "a" }\n  { name: "b" }\n]',
            "3: input[1]: entries of a list are separated by commas; expected ',', got {; write , before {",
        ),
        (
            "input { dims: [ 3 640 ] }",
            "1: input[0].dims[1]: entries of a list are separated by commas; expected ',', got 640; write , before 640",
        ),
        (
            'input [ { name: "a" }, ]',
            "1: input: a list ends with a comma; take away the comma before ]",
        ),
        ("input { dims: [ 3, ] }", "1: input[0].dims: a list ends with a comma; take away the comma before ]"),
        (
            'name = "x"',
            (
                "1: name: 'name' and its value are separated by a colon; expected ':', got =; write name: and then the "
                "value"
            ),
        ),
        # Another language.
        (
            '{\n  "name": "x" }',
            (
                "1: not a field; expected a field's name, got {; this is protobuf text, not JSON: write fields "
                "as name: "
                '"model", without braces around all of them'
            ),
        ),
        (
            '"name": "x"',
            '1: not a field; expected a field\'s name, got "name"; write the name without quotes: name',
        ),
        (
            'parameters: { "imgsz": "640" }',
            (
                '1: not a field; expected a field\'s name, got "imgsz"; write each entry as parameters { key: "imgsz" '
                'value { string_value: "..." } }'
            ),
        ),
        ("// comment", "1: not a field; expected a field's name, got /; comments begin with #"),
        (
            '\ufeffname: "x"',
            (
                "1: not a field; expected a field's name, got a byte order mark; save it as UTF-8 without a byte order "
                "mark"
            ),
        ),
        (
            'parameters { key: "metadata" value { string_value: "{\n}" } }',
            (
                "1: parameters[0].value.string_value: the string of 'string_value' has no end on its line; got "
                '"{; close '
                'it with ", and write a line break inside it as \\n'
            ),
        ),
    ],
)
def test_mistake_is_told_with_line_field_and_fix(text: str, told: str) -> None:
    assert _problem(text) == f"m/config.pbtxt:{told}"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("TYPE_FLOAT", "TYPE_FP32"),
        ("FP32", "TYPE_FP32"),
        ("fp16", "TYPE_FP16"),
        ("float32", "TYPE_FP32"),
        ("TYPE_INT", "TYPE_INT32"),
        ("UINT8", "TYPE_UINT8"),
        ("BYTES", "TYPE_STRING"),
        ("TYPE_HALF", "TYPE_FP16"),
        ('"TYPE_FP32"', "TYPE_FP32"),
    ],
)
def test_datatype_is_corrected_to_what_was_meant(written: str, meant: str) -> None:
    assert _problem(f"input {{ data_type: {written} }}").endswith(f"; write data_type: {meant}, without quotes")


def test_the_number_of_an_enum_beyond_all_bounds_is_told_with_its_line() -> None:
    assert _problem('name: "m"\ninput { data_type: 9223372036854775807 }') == (
        "m/config.pbtxt:2: no such enum value; got 9223372036854775807; write its name instead, such as TYPE_FP32"
    )
