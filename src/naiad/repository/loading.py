# SPDX-License-Identifier: Apache-2.0
"""From a model directory to a model that serves, step by step: config, backend, completion, labels, instances.

Blocks, so it runs in loader threads. May import `config`, `backends` and `engine`.
"""

import os.path
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Protocol

from naiad.backends.base import Backend, BackendModel, BackendSettings, ModelFiles
from naiad.backends.registry import backend_for
from naiad.config.completion import complete_defaults, infer_backend
from naiad.config.pbtxt import parse
from naiad.config.problems import ConfigError, Problem
from naiad.config.proto import ModelConfig
from naiad.config.support import unsupported_features
from naiad.config.validation import validate
from naiad.engine.model import Model
from naiad.errors import InternalError, InvalidArgumentError
from naiad.repository.scan import CONFIG_FILENAME, FoundModel, FoundVersion, models_inside
from naiad.repository.versions import choose_versions, missing_versions

_NO_LABELS = "write the labels there, one a line, or take label_filename away"
_NO_CONFIG = "write one, or leave --disable-auto-complete-config out"

ConfigCompleter = Callable[[ModelConfig, Mapping[str, str]], ModelConfig]
"""Returns a config, completed from the artifact's own metadata; must not change the one it is given."""


class MakeModel(Protocol):
    """Makes the serving model of an opened and completed version, and owns `backend_model` from then on."""

    def __call__(
        self,
        name: str,
        version: int,
        *,
        config: ModelConfig,
        backend_model: BackendModel,
        labels: Mapping[str, tuple[str, ...]],
        began_ns: int,
    ) -> Model:
        """Make the instances; blocks. `began_ns` is when the load began, monotonic.

        Raises:
            NaiadError: one could not be made; `backend_model` is closed then, too.
        """


@dataclass(frozen=True, slots=True)
class ModelDefinition:
    """A model directory, understood: the user's config with its backend settled, and the versions to serve.

    `text` is what the config was parsed from, empty where there is no file.
    """

    found: FoundModel
    config: ModelConfig
    text: str
    versions: tuple[FoundVersion, ...]

    @property
    def name(self) -> str:
        """The model's name."""
        return self.found.name

    @property
    def missing_versions(self) -> tuple[int, ...]:
        """The versions that the config names and that have no directory."""
        return missing_versions(self.config, (version.number for version in self.found.versions))


@dataclass(frozen=True, slots=True)
class Loader:
    """How this server loads a model.

    Attributes:
        make_model: makes the serving model, the last step.
        completers: complete each config from the artifact's metadata, in order.
        backend_options: returns the `--backend-config` pairs for a backend's name, global ones included.
        usable_cores: what the process may use; backends divide it among their instances.
        auto_complete: false under `--disable-auto-complete-config`.
        find_backend: returns the backend of a name.
    """

    make_model: MakeModel
    completers: Sequence[ConfigCompleter] = ()
    backend_options: Callable[[str], Mapping[str, str]] = lambda _: {}
    usable_cores: int = 1
    auto_complete: bool = True
    find_backend: Callable[[str], Backend] = backend_for

    def define(self, found: FoundModel) -> ModelDefinition:
        """Read a model's config, settle its backend and choose its versions; there may be none, see `no_versions`.

        A wrong config is refused here already, before anything large is opened.

        Raises:
            ConfigError: the config is wrong, or asks for what this server cannot do yet.
            InvalidArgumentError: no backend fits the model's files.
            InternalError: the config cannot be read.
        """
        definition = self.read(found)
        problems = self.problems(definition)
        if problems:
            raise ConfigError(problems)
        return definition

    def read(self, found: FoundModel) -> ModelDefinition:
        """Do the first half of `define`: read and infer, without asking whether the config makes sense.

        Raises:
            ConfigError: the config is not protobuf text, or names fields there are none of.
            InvalidArgumentError: no backend fits the model's files, or there are none.
            InternalError: the config cannot be read.
        """
        text = self._config_text(found)
        config = parse(text, source=_source(found))
        chosen = choose_versions(config, (version.number for version in found.versions))
        versions = tuple(version for version in found.versions if version.number in chosen)
        # Where the policy leaves no version, another one or loose files tell the backend, so that what is reported is
        # the missing version.
        filenames = next((version.filenames for version in (*versions, *found.versions)), found.filenames)
        try:
            config = infer_backend(config, filenames, found.name)
        except InvalidArgumentError:
            if found.versions:
                raise
            raise no_versions(found) from None  # the files that would tell the backend are what is missing
        return ModelDefinition(found, config, text, versions)

    def problems(self, definition: ModelDefinition) -> tuple[Problem, ...]:
        """Do the second half of `define`: return all that keeps the config from being served, empty for a good one.

        Raises:
            NaiadError: there is no such backend, and no other problem that comes before it.
        """
        config = definition.config
        unsupported = unsupported_features(config, _source(definition.found), definition.text)
        if unsupported:
            return unsupported
        try:
            self._validate(definition, config, self.find_backend(config.backend))
        except ConfigError as error:
            return error.problems
        return ()

    def load(self, definition: ModelDefinition, version: FoundVersion) -> Model:
        """Load one version of a model.

        Raises:
            NaiadError: any step failed; the text says which way to mend it.
        """
        began_ns = time.monotonic_ns()
        backend_model = self.open(definition, version)
        try:
            completed = self.complete(definition, backend_model)
            labels = read_labels(completed, definition.found.directory)
        except BaseException:
            backend_model.close()
            raise
        return self.make_model(
            definition.name,
            version.number,
            config=completed,
            backend_model=backend_model,
            labels=labels,
            began_ns=began_ns,
        )

    def open(self, definition: ModelDefinition, version: FoundVersion) -> BackendModel:
        """Open the files of one version, the first step of `load`; the caller closes what it gets.

        Raises:
            NaiadError: they cannot be opened.
        """
        backend = self.find_backend(definition.config.backend)
        settings = BackendSettings(
            self.backend_options(definition.config.backend), self.usable_cores, self.auto_complete
        )
        return backend.open(ModelFiles(definition.found.directory, version.directory), definition.config, settings)

    def complete(self, definition: ModelDefinition, backend_model: BackendModel) -> ModelConfig:
        """Return the config that is served with what `open` has opened, the second step of `load`.

        Raises:
            NaiadError: the config contradicts the model, or makes no sense once completed.
        """
        backend = self.find_backend(definition.config.backend)
        config = backend_model.complete(definition.config) if self.auto_complete else definition.config
        config = complete_defaults(config, definition.name, backend.usable_gpus())
        for completer in self.completers:
            config = completer(config, backend_model.metadata)
        self._validate(definition, config, backend)
        return config

    def _config_text(self, found: FoundModel) -> str:
        if found.config_path is None and self.auto_complete:
            return ""
        return _read_text(found.directory / CONFIG_FILENAME, _NO_CONFIG)

    def _validate(self, definition: ModelDefinition, config: ModelConfig, backend: Backend) -> None:
        validate(config, definition.name, _source(definition.found), definition.text, backend.usable_gpus())


