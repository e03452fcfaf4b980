# SPDX-License-Identifier: Apache-2.0
import os
from pathlib import Path

import pytest

from naiad.deployment.writer import next_version, publish_version, replace_text, staging_folder


def test_the_first_version_is_one_and_the_next_follows_the_largest(tmp_path: Path) -> None:
    assert next_version(tmp_path) == 1
    for name in ("2", "10", "notes", ".deploying-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "99").touch()
    assert next_version(tmp_path) == 11


def test_a_version_appears_complete_and_nothing_else_stays(tmp_path: Path) -> None:
    model = tmp_path / "models" / "yolo"
    with staging_folder(model) as staged:
        (staged / "1").mkdir()
        (staged / "1" / "model.onnx").write_bytes(b"weights")
        assert not [entry for entry in model.iterdir() if not entry.name.startswith(".")]
        assert publish_version(staged / "1", model) == 1
    assert [path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()] == ["1/model.onnx"]
    assert [entry.name for entry in model.iterdir()] == ["1"]


def test_a_failure_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError), staging_folder(tmp_path / "models" / "yolo") as staged:
        staged.mkdir()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_earlier_versions_alone(tmp_path: Path) -> None:
    (tmp_path / "yolo" / "1").mkdir(parents=True)
    with pytest.raises(RuntimeError, match="export"), staging_folder(tmp_path / "yolo"):
        raise RuntimeError("export")
    assert [entry.name for entry in (tmp_path / "yolo").iterdir()] == ["1"]


def test_a_version_taken_in_the_same_moment_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged = tmp_path / ".staged"
    staged.mkdir()
    rename = Path.rename

    def rename_after_somebody_else(path: Path, target: Path) -> Path:
        monkeypatch.setattr(Path, "rename", rename)
        (target / "theirs").mkdir(parents=True)
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", rename_after_somebody_else)
    assert publish_version(staged, tmp_path) == 2
    assert (tmp_path / "1" / "theirs").is_dir()


def test_a_folder_that_cannot_be_renamed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        publish_version(tmp_path / "missing", tmp_path)


def test_a_text_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text("old")
    replace_text(path, "naïve")
    assert path.read_text(encoding="utf-8") == "naïve"
    assert os.listdir(tmp_path) == ["config.pbtxt"]  # noqa: PTH208
    assert path.stat().st_mode & 0o777 == 0o644
