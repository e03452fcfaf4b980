# SPDX-License-Identifier: Apache-2.0
"""From a model directory to a serving model: each step, and how each may fail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from naiad.backends.base import BackendModel, BackendSettings, ModelFiles, ModelInstance, Placement
from naiad.config.problems import ConfigError
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.model import Model
from naiad.errors import InternalError, InvalidArgumentError
from naiad.repository.loading import Loader, no_versions, read_labels
from naiad.repository.scan import examine

WriteModel = Callable[..., Path]

COMPLETE = """
backend: "fake"
input { name: "x" data_type: TYPE_FP32 dims: 4 }
output { name: "y" data_type: TYPE_FP32 dims: 4 label_filename: "labels.txt" }
"""


@dataclass
class FakeModel:
    """An artifact with one input and one output, which it fills in, and metadata of its own."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    closed: int = 0

    def complete(self, config: ModelConfig) -> ModelConfig:
        completed = ModelConfig()
        completed.CopyFrom(config)
        if not completed.input:
            completed.input.add(name="x", data_type=model_config_pb2.TYPE_FP32, dims=[4])
            completed.output.add(name="y", data_type=model_config_pb2.TYPE_FP32, dims=[4])
        return completed

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        raise AssertionError("making instances is the engine's matter")

    def threads_per_instance(self, config: ModelConfig) -> int:
        return 1

    def close(self) -> None:
        self.closed += 1


@dataclass
class FakeBackend:
    """Remembers what it was asked to open."""

    model: FakeModel = field(default_factory=FakeModel)
    opened: list[tuple[ModelFiles, ModelConfig, BackendSettings]] = field(default_factory=list)
    gpus: tuple[int, ...] = ()

    def usable_gpus(self) -> Sequence[int]:
        return self.gpus

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        self.opened.append((files, config, settings))
        return self.model


@dataclass
class Made:
    """What the last step was given."""

    name: str
    version: int
    config: ModelConfig
    backend_model: BackendModel
    labels: Mapping[str, tuple[str, ...]]
    began_ns: int


def make_model(name: str, version: int, **rest: Any) -> Model:
    return cast(Model, Made(name, version, **rest))


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


@pytest.fixture
def loader(backend: FakeBackend) -> Loader:
    return Loader(make_model, find_backend=lambda _: backend)


def load(loader: Loader, directory: Path) -> Made:
    definition = loader.define(examine(directory))
    return cast(Made, loader.load(definition, definition.versions[-1]))


