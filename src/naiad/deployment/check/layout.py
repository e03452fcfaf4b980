# SPDX-License-Identifier: Apache-2.0
"""Rules about folders and files: what lies where, and under which name.

They look at the disk, and read only the first bytes of files. May import `repository`.
"""

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from naiad.config.problems import Problem
from naiad.deployment.check.contents import foreign_content
from naiad.deployment.check.findings import Finding, Severity, command
from naiad.deployment.names import MODEL_FILENAME, suggest_model_name
from naiad.repository.scan import CONFIG_FILENAME, FoundModel, FoundVersion, examine, models_inside

_ONNX = ".onnx"
_OTHER_WEIGHTS = (".pt", ".pth", ".engine", ".plan", ".torchscript", ".xml", ".tflite", ".pb")
_WEIGHTS = (_ONNX, *_OTHER_WEIGHTS)


def check_root(repository: Path) -> Iterator[Finding]:
    """Yield the weights that lie beside the model directories, where nobody looks for them."""
    for name in examine(repository).filenames:
        if name.endswith(_WEIGHTS):
            model = suggest_model_name(Path(name).stem)
            yield _finding(
                "loose-weights",
                Severity.WARNING,
                repository / name,
                "weights beside the models are not served",
                expected="models in directories of their own",
                got=name,
                fix=command("naiad", "deploy", repository / name, "--name", model, "--repository", repository),
                corrected=str(repository / model / "1" / MODEL_FILENAME),
            )


def check_duplicate(name: str, places: Sequence[Path]) -> Finding:
    """Return the finding for a model that lies in more than one repository."""
    return _finding(
        "duplicate-model",
        Severity.ERROR,
        places[-1],
        "model appears in two or more repositories, and is served from none",
        expected=f"one directory called '{name}'",
        got=", ".join(map(str, places)),
        fix="rename or remove all but one of them",
        corrected=str(places[-1].with_name(f"{name}-2")),
    )


def check_layout(found: FoundModel) -> Iterator[Finding]:
    """Yield what is wrong with the versions of a model, whatever its config says."""
    inside = models_inside(found)
    if inside:
        yield _finding(
            "nested-repository",
            Severity.ERROR,
            found.directory,
            "the directory holds models, so it is no model, but a repository itself",
            expected="version directories such as 1",
            got=", ".join(inside),
            fix=command("naiad", "check", found.directory),
        )
        return
    yield from _check_version_names(found)
    yield from _check_loose_files(found)
    if not found.versions and not found.ignored and not _weights(found.filenames):
        yield _finding(
            "no-version",
            Severity.ERROR,
            found.directory,
            "the model has no version directory",
            expected=f"1/{MODEL_FILENAME}",
            got=", ".join(found.filenames) or "an empty directory",
            fix=_deploy("WEIGHTS", found),
            corrected=str(found.directory / "1" / MODEL_FILENAME),
        )


def check_missing_versions(found: FoundModel, missing: Iterable[int]) -> Iterator[Finding]:
    """Yield the versions that the config names and that are not there."""
    for number in missing:
        yield _finding(
            "version-missing",
            Severity.WARNING,
            found.directory / CONFIG_FILENAME,
            f"version {number} is specified, but its directory is not there",
            field="version_policy.specific.versions",
            expected=str(found.directory / str(number)),
            got=", ".join(str(version.number) for version in found.versions) or "no version",
            fix="put it there, or take it out of version_policy",
        )


def check_model_file(found: FoundModel, version: FoundVersion, filename: str) -> Iterator[Finding]:
    """Yield what is wrong with the ONNX file of a version, which should be called `filename`."""
    path = version.directory / filename
    if path.is_dir():
        path /= MODEL_FILENAME  # a model with external data
    if path.is_file():
        yield from _check_content(found, path)
        return
    onnx = [name for name in version.filenames if name.endswith(_ONNX)]
    others = tuple(check_format(found, version))
    if onnx:
        yield _finding(
            "file-name",
            Severity.ERROR,
            version.directory / onnx[0],
            "the model file has another name than the server looks for",
            expected=filename,
            got=", ".join(onnx),
            fix=f"name it in {CONFIG_FILENAME}, or {command('mv', version.directory / onnx[0], path)}",
            corrected=f'default_model_filename: "{onnx[0]}"',
        )
    elif others:
        yield from others
    else:
        yield _finding(
            "no-model-file",
            Severity.ERROR,
            version.directory,
            f"version {version.number} holds no model file",
            expected=filename,
            got=", ".join(version.filenames) or "an empty directory",
            fix=_move_up(version, path) or f"put the ONNX file there, as {path}",
            corrected=str(path),
        )


