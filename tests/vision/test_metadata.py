# SPDX-License-Identifier: Apache-2.0
"""Ultralytics metadata: from the artifact into the served config, as the client reads it."""

import ast
import math
from datetime import date
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.pbtxt import dump, parse
from naiad.config.proto import ModelConfig
from naiad.vision.metadata import client_mistakes_for_file, inject_metadata, read_metadata, to_literal

ONNX_PROPERTIES = {
    "description": "Ultralytics YOLOv8n model ",
    "author": "Ultralytics",
    "date": "2026-11-24T02:06:45.387640+00:00",
    "version": "8.4",
    "license": "AGPL-3.0 License (https://ultralytics.com/license)",
    "docs": "https://docs.ultralytics.com",
    "stride": "32",
    "task": "detect",
    "batch": "1",
    "imgsz": "[640, 640]",
    "names": "{0: 'person', 1: \"driver's seat\"}",
    "args": "{'batch': 1, 'nms': None, 'dynamic': True}",
    "channels": "3",
    "end2end": "False",
}

LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.binary()
LISTS = st.lists(LEAVES, max_size=3)
VALUES = LEAVES | LISTS | LISTS.map(tuple) | st.dictionaries(st.integers() | st.text(max_size=3), LEAVES | LISTS)
METADATA = st.dictionaries(st.text(max_size=8), VALUES, max_size=4)


def client_reads(config: ModelConfig) -> object:
    """Do what the Ultralytics client does with a served config."""
    return ast.literal_eval(config.parameters["metadata"].string_value)


class TestReadMetadata:
    def test_values_become_the_objects_they_were_before_export(self) -> None:
        metadata = read_metadata(ONNX_PROPERTIES)
        assert metadata is not None
        assert metadata["names"] == {0: "person", 1: "driver's seat"}
        assert metadata["imgsz"] == [640, 640]
        assert metadata["args"] == {"batch": 1, "nms": None, "dynamic": True}
        assert (metadata["stride"], metadata["batch"], metadata["channels"]) == (32, 1, 3)
        assert metadata["end2end"] is False
        assert list(metadata) == list(ONNX_PROPERTIES)

    @pytest.mark.parametrize("key", ["author", "date", "description", "docs", "license", "task", "version"])
    def test_prose_stays_text_even_where_it_looks_like_a_literal(self, key: str) -> None:
        metadata = read_metadata({**ONNX_PROPERTIES, key: " 8.4"})
        assert metadata is not None
        assert metadata[key] == " 8.4"

    @pytest.mark.parametrize("foreign", [{}, {"names": "x"}, {"producer": "pytorch", "task": "detect"}])
    def test_other_artifacts_have_none(self, foreign: dict[str, str]) -> None:
        assert read_metadata(foreign) is None

    def test_an_export_of_yolov5_counts_with_stride_and_names_alone(self) -> None:
        assert read_metadata({"stride": "32", "names": "['a', 'b']"}) == {"stride": 32, "names": ["a", "b"]}

    @pytest.mark.parametrize("text", ["{0: person}", "{0: 'a'", "{[]: 1}", "__import__('os')", "\0", "(" * 5000])
    def test_what_is_no_literal_stays_text(self, text: str) -> None:
        assert read_metadata({"stride": "32", "names": text}) == {"stride": 32, "names": text}


