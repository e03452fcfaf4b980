# SPDX-License-Identifier: Apache-2.0
"""What keeps Ultralytics' client from using a model that Triton serves happily."""

import ast
from collections.abc import Mapping

import onnx
import pytest
from tests.deployment.check.repositories import METADATA, Repository

from naiad.config import pbtxt
from naiad.deployment.check import Severity
from naiad.vision.metadata import to_literal

VALUES: Mapping[str, object] = {"task": "detect", "stride": 32, "names": {0: "person", 1: "bicycle"}}


def block(text: str) -> str:
    """Return the parameters block of a metadata text, on four lines, the text on the third."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'parameters {{\n  key: "metadata"\n  value {{ string_value: "{escaped}" }}\n}}\n'


def metadata_of(corrected: str) -> object:
    """Read the metadata of a corrected text as the client does."""
    return ast.literal_eval(pbtxt.parse(corrected, "corrected").parameters["metadata"].string_value)


class TestMetadataText:
    def test_json_is_told_and_written_as_a_literal(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", metadata={})
        repository.config("m", block('{"names": {"0": "it\'s", "1": "b\\"c"}, "stride": 32, "end2end": false}'))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity, finding.problem.line) == ("yolo-metadata-json", Severity.ERROR, 3)
        assert finding.problem.field == "parameters[0].value.string_value"
        assert finding.problem.fix == "write True, False and None for true, false and null"
        assert metadata_of(finding.corrected) == {"names": {0: "it's", 1: 'b"c'}, "stride": 32, "end2end": False}
        repository.config("m", finding.corrected)
        assert repository.check("m").findings == ()

    def test_what_no_one_can_read_is_replaced_by_what_the_file_says(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", 'parameters { key: "note" value { string_value: "x" } }\n' + block("{names: [person]}"))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.line) == ("yolo-metadata-unreadable", 4)
        assert "take the parameter away" in finding.problem.fix
        assert "object at 0x" not in finding.problem.got
        corrected = metadata_of(finding.corrected)
        assert isinstance(corrected, dict)
        assert corrected["names"] == {0: "person", 1: "bicycle"}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("{'a': 1", "'{' was never closed"),
            ("[1]", "a list, not a dict"),
            ("", "invalid syntax"),
            ("None", "a NoneType"),
        ],
    )
    def test_the_reason_is_told(self, repository: Repository, text: str, reason: str) -> None:
        repository.onnx("m/1/model.onnx", metadata={})
        repository.config("m", block(text))
        finding = repository.only_finding("m")
        assert finding.rule == "yolo-metadata-unreadable"
        assert reason in finding.problem.got
        assert finding.corrected == "", "nothing tells what it should be"

    def test_a_literal_with_quotes_and_text_members_is_fine(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", metadata={})
        repository.config("m", block(to_literal({**VALUES, "names": "{0: 'it\\'s \"x\"'}", "imgsz": "[640, 640]"})))
        model = repository.check("m")
        assert model.findings == ()
        assert model.served[0].classes == ('it\'s "x"',)


class TestMetadataValues:
    @pytest.mark.parametrize(
        ("names", "got"),
        [
            ({1: "a", 2: "b"}, "2 names, numbered 1 to 2"),
            ({"a": 0}, "the key 'a'"),
            ([], "no names"),
            ("person", "a str"),
        ],
    )
    def test_names_that_the_client_refuses(self, repository: Repository, names: object, got: str) -> None:
        repository.onnx("m/1/model.onnx", metadata={})
        repository.config("m", block(to_literal({**VALUES, "names": names})))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity, finding.problem.got) == ("yolo-metadata-names", Severity.ERROR, got)

    def test_what_is_missing_is_added_from_the_file(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", block("{'stride': 32}"))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("yolo-metadata-incomplete", Severity.WARNING)
        assert metadata_of(finding.corrected) == {"names": {0: "person", 1: "bicycle"}, "stride": 32}

    def test_a_pose_model_needs_its_keypoints(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", metadata={**METADATA, "task": "pose"})
        assert repository.only_finding("m").problem.message.startswith("metadata has no kpt_shape")
        repository.onnx("m/1/model.onnx", metadata={**METADATA, "task": "pose", "kpt_shape": "[17, 3]"})
        assert repository.check("m").findings == ()

    def test_metadata_of_another_model_is_told(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", block(to_literal({**VALUES, "names": {0: "cat"}, "args": {"dynamic": True}})))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("yolo-metadata-differs", Severity.WARNING)
        assert finding.problem.message.startswith("metadata says other things than the model file: names")

    def test_a_stripped_export_is_told(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", metadata={})
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("yolo-metadata-missing", Severity.WARNING)
        repository.config("m", finding.corrected)
        assert repository.check("m").findings == ()

    def test_a_model_of_somebody_else_needs_none(self, repository: Repository) -> None:
        repository.onnx("m.onnx/1/model.onnx", metadata={}, inputs=("x",), datatype=onnx.TensorProto.INT64)
        assert repository.check("m.onnx").findings == ()


class TestSizes:
    CONFIG = (
        'max_batch_size: 4\ninput { name: "images" data_type: TYPE_FP32 dims: [3, 640, 640] }\n'
        'output { name: "output0" data_type: TYPE_FP32 dims: [3, 640, 640] }\n'
    )

    def test_fixed_dims_under_dynamic_metadata_are_refused_photos(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", self.CONFIG)
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity, finding.problem.line) == ("yolo-fixed-dims", Severity.ERROR, 2)
        assert (finding.problem.expected, finding.problem.got) == ("[3, -1, -1]", "[3, 640, 640]")
        assert repository.check("m").served, "Triton serves it"
        repository.config("m", f"max_batch_size: 4\n{finding.corrected}")
        assert repository.check("m").findings == ()

    def test_fixed_dims_of_a_fixed_export_are_right(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", metadata={**METADATA, "args": "{'dynamic': False}"})
        repository.config("m", self.CONFIG)
        assert repository.check("m").findings == ()

    def test_a_fixed_file_that_says_dynamic_needs_other_metadata(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", ("n", 3, 640, 640))
        finding = repository.only_finding("m")
        assert finding.rule == "yolo-fixed-dims"
        repository.config("m", finding.corrected)
        assert repository.check("m").findings == ()

    def test_pictures_of_another_size_than_the_dims_are_refused(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", ("n", 3, 320, 320), metadata={**METADATA, "args": "{}", "imgsz": "640"})
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.expected) == ("yolo-image-size", "[3, 640, 640]")

    def test_a_model_that_takes_eight_pictures_gets_one(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", (8, 3, 640, 640), metadata={**METADATA, "args": "{}"})
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.got) == ("yolo-fixed-batch", "[8, 3, 640, 640]")

    def test_one_picture_at_a_time_is_fine(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", (1, 3, 640, 640), metadata={**METADATA, "args": "{}"})
        assert repository.check("m").findings == ()


class TestTensors:
    def test_the_client_sends_few_data_types(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", datatype=onnx.TensorProto.INT32)
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.got) == ("yolo-input-type", "TYPE_INT32")
        assert "KeyError: 'TYPE_INT32'" in finding.problem.message

    @pytest.mark.parametrize("datatype", ["FLOAT16", "UINT8"])
    def test_these_it_sends(self, repository: Repository, datatype: str) -> None:
        repository.onnx("m/1/model.onnx", datatype=getattr(onnx.TensorProto, datatype))
        assert repository.check("m").findings == ()

    def test_outputs_that_do_not_sort_are_mixed_up(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", outputs=("preds", "masks"))
        finding = repository.only_finding("m")
        assert finding.rule == "yolo-output-order"
        assert finding.problem.got == "preds, masks, which the client reads as masks, preds"

    def test_an_output_that_is_not_listed_is_not_got(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx", outputs=("output0", "output1"))
        listed = 'output { name: "output0" data_type: TYPE_FP32 dims: [3, -1, -1] }\n'
        repository.config("m", f"max_batch_size: 4\n{listed}")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.got) == ("yolo-output-missing", "output0")
        repository.config("m", f"max_batch_size: 4\n{listed}{finding.corrected}")
        assert repository.check("m").findings == ()


@pytest.mark.parametrize("name", ["best.onnx", "yolo_openvino_model", "My.PT"])
def test_names_that_the_client_takes_for_files(repository: Repository, name: str) -> None:
    repository.onnx(f"{name}/1/model.onnx")
    finding = repository.only_finding(name)
    assert (finding.rule, finding.severity) == ("yolo-name", Severity.ERROR)
    better = repository.path / finding.corrected.removeprefix('name: "').removesuffix('"')
    assert finding.problem.fix == f"run: mv {repository.path / name} {better}"
    (repository.path / name).rename(better)
    assert repository.check(better.name).findings == ()
