# SPDX-License-Identifier: Apache-2.0
"""What the scan of model repositories finds, skips and refuses."""

import re
from pathlib import Path

import pytest

from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.repository.scan import check_repositories, examine, list_models, objection_to_emptiness


def write(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


class TestListModels:
    def test_every_directory_is_a_model_in_the_order_of_names(self, tmp_path: Path) -> None:
        for name in ("b", "a", "Z", "with space"):
            (tmp_path / name).mkdir()
        assert list(list_models([tmp_path])) == ["Z", "a", "b", "with space"]

    def test_files_and_hidden_directories_are_no_models(self, tmp_path: Path) -> None:
        write(tmp_path / "README.md")
        for name in (".git", "__pycache__", "lost+found"):
            (tmp_path / name).mkdir()
        assert list_models([tmp_path]) == {}

    def test_a_name_in_two_repositories_has_two_places(self, tmp_path: Path) -> None:
        places = (tmp_path / "one" / "m", tmp_path / "two" / "m")
        for place in places:
            place.mkdir(parents=True)
        assert list_models([place.parent for place in places]) == {"m": places}

    def test_the_same_repository_twice_makes_nothing_ambiguous(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        assert list_models([tmp_path, tmp_path / "m" / ".."]) == {"m": (tmp_path / "m",)}

    def test_a_repository_that_has_gone_holds_nothing(self, tmp_path: Path) -> None:
        assert list_models([tmp_path / "gone"]) == {}

    def test_a_linked_model_goes_by_the_name_of_its_link(self, tmp_path: Path) -> None:
        (tmp_path / "store" / "v7").mkdir(parents=True)
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "yolo").symlink_to(tmp_path / "store" / "v7", target_is_directory=True)
        assert list(list_models([tmp_path / "models"])) == ["yolo"]


class TestExamine:
    def test_versions_are_sorted_as_numbers_and_know_their_files(self, tmp_path: Path) -> None:
        for version in ("10", "2", "0"):
            write(tmp_path / version / "model.onnx")
        write(tmp_path / "10" / ".DS_Store")
        write(tmp_path / "10" / "labels.txt")
        found = examine(tmp_path)
        assert [version.number for version in found.versions] == [0, 2, 10]
        assert found.versions[2].filenames == ("labels.txt", "model.onnx")
        assert found.versions[2].directory == tmp_path / "10"

    def test_leading_zeros_and_what_is_no_number_are_ignored_in_tritons_words(self, tmp_path: Path) -> None:
        for name in ("007", "00", "abc", "1x", "-1", "٣", "9" * 19, "9" * 200):
            (tmp_path / name).mkdir()
        found = examine(tmp_path)
        assert found.versions == ()
        assert "ignore version directory '007' which contains leading zeros in its directory name" in found.ignored
        assert "ignore version directory 'abc' which fails to convert to integral number" in found.ignored
        assert len(found.ignored) == 8

    def test_directories_that_triton_knows_and_hidden_ones_are_skipped_without_a_word(self, tmp_path: Path) -> None:
        for name in ("warmup", "initial_state", "configs", ".ipynb_checkpoints", "__pycache__", "1"):
            (tmp_path / name).mkdir()
        found = examine(tmp_path)
        assert [version.number for version in found.versions] == [1]
        assert found.ignored == ()

    def test_a_file_named_like_a_version_is_none(self, tmp_path: Path) -> None:
        write(tmp_path / "1")
        found = examine(tmp_path)
        assert (found.versions, found.filenames) == ((), ("1",))

    def test_the_largest_64_bit_number_is_a_version(self, tmp_path: Path) -> None:
        (tmp_path / str(2**63 - 1)).mkdir()
        assert [version.number for version in examine(tmp_path).versions] == [2**63 - 1]

    def test_the_config_is_found_where_there_is_one(self, tmp_path: Path) -> None:
        assert examine(tmp_path).config_path is None
        path = write(tmp_path / "config.pbtxt")
        assert examine(tmp_path).config_path == path


class TestCheckRepositories:
    def test_a_repository_of_models_passes(self, tmp_path: Path) -> None:
        write(tmp_path / "yolo" / "1" / "model.onnx")
        check_repositories([tmp_path])

    def test_a_model_may_be_called_by_a_number(self, tmp_path: Path) -> None:
        write(tmp_path / "1" / "1" / "model.onnx")
        write(tmp_path / "2" / "config.pbtxt")
        check_repositories([tmp_path])

    def test_a_repository_may_be_called_by_a_number(self, tmp_path: Path) -> None:
        write(tmp_path / "1" / "yolo" / "1" / "model.onnx")
        check_repositories([tmp_path / "1"])

    def test_a_missing_path_says_how_to_make_it(self, tmp_path: Path) -> None:
        path = tmp_path / "models"
        with pytest.raises(NotFoundError, match=rf"^model repository '{path}' does not exist: .* mkdir -p '{path}'"):
            check_repositories([tmp_path, path])

    def test_a_file_says_to_deploy_it(self, tmp_path: Path) -> None:
        path = write(tmp_path / "yolo.onnx")
        with pytest.raises(InvalidArgumentError, match=rf"is a file: .* naiad deploy '{path}'$"):
            check_repositories([path])

    @pytest.mark.parametrize("filename", ["config.pbtxt", "1/model.onnx", "3/model.savedmodel/saved_model.pb"])
    def test_a_model_says_to_use_its_parent(self, tmp_path: Path, filename: str) -> None:
        write(tmp_path / "yolo" / filename)
        expected = rf"is itself a model's directory: .* use --model-repository='{tmp_path}'$"
        with pytest.raises(InvalidArgumentError, match=expected):
            check_repositories([tmp_path / "yolo"])

    def test_a_version_says_to_use_its_grandparent(self, tmp_path: Path) -> None:
        write(tmp_path / "yolo" / "1" / "model.onnx")
        expected = rf"is itself a version of a model: .* use --model-repository='{tmp_path}'$"
        with pytest.raises(InvalidArgumentError, match=expected):
            check_repositories([tmp_path / "yolo" / "1"])

    def test_a_relative_path_is_advised_with_an_absolute_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write(tmp_path / "yolo" / "1" / "model.onnx")
        monkeypatch.chdir(tmp_path / "yolo")
        with pytest.raises(InvalidArgumentError, match=rf"use --model-repository='{tmp_path}'$"):
            check_repositories([Path()])


class TestObjectionToEmptiness:
    def test_one_model_in_any_repository_is_enough(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "full" / "yolo").mkdir(parents=True)
        assert objection_to_emptiness([tmp_path / "empty", tmp_path / "full"]) == ""

    def test_none_at_all_says_how_to_get_one(self, tmp_path: Path) -> None:
        expected = rf"^no model in the model repository '{tmp_path}': .* --repository '{tmp_path}'$"
        assert re.match(expected, objection_to_emptiness([tmp_path]))

    def test_weights_that_lie_there_loose_are_named(self, tmp_path: Path) -> None:
        path = write(tmp_path / "best.onnx")
        write(tmp_path / "notes.txt")
        text = objection_to_emptiness([tmp_path])
        assert re.search(rf"got '{path}'; .* naiad deploy '{path}' --repository", text)
