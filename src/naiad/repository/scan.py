# SPDX-License-Identifier: Apache-2.0
"""What lies in the model repositories: model directories, their versions, their files.

Looks at the disk and judges names, reads no file. May import `errors`.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from naiad.errors import InvalidArgumentError, NotFoundError

CONFIG_FILENAME = "config.pbtxt"
"""The file, beside the version directories, that holds a model's config."""

_NOT_A_MODEL = frozenset({"__pycache__", "lost+found"})
_NOT_A_VERSION = frozenset({"warmup", "initial_state", "configs", "__pycache__"})
_WEIGHTS = (".onnx", ".pt")  # what `naiad deploy` takes
_VERSION = re.compile(r"[0-9]{1,19}")  # longer ones don't fit 64 bits
_LARGEST_VERSION = 2**63 - 1


@dataclass(frozen=True, slots=True)
class FoundVersion:
    """A version directory: its number, itself, and the names in it, sorted."""

    number: int
    directory: Path
    filenames: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model directory: its name, itself, its versions ascending, the loose files beside them.

    `ignored` holds a sentence for every directory that looks like a version and is none.
    """

    name: str
    directory: Path
    versions: tuple[FoundVersion, ...] = ()
    filenames: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def config_path(self) -> Path | None:
        """Where the model's config lies, None where it has none."""
        return self.directory / CONFIG_FILENAME if CONFIG_FILENAME in self.filenames else None


def list_models(repositories: Sequence[Path]) -> dict[str, tuple[Path, ...]]:
    """Return the model directories of all `repositories` by model name, sorted by name.

    A name with more than one directory is ambiguous and must not be served. Hidden directories are no models; the
    same repository given twice counts once; one that has gone since the start holds nothing.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for repository in dict.fromkeys(path.resolve() for path in repositories):
        for directory in _subdirectories(repository):
            if directory.name not in _NOT_A_MODEL:
                found[directory.name] = (*found.get(directory.name, ()), directory)
    return dict(sorted(found.items()))


def examine(directory: Path) -> FoundModel:
    """Return what a model directory holds.

    Version directories are named by a plain integer; one with leading zeros is ignored, as Triton does.
    """
    versions: list[FoundVersion] = []
    ignored: list[str] = []
    for child in _subdirectories(directory):
        if child.name in _NOT_A_VERSION:
            continue
        objection = _version_objection(child.name)
        if objection:
            ignored.append(f"ignore version directory '{child.name}' which {objection}")
        else:
            versions.append(FoundVersion(int(child.name), child, _visible_names(child)))
    return FoundModel(
        name=directory.name,
        directory=directory,
        versions=tuple(sorted(versions, key=lambda version: version.number)),
        filenames=tuple(name for name in _visible_names(directory) if (directory / name).is_file()),
        ignored=tuple(ignored),
    )


def models_inside(found: FoundModel) -> list[str]:
    """Return the directories in a model without versions that look like models: it is a repository, then."""
    if found.versions:
        return []
    names = [child.name for child in _subdirectories(found.directory) if child.name not in _NOT_A_VERSION]
    return [name for name in names if _looks_like_a_model(examine(found.directory / name))]


def _looks_like_a_model(found: FoundModel) -> bool:
    return bool(found.versions) or found.config_path is not None


def check_repositories(repositories: Sequence[Path]) -> None:
    """Refuse paths that cannot be model repositories, the usual first mistakes above all.

    Raises:
        NotFoundError: a path does not exist.
        InvalidArgumentError: a path is a file, cannot be read, or is itself a model or a version of one.
    """
    for repository in repositories:
        _check_repository(repository)


def objection_to_emptiness(repositories: Sequence[Path]) -> str:
    """Return what to tell about repositories that hold no model between them, which may be a mistake; else ""."""
    if list_models(repositories):
        return ""
    where = ", ".join(f"'{path}'" for path in repositories)
    loose = [path / name for path in repositories for name in examine(path).filenames if name.endswith(_WEIGHTS)]
    got = ", ".join(f"'{path}'" for path in loose) or "none"
    weights = f"'{loose[0]}'" if loose else "yolo.onnx"
    return (
        f"no model in the model repository {where}: expected directories such as yolo/1/model.onnx in it, got {got}; "
        f"put a model there with: naiad deploy {weights} --repository '{repositories[0]}'"
    )


def _check_repository(path: Path) -> None:
    if not path.exists():
        raise NotFoundError(
            f"model repository '{path}' does not exist: expected a directory; make it with: mkdir -p '{path}', "
            "or correct --model-repository"
        )
    if not path.is_dir():
        raise InvalidArgumentError(
            f"model repository '{path}' is a file: expected a directory that holds <model>/<version>/{path.name}; "
            f"put the file into a repository with: naiad deploy '{path}'"
        )
    if not os.access(path, os.R_OK | os.X_OK):
        raise InvalidArgumentError(
            f"model repository '{path}' cannot be read by this user: expected read permission; "
            f"grant it with: chmod -R a+rX '{path}'"
        )
    model = _model_directory_of(path.resolve())
    if model is not None:
        what = "a model's directory" if model == path.resolve() else "a version of a model"
        raise InvalidArgumentError(
            f"model repository '{path}' is itself {what}: expected the directory that holds the model's; "
            f"use --model-repository='{model.parent}'"
        )


def _model_directory_of(path: Path) -> Path | None:
    """Return the model directory that `path` is, or is a version of; None where it may well be a repository."""
    found = examine(path)
    if CONFIG_FILENAME in found.filenames or any(map(_holds_artifact, found.versions)):
        return path
    if not _version_objection(path.name) and _has_artifact(found.filenames):
        return path.parent
    return None


def _holds_artifact(version: FoundVersion) -> bool:
    """Tell a version from a model whose name happens to be a number: that one holds its config and versions."""
    return CONFIG_FILENAME not in version.filenames and _has_artifact(version.filenames)


def _has_artifact(filenames: Sequence[str]) -> bool:
    return any(name.startswith("model.") for name in filenames)


def _version_objection(name: str) -> str:
    """Return why `name` is no version, in Triton's words; empty if it is one."""
    if not _VERSION.fullmatch(name) or int(name) > _LARGEST_VERSION:
        return "fails to convert to integral number"
    if name.startswith("0") and name != "0":
        return "contains leading zeros in its directory name"
    return ""


def _subdirectories(directory: Path) -> list[Path]:
    if not directory.is_dir():
        return []
    return sorted(child for child in directory.iterdir() if not child.name.startswith(".") and child.is_dir())


def _visible_names(directory: Path) -> tuple[str, ...]:
    return tuple(sorted(child.name for child in directory.iterdir() if not child.name.startswith(".")))
