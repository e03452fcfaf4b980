# SPDX-License-Identifier: Apache-2.0
"""The walk through a repository: what is served is what the server would serve, and nothing hides anything."""

from pathlib import Path
from typing import Any, cast

import pytest
from tests.deployment.check.repositories import Repository

from naiad.deployment.check import Severity, check
from naiad.deployment.check.checking import _ModelCheck
from naiad.engine.model import Model
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError
from naiad.repository.loading import Loader
from naiad.repository.scan import examine
from naiad.vision.metadata import inject_metadata


def test_a_bare_file_is_served_completed_and_without_findings(repository: Repository) -> None:
    repository.onnx("yolo/1/model.onnx")
    model = repository.check("yolo")
    assert model.findings == ()
    (served,) = model.served
    assert (served.number, served.task, served.classes) == (1, "detect", ("person", "bicycle"))
    assert served.config.max_batch_size == 4
    assert list(served.config.input[0].dims) == [3, -1, -1]
    assert served.config.instance_group[0].count == 2


def test_no_instances_are_made(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("an instance was made")

    monkeypatch.setattr("naiad.backends.onnxruntime.model.OnnxModel.create_instance", refuse)
    repository.onnx("yolo/1/model.onnx")
    assert repository.check("yolo").served


def test_the_version_policy_says_what_is_served(repository: Repository) -> None:
    for version in (1, 2, 3):
        repository.onnx(f"m/{version}/model.onnx")
    model = repository.check("m")
    assert model.versions == (1, 2, 3)
    assert [served.number for served in model.served] == [3]


def test_versions_are_served_together_or_not_at_all(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.write("m/2/model.onnx")
    repository.config("m", "version_policy { all { } }")
    model = repository.check("m")
    assert model.served == ()
    assert [finding.rule for finding in model.findings] == ["file-content"]


def test_what_two_versions_have_in_common_is_told_once(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.onnx("m/2/model.onnx")
    repository.config("m", 'version_policy { all { } }\nparameters { key: "metadata" value { string_value: "{a}" } }')
    assert repository.only_finding("m").rule == "yolo-metadata-unreadable"


def test_one_bad_model_hides_no_other(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    run = _ModelCheck.run

    def explode(self: _ModelCheck) -> Any:
        if self._found.name == "bomb":
            raise ZeroDivisionError("boom")
        return run(self)

    monkeypatch.setattr(_ModelCheck, "run", explode)
    repository.onnx("bomb/1/model.onnx")
    repository.onnx("good/1/model.onnx")
    assert repository.check("good").served
    assert repository.only_finding("bomb").problem.message == "ZeroDivisionError: boom"


def test_all_problems_of_a_config_are_told_at_once_worst_first(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", metadata={})
    repository.config("m", 'name: "n"\nmax_batch_size: 4\ndynamic_batching { preferred_batch_size: 8 }')
    assert [
        (finding.severity.value, finding.rule, finding.problem.line) for finding in repository.check("m").findings
    ] == [
        ("error", "config-field", 1),
        ("error", "config-field", 3),
        ("warning", "yolo-metadata-missing", 0),
    ]


@pytest.mark.parametrize(
    "config",
    [
        "",
        "max_batch_size: 2",
        'input { name: "images" data_type: TYPE_FP32 dims: [-1, 3, -1, -1] }',
        'input { name: "images" data_type: TYPE_FP32 dims: [-1, 3, 8, 8] }\noutput { name: "output0" }',
        'input { name: "wrong" data_type: TYPE_FP32 dims: 3 }',
        'name: "n"',
        "instance_group { kind: KIND_GPU }",
        "instance_group { count: 3 kind: KIND_CPU }",
        "dynamic_batching { }",
        "max_batch_size: -1",
        'parameters { key: "intra_op_thread_count" value { string_value: "many" } }',
        'default_model_filename: "other.onnx"',
        "version_policy { specific { versions: 9 } }",
        'output { name: "output0" data_type: TYPE_FP32 dims: [-1, 3, -1, -1] label_filename: "none.txt" }',
    ],
)
def test_what_is_said_to_be_served_is_what_the_server_loads(repository: Repository, config: str) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", config)
    model = repository.check("m")
    assert bool(model.served) == loads(repository.path / "m")
    assert bool(model.served) == (model.count(Severity.ERROR) == 0)


def loads(directory: Path) -> bool:
    """Load a model as the server does, up to its instances."""
    loader = Loader(lambda *_, **__: cast(Model, object()), completers=(inject_metadata,))
    try:
        definition = loader.define(examine(directory))
        return bool([loader.load(definition, version) for version in definition.versions])
    except NaiadError:
        return False


def test_a_backend_that_is_not_here_is_told_in_the_servers_words(repository: Repository) -> None:
    repository.write("m/1/model.py")
    finding = repository.only_finding("m")
    assert finding.rule == "backend"
    assert finding.problem.message.startswith("backend 'python' is not available in this version of Naiad")


def test_features_that_are_not_there_yet_are_told_with_their_line(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", "\nsequence_batching { }")
    problem = repository.only_finding("m").problem
    assert (problem.line, problem.message) == (2, "sequence batching is not supported yet")
    assert repository.check("m").served == ()


def test_a_damaged_file_is_told_in_the_runtimes_words(repository: Repository) -> None:
    path = repository.write("m/1/model.onnx", b"\x08\x09 damaged")
    finding = repository.only_finding("m")
    assert finding.rule == "model-file"
    assert finding.problem.file == str(path)
    assert finding.problem.message.startswith("onnx runtime error 7: Load model from m/1/model.onnx failed")
    assert finding.problem.message.endswith("export it or copy it again")


def test_a_wrong_parameter_does_not_hide_what_the_file_says(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config(
        "m",
        'parameters { key: "execution_mode" value { string_value: "7" } }\n'
        'input { name: "pictures" data_type: TYPE_FP32 dims: [-1, 3, -1, -1] }',
    )
    findings = {finding.rule: finding for finding in repository.check("m").findings}
    assert "execution_mode" in findings["config-option"].problem.message
    assert findings["graph-name"].problem.got == "'pictures'"


def test_labels_are_counted_and_a_missing_file_is_an_error(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx")
    repository.config("m", 'output { name: "output0" data_type: TYPE_FP32 dims: [3, -1, -1] label_filename: "l.txt" }')
    finding = repository.only_finding("m")
    assert finding.rule == "label-file"
    assert finding.problem.message.startswith("failed to open text file for read ")
    repository.write("m/l.txt", b"cat\ndog\n")
    model = repository.check("m")
    assert (model.findings, model.served[0].labels) == ((), (("output0", 2),))


@pytest.mark.parametrize("path", ["nowhere", "models/m"])
def test_what_is_no_repository_is_refused_as_the_server_does(repository: Repository, path: str) -> None:
    repository.onnx("m/1/model.onnx")
    with pytest.raises((NotFoundError, InvalidArgumentError)):
        check([repository.path.parent / path])


def test_progress_is_told_by_name(repository: Repository) -> None:
    repository.onnx("b/1/model.onnx")
    repository.onnx("a/1/model.onnx")
    names: list[str] = []
    check([repository.path], names.append)
    assert names == ["a", "b"]


def test_every_severity_has_its_own_count(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", metadata={})
    report = check([repository.path])
    assert {severity.value: report.count(severity) for severity in Severity} == {"error": 0, "warning": 1, "note": 0}


def test_a_config_that_is_no_text_is_told(repository: Repository) -> None:
    repository.onnx("m/1/best.onnx")
    repository.write("m/config.pbtxt", b'name: "\xff"')
    finding = repository.only_finding("m")
    assert finding.rule == "config-syntax"
    assert "is not UTF-8 text" in finding.problem.message


def test_a_fault_of_one_version_hides_none_of_another(repository: Repository) -> None:
    repository.onnx("m/1/model.onnx", ("n", 3, 5, 5))
    repository.write("m/2/model.onnx", b"")
    repository.config(
        "m",
        'version_policy { all { } }\nmax_batch_size: 2\ninput { name: "images" data_type: TYPE_FP32 dims: [4, 5, 5] }',
    )
    rules = [finding.rule for finding in repository.check("m").findings]
    assert sorted(rules) == ["file-content", "graph-dims", "yolo-fixed-dims"]
