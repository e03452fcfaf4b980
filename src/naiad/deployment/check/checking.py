# SPDX-License-Identifier: Apache-2.0
"""The check itself: every model of some repositories, taken through the steps of a load, short of its instances.

The steps are the server's own, so that what is served and what is refused is decided in one place; the rules beside
this explain a refusal better than it can explain itself, and add what no server objects to.
May import `repository`, `vision` and what lies below them.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain
from pathlib import Path

from naiad.backends.base import BackendModel
from naiad.backends.threads import usable_cores
from naiad.config.problems import ConfigError, Problem
from naiad.deployment.check.corrections import corrected_field, corrected_line
from naiad.deployment.check.findings import Finding, Severity
from naiad.deployment.check.graph import explain_disagreement
from naiad.deployment.check.layout import (
    check_duplicate,
    check_format,
    check_layout,
    check_missing_versions,
    check_model_file,
    check_root,
)
from naiad.deployment.check.machine import check_paths
from naiad.deployment.check.metadata import class_names
from naiad.deployment.check.report import CheckedModel, Report, ServedVersion
from naiad.deployment.check.subject import Artifact, Subject, bare_config
from naiad.deployment.check.ultralytics import check_for_ultralytics
from naiad.deployment.check.ultralytics_metadata import metadata_values
from naiad.deployment.names import MODEL_FILENAME
from naiad.engine.model import Model
from naiad.errors import NaiadError
from naiad.repository.loading import Loader, ModelDefinition, no_versions, read_labels
from naiad.repository.scan import CONFIG_FILENAME, FoundModel, FoundVersion, check_repositories, examine, list_models
from naiad.vision.metadata import inject_metadata

_ONNX_BACKEND = "onnxruntime"
_SEVERITIES = list(Severity)

_log = logging.getLogger(__name__)


def check(repositories: Sequence[str | Path], on_model: Callable[[str], object] = lambda _: None) -> Report:
    """Explain what a server would make of `repositories`, without starting one.

    Model files are really opened, with the runtime that would serve them; no instances are made and no port is bound.

    Args:
        repositories: folders of models, as for `naiad serve`.
        on_model: told each model's name before it is looked at; for progress displays.

    Raises:
        NotFoundError: a repository does not exist.
        InvalidArgumentError: it is a file, cannot be read, or is itself a model's directory.
    """
    paths = tuple(dict.fromkeys(Path(path).resolve() for path in repositories))
    check_repositories(paths)
    models: list[CheckedModel] = []
    for name, places in list_models(paths).items():
        on_model(name)
        checked = [_attempt(place) for place in places]
        if len(places) > 1:
            duplicate = check_duplicate(name, places)
            checked = [replace(one, served=(), findings=(duplicate, *one.findings)) for one in checked]
        models += checked
    return Report(paths, tuple(models), tuple(finding for path in paths for finding in check_root(path)))


def _attempt(directory: Path) -> CheckedModel:
    """Check one model: the boundary at which one that breaks everything stops hiding the others."""
    try:
        return _ModelCheck(examine(directory)).run()
    except Exception as error:  # noqa: BLE001 - backends and model files may raise anything
        _log.debug("a model could not be checked", exc_info=True)
        refusal = _refusal("load", directory, f"{type(error).__name__}: {error}")
        return CheckedModel(directory.name, directory, findings=(refusal,))


class _ModelCheck:
    """One model on its way through the steps of a load; collects what they and the rules find."""

    def __init__(self, found: FoundModel) -> None:
        self._found = found
        self._config_path = found.directory / CONFIG_FILENAME
        self._loader = Loader(_make_nothing, completers=(inject_metadata,), usable_cores=usable_cores())
        self._layout = tuple(check_layout(found))
        self._findings = dict.fromkeys(self._layout)  # a set in order: what two versions have in common is told once

    def run(self) -> CheckedModel:
        """Take the steps, as many as can be taken."""
        definition = self._read()
        served = [] if definition is None else self._check_definition(definition)
        return CheckedModel(
            self._found.name,
            self._found.directory,
            tuple(version.number for version in self._found.versions),
            tuple(served),
            tuple(sorted(self._findings, key=_reading_order)),
        )

    def _read(self) -> ModelDefinition | None:
        try:
            return self._loader.read(self._found)
        except ConfigError as error:
            text = self._config_path.read_text(encoding="utf-8-sig")
            self._add(_of_problem("config-syntax", one, corrected_line(one, text)) for one in error.problems)
        except NaiadError as error:
            if self._config_is_text():
                # No backend fits the files, which is a matter of the files most of the time.
                files = (
                    check_model_file(self._found, version, MODEL_FILENAME) for version in self._found.versions[-1:]
                )
                self._explain(error, "backend", self._config_path, chain(self._layout, *files))
            else:
                self._add((_refusal("config-syntax", self._config_path, str(error)),))
        return None

    def _config_is_text(self) -> bool:
        try:
            if self._found.config_path is not None:
                self._found.config_path.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError):
            return False
        return True

    def _check_definition(self, definition: ModelDefinition) -> list[ServedVersion]:
        """Check a config that could be read, and its versions; return those that will be served: all, or none."""
        self._add(check_missing_versions(self._found, definition.missing_versions))
        if not definition.versions:
            self._explain(no_versions(self._found), "no-version", self._found.directory, self._layout)
        try:
            problems = self._loader.problems(definition)
        except NaiadError as error:
            files = (check_format(self._found, version) for version in definition.versions)
            self._explain(error, "backend", self._config_path, chain(self._layout, *files))
            return []
        subjects = [self._look_at(definition, version, problems) for version in definition.versions]
        artifact = next((subject.artifact for subject in reversed(subjects) if subject.artifact), None)
        self._add(
            _of_problem("config-field", one, corrected_field(one, definition.config, artifact)) for one in problems
        )
        for subject in subjects:
            self._add(check_paths(subject))
            self._add(check_for_ultralytics(subject))
        served = [version for version in map(self._served, subjects) if version is not None]
        return served if len(served) == len(subjects) and not problems else []

    def _look_at(self, definition: ModelDefinition, version: FoundVersion, told: Sequence[Problem]) -> Subject:
        """Open a version and complete the config from it; `told` are problems that need not be told again."""
        subject = Subject(definition, version)
        if definition.config.backend == _ONNX_BACKEND:
            filename = definition.config.default_model_filename or MODEL_FILENAME
            foreign = tuple(check_model_file(self._found, version, filename))
            if foreign:
                self._add(foreign)
                return subject
        with self._remarks():
            try:
                backend_model = self._loader.open(definition, version)
            except NaiadError as error:
                return self._look_without_config(subject, error, told)
            try:
                return self._complete(subject, backend_model, told)
            finally:
                backend_model.close()

    def _look_without_config(self, subject: Subject, error: NaiadError, told: Sequence[Problem]) -> Subject:
        """Look at a version that could not be opened: where its config is why, the file still tells what it should be.

        Problems of the config that are told already explain the `error`.
        """
        definition = subject.definition
        bare = replace(definition, config=bare_config(definition.config))
        try:
            backend_model = self._loader.open(bare, subject.version)
        except NaiadError as without_config:
            self._add((_refusal("model-file", Path(subject.model_file), str(without_config)),))
            return subject
        try:
            if not told:
                self._add((_refusal("config-option", self._config_path, str(error)),))
            return replace(self._complete(subject, backend_model, told), served=None)
        finally:
            backend_model.close()

    def _complete(self, subject: Subject, backend_model: BackendModel, told: Sequence[Problem]) -> Subject:
        definition = subject.definition
        subject = replace(subject, artifact=_artifact(backend_model, definition))
        try:
            served = self._loader.complete(definition, backend_model)
            return replace(subject, served=served, threads_per_instance=backend_model.threads_per_instance(served))
        except ConfigError as error:
            known = {(one.field, one.message) for one in told}
            new = (one for one in error.problems if (one.field, one.message) not in known)
            self._add(
                _of_problem("config-field", one, corrected_field(one, definition.config, subject.artifact))
                for one in new
            )
        except NaiadError as error:
            told_blocks = {_block(one.field) for one in told}
            findings = list(explain_disagreement(subject))
            self._add(one for one in findings if _block(one.problem.field) not in told_blocks)
            if not (findings or told):
                self._add((_refusal("graph", self._config_path, str(error)),))
        return subject

    def _served(self, subject: Subject) -> ServedVersion | None:
        """Return what clients will be told of a version; None where it is not served."""
        if subject.served is None:
            return None
        try:
            labels = read_labels(subject.served, self._found.directory)
        except NaiadError as error:
            self._add((_refusal("label-file", self._config_path, str(error)),))
            return None
        values = metadata_values(subject) or {}
        return ServedVersion(
            subject.version.number,
            subject.served,
            threads_per_instance=subject.threads_per_instance,
            task=str(values.get("task", "")),
            classes=class_names(values),
            labels=tuple((name, len(lines)) for name, lines in labels.items()),
        )

    def _explain(self, error: NaiadError, rule: str, place: Path, findings: Iterable[Finding]) -> None:
        """Tell a refusal by the findings that explain it; by its own text where there are no errors among them."""
        explanation = tuple(findings)
        self._add(explanation)
        if not any(finding.severity is Severity.ERROR for finding in explanation):
            self._add((_refusal(rule, place, str(error)),))

    def _add(self, findings: Iterable[Finding]) -> None:
        self._findings |= dict.fromkeys(findings)

    @contextmanager
    def _remarks(self) -> Iterator[None]:
        """Turn what the backend warns about while it opens a model into notes."""
        handler = _Remarks()
        logger = logging.getLogger("naiad.backends")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            place = str(self._config_path)
            texts = [text.removeprefix(f"model '{self._found.name}': ") for text in handler.texts]
            self._add(Finding("backend-remark", Severity.NOTE, Problem(place, 0, "", text)) for text in texts)


class _Remarks(logging.Handler):
    """Keeps the texts of warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())


def _reading_order(finding: Finding) -> tuple[int, str, int]:
    """Return the key that puts the worst first, and the lines of a file in order."""
    return _SEVERITIES.index(finding.severity), finding.problem.file, finding.problem.line


def _block(field: str) -> str:
    """Return the outermost field: `input[0]` of `input[0].dims[1]`."""
    return field.partition(".")[0]


def _artifact(backend_model: BackendModel, definition: ModelDefinition) -> Artifact | None:
    try:
        return Artifact.of(backend_model, definition)
    except NaiadError:
        return None  # a backend whose models only the config describes


def _refusal(rule: str, place: Path, text: str, fix: str = "") -> Finding:
    """Return a finding in the words of the server itself."""
    return Finding(rule, Severity.ERROR, Problem(str(place), 0, "", text, fix=fix))


def _of_problem(rule: str, problem: Problem, corrected: str) -> Finding:
    return Finding(rule, Severity.ERROR, problem, corrected.rstrip("\n"))


def _make_nothing(*_: object, **__: object) -> Model:
    raise AssertionError("a check makes no instances")
