# SPDX-License-Identifier: Apache-2.0
"""A config against the graph it is for: each disagreement, and that the corrected text is right."""

import onnx
import pytest
from tests.deployment.check.repositories import Repository

from naiad.deployment.check import Finding

IMAGES = 'input { name: "images" data_type: TYPE_FP32 dims: [3, -1, -1] }\n'
OUTPUT0 = 'output { name: "output0" data_type: TYPE_FP32 dims: [3, -1, -1] }\n'


def told(finding: Finding) -> tuple[str, int, str, str, str]:
    problem = finding.problem
    return finding.rule, problem.line, problem.field, problem.expected, problem.got


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (
            'input { name: "images" data_type: TYPE_FP32 dims: [-1, 3, -1, -1] }',
            ("graph-dims", 2, "input[0].dims", "[3, -1, -1]", "[-1, 3, -1, -1]"),
        ),
        (
            'input { name: "images" data_type: TYPE_FP32 dims: [1, -1, -1] }',
            ("graph-dims", 2, "input[0].dims", "[3, -1, -1]", "[1, -1, -1]"),
        ),
        (
            'input { name: "images" data_type: TYPE_FP32 dims: [3, 4] reshape { shape: [12] } }',
            ("graph-dims", 2, "input[0].reshape.shape", "[3, -1, -1]", "[12]"),
        ),
        (
            'input { name: "images" data_type: TYPE_FP16 dims: [3, -1, -1] }',
            ("graph-datatype", 2, "input[0].data_type", "TYPE_FP32", "TYPE_FP16"),
        ),
        (
            'input { name: "image" data_type: TYPE_FP32 dims: [3, -1, -1] }',
            ("graph-name", 2, "input[0].name", "one of 'images'", "'image'"),
        ),
    ],
)
def test_a_wrong_input_is_told_and_its_corrected_text_is_accepted(
    repository: Repository, wrong: str, expected: tuple[str, int, str, str, str]
) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", f"max_batch_size: 8\n{wrong}\n{OUTPUT0}")
    finding = repository.only_finding("m")
    assert told(finding) == expected
    repository.config("m", f"max_batch_size: 8\n{finding.corrected}\n{OUTPUT0}")
    model = repository.check("m")
    assert model.findings == ()
    assert model.served


def test_the_usual_mistake_is_named(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", f"max_batch_size: 8\n{IMAGES.replace('[3', '[-1, 3')}{OUTPUT0}")
    assert "they begin with the batch dimension" in repository.only_finding("m").problem.message
    repository.config("m", IMAGES + OUTPUT0)
    assert all("the batch dimension is missing" in one.problem.message for one in repository.check("m").findings)


def test_every_disagreement_is_told_not_only_the_first(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", outputs=("output0", "output1"))
    repository.config(
        "m",
        'max_batch_size: 8\ninput { name: "images" data_type: TYPE_UINT8 dims: [640] }\n'
        'output { name: "output0" data_type: TYPE_FP16 dims: [3, -1, -1] }\n'
        'output { name: "out" data_type: TYPE_FP32 dims: [3, -1, -1] }\n',
    )
    assert [(one.rule, one.problem.line) for one in repository.check("m").findings if one.rule.startswith("graph")] == [
        ("graph-datatype", 2),
        ("graph-dims", 2),
        ("graph-datatype", 3),
        ("graph-name", 4),
    ]


def test_batching_on_a_fixed_batch_export_is_told_with_the_whole_shapes(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", (1, 3, 640, 640), metadata={}, inputs=("x",), outputs=("y",))
    config = (
        'max_batch_size: 4\ninput { name: "x" data_type: TYPE_FP32 dims: [3, 640, 640] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [3, 640, 640] label_filename: "l.txt" }\n'
    )
    repository.write("m/l.txt", b"a\n")
    repository.config("m", config)
    finding = repository.only_finding("m")
    assert told(finding) == (
        "graph-batch",
        1,
        "max_batch_size",
        "a first dimension of -1 in every tensor of the model file",
        "[1, 3, 640, 640] for 'x', always 1 row",
    )
    assert 'label_filename: "l.txt"' in finding.corrected
    repository.config("m", finding.corrected)
    assert repository.check("m").findings == ()


def test_batching_is_refused_as_well_where_the_server_would_fill_in_the_rest(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", (1, 3, 640, 640), metadata={}, inputs=("x",))
    repository.config("m", "max_batch_size: 4")
    finding = repository.only_finding("m")
    assert (finding.rule, finding.corrected) == ("graph-batch", "max_batch_size: 0")


def test_an_input_that_is_not_listed_is_to_be_added(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", ("n", 3), metadata={}, inputs=("a", "b"), outputs=("y",))
    repository.config("m", 'input { name: "a" data_type: TYPE_FP32 dims: [-1, 3] }')
    finding = repository.only_finding("m")
    assert (finding.rule, finding.problem.message) == ("graph-missing-input", "'b' of the model file is not listed")
    assert finding.corrected.splitlines()[1:4] == ['  name: "b"', "  data_type: TYPE_FP32", "  dims: [-1, 3]"]


def test_a_scalar_is_written_with_a_reshape(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", ("n",), metadata={}, inputs=("x",), outputs=("y",))
    repository.config(
        "m",
        'max_batch_size: 4\ninput { name: "x" data_type: TYPE_FP32 dims: [7] }\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [1] reshape { shape: [] } }',
    )
    finding = repository.only_finding("m")
    assert (finding.rule, finding.problem.expected) == ("graph-dims", "[]")
    assert "reshape" in finding.corrected


def test_what_the_server_accepts_is_never_criticised(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", ("n", "k"), metadata={}, inputs=("x",), outputs=("y",))
    repository.config("m", 'max_batch_size: 4\ninput { name: "x" data_type: TYPE_FP32 dims: [16] }')
    assert repository.check("m").findings == ()


def test_integer_models_are_compared_too(repository: Repository) -> None:
    repository.onnx(
        "m/1/model.onnx", ("n", 2), metadata={}, inputs=("x",), outputs=("y",), datatype=onnx.TensorProto.INT64
    )
    repository.config("m", 'max_batch_size: 4\ninput { name: "x" data_type: TYPE_INT32 dims: [2] }')
    assert told(repository.only_finding("m"))[3:] == ("TYPE_INT64", "TYPE_INT32")
