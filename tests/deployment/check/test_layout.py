# SPDX-License-Identifier: Apache-2.0
"""Files in the wrong place, under the wrong name, of the wrong kind."""

import zipfile
from io import BytesIO

import pytest
from tests.deployment.check.repositories import Repository

from naiad.deployment.check import Severity, check


def archive(*names: str) -> bytes:
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        for name in names:
            file.writestr(name, b"")
    return made.getvalue()


class TestVersions:
    def test_an_empty_directory_needs_a_version(self, repository: Repository) -> None:
        (repository.path / "m").mkdir()
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("no-version", Severity.ERROR)
        assert finding.corrected == str(repository.path / "m" / "1" / "model.onnx")

    @pytest.mark.parametrize(("name", "meant"), [("v2", "2"), ("01", "1"), ("latest", "1")])
    def test_a_directory_that_is_no_number_is_to_be_renamed(
        self, repository: Repository, name: str, meant: str
    ) -> None:
        repository.onnx(f"m/{name}/model.onnx")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("version-name", Severity.ERROR)
        assert finding.problem.file == str(repository.path / "m" / name)
        assert finding.corrected == str(repository.path / "m" / meant)
        assert finding.problem.fix == f"run: mv {repository.path / 'm' / name} {repository.path / 'm' / meant}"

    @pytest.mark.parametrize("file", ["yolo/config.pbtxt", "yolo/1/model.onnx"])
    def test_a_directory_that_holds_models_is_a_repository_and_nothing_is_to_be_renamed(
        self, repository: Repository, file: str
    ) -> None:
        repository.write(f"models/{file}", b"")
        finding = repository.only_finding("models")
        assert (finding.rule, finding.severity) == ("nested-repository", Severity.ERROR)
        assert (finding.problem.got, finding.corrected) == ("yolo", "")
        assert finding.problem.fix == f"run: naiad check {repository.path / 'models'}"

    def test_beside_a_good_version_it_is_a_warning_and_no_number_is_taken_twice(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.onnx("m/v1/model.onnx")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("version-name", Severity.WARNING)
        assert finding.corrected == str(repository.path / "m" / "2")

    def test_a_version_that_the_policy_names_and_nobody_has_is_a_warning(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", "version_policy { specific { versions: [1, 5] } }")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("version-missing", Severity.WARNING)
        assert finding.problem.expected == str(repository.path / "m" / "5")

    def test_a_policy_that_fits_no_version_is_an_error(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        repository.config("m", "version_policy { specific { versions: [5] } }")
        assert [finding.rule for finding in repository.check("m").findings] == ["no-version", "version-missing"]


class TestPlaces:
    def test_a_file_beside_the_config_is_to_be_moved(self, repository: Repository) -> None:
        path = repository.onnx("m/model.onnx")
        repository.config("m", "")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("file-place", Severity.ERROR)
        assert (finding.problem.file, finding.problem.expected) == (str(path), "m/1/model.onnx")
        assert finding.problem.fix == f"run: mkdir -p {path.parent / '1'} && mv {path} {path.parent / '1/model.onnx'}"

    def test_weights_beside_a_good_version_are_a_warning(self, repository: Repository) -> None:
        repository.onnx("m/1/model.onnx")
        path = repository.write("m/best.pt", archive("best/data.pkl"))
        finding = repository.only_finding("m")
        assert (finding.rule, finding.severity) == ("file-place", Severity.WARNING)
        assert finding.problem.fix == f"run: naiad deploy {path} --name m --repository {repository.path}"

    def test_weights_beside_the_models_are_a_warning_about_no_model(self, repository: Repository) -> None:
        path = repository.onnx("my best.onnx")
        report = check([repository.path])
        (finding,) = report.findings
        assert (report.models, finding.rule, finding.problem.file) == ((), "loose-weights", str(path))
        assert finding.corrected == str(repository.path / "my-best" / "1" / "model.onnx")
        assert finding.problem.fix == f"run: naiad deploy '{path}' --name my-best --repository {repository.path}"

    def test_a_file_in_a_folder_too_deep_is_to_be_moved_up(self, repository: Repository) -> None:
        path = repository.onnx("m/1/weights/best.onnx")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.got) == ("no-model-file", "weights")
        assert finding.problem.fix == f"run: mv {path} {repository.path / 'm/1/model.onnx'}"

    def test_an_empty_version_says_what_belongs_there(self, repository: Repository) -> None:
        (repository.path / "m" / "1").mkdir(parents=True)
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.got) == ("no-model-file", "an empty directory")
        assert finding.corrected == str(repository.path / "m/1/model.onnx")

    def test_a_model_in_two_repositories_is_served_from_none(self, repository: Repository) -> None:
        other = Repository(repository.path.parent / "more")
        for one in (repository, other):
            one.onnx("m/1/model.onnx")
        report = check([repository.path, other.path, repository.path])
        assert [model.served for model in report.models] == [(), ()]
        assert {finding.rule for model in report.models for finding in model.findings} == {"duplicate-model"}
        assert report.models[0].findings[0].corrected == str(other.path / "m-2")


class TestNames:
    @pytest.mark.parametrize("config", ["", 'backend: "onnxruntime"\ninput { name: "images" }'])
    def test_a_file_of_another_name_is_to_be_renamed_or_named(self, repository: Repository, config: str) -> None:
        path = repository.onnx("m/1/best.onnx")
        repository.config("m", config)
        finding = next(one for one in repository.check("m").findings if one.rule == "file-name")
        assert (finding.problem.expected, finding.problem.got) == ("model.onnx", "best.onnx")
        assert finding.corrected == 'default_model_filename: "best.onnx"'
        assert f"mv {path} {path.with_name('model.onnx')}" in finding.problem.fix

    def test_the_corrected_text_mends_it(self, repository: Repository) -> None:
        repository.onnx("m/1/best.onnx")
        repository.config("m", f'backend: "onnxruntime"\n{repository.only_finding("m").corrected}')
        assert repository.check("m").findings == ()


class TestContents:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (b"", "an empty file"),
            (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer, not the file it points to"),
            (b"<!DOCTYPE html>", "a web page"),
            (b"ptrt\x00\x00", "a TensorRT engine"),
            (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
            (b"\x89HDF\r\n", "a Keras file (HDF5)"),
            (b"\x80\x02\x8a", "a PyTorch checkpoint (pickle)"),
            (archive("best/data.pkl"), "a PyTorch checkpoint"),
            (archive("best/code/x.py", "best/data.pkl"), "a TorchScript model"),
            (archive("readme.txt"), "a zip archive"),
        ],
    )
    def test_what_is_no_onnx_is_told_for_what_it_is(self, repository: Repository, content: bytes, what: str) -> None:
        path = repository.write("m/1/model.onnx", content)
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.file, finding.problem.got) == ("file-content", str(path), what)
        assert "{" not in finding.problem.fix

    def test_an_engine_of_ultralytics_is_told_by_its_header(self, repository: Repository) -> None:
        header = b'{"description": "Ultralytics YOLO11n model"}'
        repository.write("m/1/model.onnx", len(header).to_bytes(4, "little") + header + b"ptrt")
        finding = repository.only_finding("m")
        assert finding.problem.got.startswith("a TensorRT engine with Ultralytics' header")

    @pytest.mark.parametrize("name", ["model.pt", "best.engine", "model.plan", "model.xml"])
    def test_another_format_is_to_be_exported(self, repository: Repository, name: str) -> None:
        path = repository.write(f"m/1/{name}", b"something")
        finding = repository.only_finding("m")
        assert (finding.rule, finding.problem.file) == ("file-format", str(path))
        assert "naiad deploy " in finding.problem.fix