class TestToLiteral:
    @given(METADATA)
    def test_literal_eval_gives_back_exactly_what_went_in(self, metadata: dict[str, object]) -> None:
        text = to_literal(metadata)
        assert ast.literal_eval(text) == metadata
        assert "\n" not in text

    def test_awkward_class_names_survive(self) -> None:
        names = {0: "it's", 1: 'say "hi"', 2: "back\\slash", 3: "two\nlines", 4: "größe 車", 5: "'\"\\'", 6: "\ud800"}
        assert ast.literal_eval(to_literal({"names": names})) == {"names": names}

    def test_types_of_keys_and_sequences_are_kept(self) -> None:
        text = to_literal({"names": {0: "a"}, "kpt_shape": [17, 3], "pair": (1,), "none": ()})
        assert text == "{'names': {0: 'a'}, 'kpt_shape': [17, 3], 'pair': (1,), 'none': ()}"

    @pytest.mark.parametrize(
        ("value", "plain"),
        [
            (np.float32(0.5), 0.5),
            (np.float64(0.5), 0.5),
            (np.int64(7), 7),
            (np.bool_(True), True),
            (np.str_("a"), "a"),
            (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
            (PurePosixPath("a/b.pt"), "a/b.pt"),
            (date(2026, 11, 24), "2026-11-24"),
            ({3}, [3]),
            (math.nan, None),
            (-math.inf, -math.inf),
        ],
    )
    def test_values_without_a_literal_are_made_plain(self, value: object, plain: object) -> None:
        read_back = ast.literal_eval(to_literal({"x": value}))["x"]
        assert read_back == plain
        assert type(read_back) is type(plain)


class TestInjectMetadata:
    def test_the_served_config_tells_the_client_what_the_artifact_says(self) -> None:
        config = ModelConfig(name="yolo")
        completed = inject_metadata(config, ONNX_PROPERTIES)
        assert client_reads(completed) == read_metadata(ONNX_PROPERTIES)
        assert completed.name == "yolo"
        assert not config.parameters, "the config handed in must not change"

    def test_what_the_user_wrote_wins(self) -> None:
        config = ModelConfig()
        config.parameters["metadata"].string_value = "{'names': {0: 'mine'}}"
        assert inject_metadata(config, ONNX_PROPERTIES) is config

    def test_other_parameters_stay(self) -> None:
        config = ModelConfig()
        config.parameters["mine"].string_value = "1"
        completed = inject_metadata(config, ONNX_PROPERTIES)
        assert completed.parameters["mine"].string_value == "1"
        assert set(completed.parameters) == {"mine", "metadata"}

    def test_an_artifact_of_something_else_leaves_the_config_alone(self) -> None:
        config = ModelConfig()
        assert inject_metadata(config, {"author": "someone"}) is config
        assert not config.parameters

    @given(st.dictionaries(st.integers(0, 99), st.text(st.characters(exclude_categories=["Cs"]))))
    def test_class_names_survive_a_config_file(self, names: dict[int, str]) -> None:
        properties = {**ONNX_PROPERTIES, "names": repr(names)}
        written = dump(inject_metadata(ModelConfig(), properties))
        metadata = client_reads(parse(written, "config.pbtxt"))
        assert isinstance(metadata, dict)
        assert metadata["names"] == names


class TestClientMistakesForFile:
    @pytest.mark.parametrize(
        ("name", "suffix"),
        [
            ("best.pt", ".pt"),
            ("x.onnx", ".onnx"),
            ("YOLO.ONNX", ".onnx"),
            ("yolo_openvino_model", "_openvino_model"),
            ("y_saved_model", "_saved_model"),
            ("my.ptx", ".pt"),
            ("best.pt.onnx", ".onnx"),
            ("best_qnn.onnx", "_qnn.onnx"),
            ("best_edgetpu.tflite", "_edgetpu.tflite"),
            ("old.mlmodel", ".mlmodel"),
        ],
    )
    def test_names_with_a_suffix_of_an_export_format_anywhere(self, name: str, suffix: str) -> None:
        assert client_mistakes_for_file(name) == suffix

    @pytest.mark.parametrize("name", ["yolo", "yolo11n", "pt", "openvino_model", "yolo-1.0", "model.plan"])
    def test_other_names_are_safe(self, name: str) -> None:
        assert client_mistakes_for_file(name) is None

    def test_every_suffix_of_the_installed_ultralytics_is_known(self) -> None:
        spec = find_spec("ultralytics")
        if spec is None or not spec.submodule_search_locations:
            pytest.skip("needs the extra [yolo]")
        source = Path(spec.submodule_search_locations[0], "engine", "exporter.py").read_text(encoding="utf-8")
        suffixes = exported_suffixes(ast.parse(source))
        assert len(suffixes) > 10
        assert {suffix: client_mistakes_for_file(f"yolo{suffix}") for suffix in suffixes} == {
            suffix: suffix for suffix in suffixes
        }


def exported_suffixes(module: ast.Module) -> list[str]:
    """Return the suffixes in the table of Ultralytics' `export_formats`, read without importing torch."""
    function = next(node for node in module.body if isinstance(node, ast.FunctionDef) and node.name == "export_formats")
    table = next(node.value for node in function.body if isinstance(node, ast.Assign))
    return [row[2] for row in ast.literal_eval(table)]