class TestDefine:
    def test_a_bare_file_is_enough(self, loader: Loader, write_model: WriteModel) -> None:
        definition = loader.define(examine(write_model("yolo", files={"1/model.onnx": ""})))
        assert definition.name == "yolo"
        assert definition.text == ""
        assert (definition.config.backend, definition.config.platform) == ("onnxruntime", "onnxruntime_onnx")
        assert [version.number for version in definition.versions] == [1]

    def test_the_config_is_read_and_its_policy_applied(self, loader: Loader, write_model: WriteModel) -> None:
        text = 'backend: "fake"\nversion_policy { specific { versions: [2, 9] } }'
        definition = loader.define(examine(write_model("m", text, versions="1 2 3")))
        assert definition.text == text
        assert [version.number for version in definition.versions] == [2]
        assert definition.missing_versions == (9,)

    def test_a_byte_order_mark_does_no_harm(self, loader: Loader, write_model: WriteModel) -> None:
        definition = loader.define(examine(write_model("m", '\ufeffbackend: "fake"')))
        assert definition.config.backend == "fake"

    def test_an_unknown_field_is_reported_with_file_and_line(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m", 'backend: "fake"\nfoo: 3\n')
        with pytest.raises(ConfigError) as caught:
            loader.define(examine(directory))
        assert [(problem.file, problem.line) for problem in caught.value.problems] == [
            (str(directory / "config.pbtxt"), 2)
        ]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ('name: "n"', "unexpected directory name 'm' for model 'n', directory name must equal model name"),
            ("sequence_batching { }", "sequence batching is not supported yet"),
        ],
    )
    def test_a_config_that_cannot_be_served_is_refused_before_its_files_are_opened(
        self, loader: Loader, write_model: WriteModel, line: str, message: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            loader.define(examine(write_model("m", f'backend: "fake"\n{line}\n')))
        (problem,) = caught.value.problems
        assert (problem.line, problem.message) == (2, message)

    def test_text_that_is_not_utf8_is_refused(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m")
        (directory / "config.pbtxt").write_bytes(b'backend: "\xff"')
        with pytest.raises(
            InvalidArgumentError, match=r"config\.pbtxt is not UTF-8 text: invalid start byte at byte 10"
        ):
            loader.define(examine(directory))

    def test_without_auto_completion_the_config_must_be_there(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m", files={"1/model.onnx": ""})
        with pytest.raises(InternalError) as caught:
            replace(loader, auto_complete=False).define(examine(directory))
        path = directory / "config.pbtxt"
        assert str(caught.value) == (
            f"failed to open text file for read {path}: No such file or directory; write one, or leave "
            "--disable-auto-complete-config out"
        )

    def test_files_that_tell_no_backend_are_refused(self, loader: Loader, write_model: WriteModel) -> None:
        with pytest.raises(InvalidArgumentError, match="Could not determine backend for model 'm' with no backend"):
            loader.define(examine(write_model("m", files={"1/readme.txt": ""})))


class TestReadAndProblems:
    def test_a_config_that_makes_no_sense_is_read_all_the_same(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m", 'backend: "fake"\nname: "n"\nmax_batch_size: -1')
        definition = loader.read(examine(directory))
        assert definition.config.name == "n"
        assert [problem.field for problem in loader.problems(definition)] == ["name", "max_batch_size"]

    def test_a_good_config_has_no_problems(self, loader: Loader, write_model: WriteModel) -> None:
        assert loader.problems(loader.read(examine(write_model("m", 'backend: "fake"')))) == ()

    def test_a_version_that_the_policy_leaves_out_still_tells_the_backend(
        self, loader: Loader, write_model: WriteModel
    ) -> None:
        directory = write_model("m", "version_policy { specific { versions: 7 } }", files={"1/model.onnx": ""})
        definition = loader.read(examine(directory))
        assert (definition.config.backend, definition.versions) == ("onnxruntime", ())


class TestOpenAndComplete:
    def test_the_config_is_completed_without_instances(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        definition = loader.define(examine(write_model("m", 'backend: "fake"')))
        opened = loader.open(definition, definition.versions[0])
        assert opened is backend.model
        assert [tensor.name for tensor in loader.complete(definition, opened).input] == ["x"]
        assert backend.model.closed == 0, "whoever opens it closes it"


class TestNoVersions:
    TEXT = "at least one version must be available under the version policy of model 'm'"

    def error(self, loader: Loader, directory: Path) -> str:
        definition = loader.define(examine(directory))
        assert definition.versions == ()
        return str(no_versions(definition.found))

    def test_a_file_beside_the_config_is_to_be_moved(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m", versions="", files={"model.onnx": ""})
        fix = f"move {directory / 'model.onnx'} to {directory / '1' / 'model.onnx'}"
        assert self.error(loader, directory) == f"{self.TEXT}; it has no version directory: {fix}"

    def test_an_ignored_directory_is_named(self, loader: Loader, write_model: WriteModel) -> None:
        error = self.error(loader, write_model("m", 'backend: "fake"', versions="01"))
        assert error.startswith(f"{self.TEXT}; it has no version directory (ignore version directory '01' which")

    def test_a_repository_that_was_taken_for_a_model_is_told_as_one(
        self, loader: Loader, write_model: WriteModel
    ) -> None:
        directory = write_model("m", 'backend: "fake"', versions="")
        (directory / "yolo" / "1").mkdir(parents=True)
        told = f"but models (yolo), so it is a repository itself: use --model-repository='{directory}'"
        assert self.error(loader, directory) == f"{self.TEXT}; it has no version directory, {told}"

    def test_it_is_told_also_where_the_missing_files_would_tell_the_backend(
        self, loader: Loader, write_model: WriteModel
    ) -> None:
        directory = write_model("m", 'name: "m"', versions="")
        with pytest.raises(InvalidArgumentError) as caught:
            loader.define(examine(directory))
        fix = f"put the model's file into {directory / '1'}"
        assert str(caught.value) == f"{self.TEXT}; it has no version directory: {fix}"

    def test_a_policy_that_fits_none_lists_what_is_there(self, loader: Loader, write_model: WriteModel) -> None:
        directory = write_model("m", 'backend: "fake" version_policy { specific { versions: 7 } }', versions="1 2")
        path = directory / "config.pbtxt"
        assert self.error(loader, directory) == f"{self.TEXT}; it has 1, 2: correct version_policy in {path}"


class TestLoad:
    def test_the_backend_is_told_files_config_and_settings(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        directory = write_model("m", 'backend: "fake"', versions="1 2")
        load(replace(loader, backend_options=lambda name: {"for": name}, usable_cores=3), directory)
        files, config, settings = backend.opened[0]
        assert files == ModelFiles(directory, directory / "2")
        assert (config.name, config.backend) == ("m", "fake")
        assert settings == BackendSettings({"for": "fake"}, usable_cores=3, auto_complete=True)

    def test_the_model_is_made_with_the_completed_config(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        made = load(loader, write_model("m", 'backend: "fake"', versions="4"))
        assert (made.name, made.version, made.labels) == ("m", 4, {})
        assert made.backend_model is backend.model
        assert made.config.input[0].name == "x"
        assert made.config.version_policy.latest.num_versions == 1
        assert [group.count for group in made.config.instance_group] == [1]
        assert backend.model.closed == 0, "the model owns what the backend opened"

    def test_without_auto_completion_the_artifact_adds_nothing(self, loader: Loader, write_model: WriteModel) -> None:
        made = load(replace(loader, auto_complete=False), write_model("m", 'backend: "fake"'))
        assert not made.config.input
        assert made.config.version_policy.latest.num_versions == 1

    def test_completers_see_the_metadata_of_the_artifact_in_turn(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        def note(key: str) -> Callable[[ModelConfig, Mapping[str, str]], ModelConfig]:
            def complete(config: ModelConfig, metadata: Mapping[str, str]) -> ModelConfig:
                completed = ModelConfig()
                completed.CopyFrom(config)
                completed.parameters[key].string_value = f"{metadata['task']}{len(config.parameters)}"
                return completed

            return complete

        backend.model.metadata = {"task": "pose"}
        made = load(replace(loader, completers=(note("a"), note("b"))), write_model("m", 'backend: "fake"'))
        assert {key: value.string_value for key, value in made.config.parameters.items()} == {
            "a": "pose0",
            "b": "pose1",
        }

    def test_labels_lie_beside_the_config(self, loader: Loader, write_model: WriteModel) -> None:
        made = load(loader, write_model("m", COMPLETE, files={"labels.txt": "cat\nit's a dog\n\nпёс\n"}))
        assert made.labels == {"y": ("cat", "it's a dog", "", "пёс")}

    def test_a_missing_label_file_fails_in_tritons_words(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        directory = write_model("m", COMPLETE)
        with pytest.raises(InternalError) as caught:
            load(loader, directory)
        path = directory / "labels.txt"
        assert str(caught.value) == (
            f"failed to open text file for read {path}: No such file or directory; write the labels there, one a line, "
            "or take label_filename away"
        )
        assert backend.model.closed == 1, "what was opened must be closed again"

    def test_a_completed_config_that_makes_no_sense_is_refused_and_what_was_opened_is_closed(
        self, loader: Loader, backend: FakeBackend, write_model: WriteModel
    ) -> None:
        def spoil(config: ModelConfig, metadata: Mapping[str, str]) -> ModelConfig:
            spoilt = ModelConfig()
            spoilt.CopyFrom(config)
            spoilt.max_batch_size = -1
            return spoilt

        with pytest.raises(ConfigError, match="'max_batch_size' must be non-negative value for m"):
            load(replace(loader, completers=[spoil]), write_model("m", 'backend: "fake"'))
        assert backend.model.closed == 1

    def test_instances_go_to_the_gpus_there_are(
        self, backend: FakeBackend, loader: Loader, write_model: WriteModel
    ) -> None:
        directory = write_model("m", 'backend: "fake"\ninstance_group { kind: KIND_GPU }')
        backend.gpus = (0, 1)
        assert list(load(loader, directory).config.instance_group[0].gpus) == [0, 1]
        backend.gpus = ()
        with pytest.raises(ConfigError, match="instance_group"):
            load(loader, directory)


class TestReadLabels:
    @staticmethod
    def config(outputs: Sequence[tuple[str, str]]) -> ModelConfig:
        config = ModelConfig()
        for name, label_filename in outputs:
            config.output.add(name=name, label_filename=label_filename)
        return config

    def test_windows_line_ends_are_no_part_of_a_label(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"one\r\ntwo\x0bthree")
        assert read_labels(self.config([("y", "a.txt"), ("z", "")]), tmp_path) == {"y": ("one", "two\x0bthree")}

    def test_a_file_in_a_folder_of_the_model_is_fine(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        (tmp_path / "sub" / "a.txt").write_text("one")
        assert read_labels(self.config([("y", "sub/../sub/a.txt")]), tmp_path) == {"y": ("one",)}

    @pytest.mark.parametrize("filename", ["../secret.txt", "/etc/hostname", "sub/../../secret.txt"])
    def test_a_path_out_of_the_model_is_refused(self, tmp_path: Path, filename: str) -> None:
        (tmp_path / "secret.txt").write_text("secret")
        directory = tmp_path / "m"
        directory.mkdir()
        with pytest.raises(InvalidArgumentError, match=r"of output 'y' leads out of the model's directory"):
            read_labels(self.config([("y", filename)]), directory)