def check_format(found: FoundModel, version: FoundVersion) -> Iterator[Finding]:
    """Yield the weights of a version that are of another format than ONNX."""
    for name in version.filenames:
        if not name.endswith(_OTHER_WEIGHTS):
            continue
        file = version.directory / name
        content = foreign_content(file) if file.is_file() else None
        weights = file if file.suffix == ".pt" else "WEIGHTS.pt"
        yield _finding(
            "file-format",
            Severity.ERROR,
            file,
            f"'{file.suffix}' files are not served in this version of Naiad",
            expected=MODEL_FILENAME,
            got=f"{name}, {content.what}" if content else name,
            fix=f"export the model to ONNX, {_deploy(weights, found)}",
            corrected=str(version.directory / MODEL_FILENAME),
        )


def _check_version_names(found: FoundModel) -> Iterator[Finding]:
    severity = Severity.WARNING if found.versions else Severity.ERROR
    for sentence in found.ignored:
        name = sentence.split("'")[1]
        number = "".join(filter(str.isdecimal, name)).lstrip("0")[:18]
        free = number if number and not (found.directory / number).exists() else str(_next_version(found))
        yield _finding(
            "version-name",
            severity,
            found.directory / name,
            f"directory '{name}' is no version, and is ignored",
            expected="a whole number without leading zeros",
            got=f"'{name}'",
            fix=command("mv", found.directory / name, found.directory / free),
            corrected=str(found.directory / free),
        )


def _check_loose_files(found: FoundModel) -> Iterator[Finding]:
    severity = Severity.WARNING if found.versions else Severity.ERROR
    for name in _weights(found.filenames):
        suffix = Path(name).suffix
        target = found.directory / str(_next_version(found)) / (MODEL_FILENAME if suffix == _ONNX else f"model{suffix}")
        if suffix == _ONNX:
            move = shlex.join(["mv", str(found.directory / name), str(target)])
            fix = f"{command('mkdir', '-p', target.parent)} && {move}"
        else:
            fix = _deploy(found.directory / name, found)
        yield _finding(
            "file-place",
            severity,
            found.directory / name,
            "the model file lies beside the version directories, where it is not looked for",
            expected=str(target.relative_to(found.directory.parent)),
            got=f"{found.name}/{name}",
            fix=fix,
            corrected=str(target if suffix == _ONNX else target.with_name(MODEL_FILENAME)),
        )


def _check_content(found: FoundModel, path: Path) -> Iterator[Finding]:
    content = foreign_content(path)
    if content is not None:
        yield _finding(
            "file-content",
            Severity.ERROR,
            path,
            "the model file is no ONNX model",
            expected="an ONNX model",
            got=content.what,
            fix=content.fix.format(
                file=shlex.quote(str(path)),
                name=shlex.quote(found.name),
                repository=shlex.quote(str(found.directory.parent)),
            ),
            corrected=str(path),
        )


def _move_up(version: FoundVersion, path: Path) -> str:
    """Return how to move a model file that lies in a folder too deep; empty if there is none."""
    deeper = sorted(version.directory.glob(f"*/*{_ONNX}"))
    return command("mv", deeper[0], path) if deeper else ""


def _deploy(weights: Path | str, found: FoundModel) -> str:
    return command("naiad", "deploy", weights, "--name", found.name, "--repository", found.directory.parent)


def _next_version(found: FoundModel) -> int:
    return max((version.number for version in found.versions), default=0) + 1


def _weights(filenames: Iterable[str]) -> list[str]:
    return [name for name in filenames if name.endswith(_WEIGHTS)]


def _finding(
    rule: str,
    severity: Severity,
    path: Path,
    message: str,
    *,
    expected: str,
    got: str,
    fix: str,
    field: str = "",
    corrected: str = "",
) -> Finding:
    return Finding(rule, severity, Problem(str(path), 0, field, message, expected, got, fix), corrected)