def no_versions(found: FoundModel) -> InvalidArgumentError:
    """Return the error that tells why a model whose policy leaves no version serves nothing; begins as Triton's."""
    text = f"at least one version must be available under the version policy of model '{found.name}'"
    if found.versions:
        there = ", ".join(str(version.number) for version in found.versions)
        return InvalidArgumentError(f"{text}; it has {there}: correct version_policy in {_source(found)}")
    if inside := models_inside(found):
        return InvalidArgumentError(
            f"{text}; it has no version directory, but models ({', '.join(inside)}), so it is a repository itself: use "
            f"--model-repository='{found.directory}'"
        )
    loose = next((filename for filename in found.filenames if filename.startswith("model.")), "")
    fix = (
        f"move {found.directory / loose} to {found.directory / '1' / loose}"
        if loose
        else f"put the model's file into {found.directory / '1'}"
    )
    because = f" ({'; '.join(found.ignored)})" if found.ignored else ""
    return InvalidArgumentError(f"{text}; it has no version directory{because}: {fix}")


def read_labels(config: ModelConfig, directory: Path) -> dict[str, tuple[str, ...]]:
    """Return the class labels of each output that names a `label_filename`, one a line, by output name.

    Raises:
        InternalError: a file cannot be read (Triton's text).
        InvalidArgumentError: a path leads out of the model's `directory`.
    """
    return {
        output.name: _lines(_read_text(_inside(directory, output.label_filename, output.name), _NO_LABELS))
        for output in config.output
        if output.label_filename
    }


def _lines(text: str) -> tuple[str, ...]:
    # At line feeds alone: str.splitlines() would also cut at characters that may be part of a label.
    return tuple(line.rstrip("\n") for line in StringIO(text))


def _inside(directory: Path, filename: str, output: str) -> Path:
    # By its spelling: links are followed, since mounted volumes are full of them.
    path = Path(os.path.normpath(directory / filename))
    if not path.is_relative_to(directory):
        raise InvalidArgumentError(
            f"label_filename '{filename}' of output '{output}' leads out of the model's directory {directory}; "
            f"put the file beside {CONFIG_FILENAME}"
        )
    return path


def _read_text(path: Path, fix_if_missing: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        fix = fix_if_missing if isinstance(error, FileNotFoundError) else "make it a file that this user may read"
        raise InternalError(f"failed to open text file for read {path}: {error.strerror}; {fix}") from error
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{path} is not UTF-8 text: {error.reason} at byte {error.start}; save it as UTF-8"
        ) from error


def _source(found: FoundModel) -> str:
    return str(found.directory / CONFIG_FILENAME)
