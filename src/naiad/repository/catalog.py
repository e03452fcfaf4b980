# SPDX-License-Identifier: Apache-2.0
"""The models of a server and their lives: loaded at the start, looked up by every request, drained at the end.

Everything but the loading itself happens on the event loop's thread. May import `engine` and what lies below it.
"""

import asyncio
import logging
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from naiad.engine.model import Model
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, NotFoundError, UnavailableError
from naiad.repository.lifecycle import VersionLife
from naiad.repository.loading import Loader, ModelDefinition, no_versions
from naiad.repository.scan import FoundModel, FoundVersion, examine, list_models
from naiad.snapshots import IndexEntry, ModelState

DUPLICATE = "model appears in two or more repositories"
"""Triton's reason for a name that is not served because it is ambiguous."""

_DRAIN_CHECK_S = 0.01
_ANY_VERSION = ""
_VERSION = re.compile(r"[0-9]{1,1000}")  # Python refuses to convert thousands of digits
_LARGEST_VERSION = 2**63 - 1

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What became of the models, by name, then version; a model without versions has one row."""

    entries: tuple[IndexEntry, ...]

    def failed(self) -> tuple[IndexEntry, ...]:
        """Return the rows of what does not serve."""
        return tuple(entry for entry in self.entries if entry.state is not ModelState.READY)


class Catalog:
    """Implements `engine.ports.ModelCatalog` over model repositories, in Triton's model control mode `none`.

    Args:
        repositories: the folders that hold the models.
        loader: how a model is loaded.
        load_thread_count: how many versions are loaded side by side.
        strict_readiness: whether the server is ready only when every model is.
    """

    def __init__(
        self, repositories: Sequence[Path], loader: Loader, *, load_thread_count: int = 4, strict_readiness: bool = True
    ) -> None:
        self._repositories = tuple(repositories)
        self._loader = loader
        self._strict_readiness = strict_readiness
        self._pool = ThreadPoolExecutor(load_thread_count, thread_name_prefix="naiad-load")
        self._lives: dict[str, dict[int, VersionLife]] = {}  # known models; one may have no version
        self._problems: dict[str, str] = {}  # model → why it has no version
        self._ready: dict[str, dict[str, Model]] = {}  # what `find` reads: model → version, or any → model
        self._loading: asyncio.Future[list[None]] | None = None
        self._loaded = False
        self._closing = False

    async def load_all(self) -> LoadReport:
        """Load every model of the repositories once; a model that fails keeps no other from being loaded.

        Raises:
            OSError: a repository cannot be read.
            asyncio.CancelledError: `close` ran out of time before this ended.
        """
        self._loading = asyncio.gather(
            *(self._load_directories(name, places) for name, places in list_models(self._repositories).items())
        )
        await self._loading
        self._loaded = True
        return LoadReport(tuple(self.index()))

    async def close(self, timeout_s: float) -> bool:
        """Take no more requests, let the accepted ones finish, release the models.

        Returns:
            Whether all was done after `timeout_s` seconds. If not, what still waited has been failed, and threads
            may still be busy.
        """
        self._closing = True
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(self._unload(name) for name in self._lives))
                if self._loading is not None:
                    await asyncio.wait([self._loading])
        except TimeoutError:
            if self._loading is not None:
                self._loading.cancel()
            for life in self._all_lives():
                if life.model is not None:
                    life.model.abort()
            return False
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)
        return True

    def find(self, name: str, version: str) -> Model:
        """Return the ready model version asked for; an empty `version` means the largest ready one.

        Raises:
            NotFoundError: no such model, no such version, or none that is ready (Triton's texts).
            UnavailableError: the version exists but is not ready.
            InvalidArgumentError: `version` is no number.
        """
        ready = self._ready.get(name)
        model = ready.get(version) if ready is not None else None
        return model if model is not None else self._find_rarely(name, version)

    def ready_versions(self, name: str) -> Sequence[str]:
        """Return the ready versions of a model, ascending; empty for an unknown one."""
        return [model.version for model in self._ready_models(name)]

    def all_ready(self) -> Sequence[Model]:
        """Return every ready model version, by name, then version."""
        return [model for name in sorted(self._ready) for model in self._ready_models(name)]

    def is_ready(self) -> bool:
        """Tell whether the server counts as ready: loaded, not stopping and, if strict, no model wanting.

        A model is wanting whose config is wrong, whose name is ambiguous, that has no version, or a version of which
        is not READY other than by having been unloaded.
        """
        if not self._loaded or self._closing:
            return False
        return not self._strict_readiness or not (self._problems or any(life.is_wanting for life in self._all_lives()))

    def index(self) -> Sequence[IndexEntry]:
        """Return the rows of the repository index, by name, then version; scans the repositories."""
        found = list_models(self._repositories)
        return [entry for name, places in found.items() for entry in self._rows(name, ambiguous=len(places) > 1)]

    def _rows(self, name: str, *, ambiguous: bool) -> list[IndexEntry]:
        if ambiguous:
            return [IndexEntry(name, state=ModelState.UNAVAILABLE, reason=DUPLICATE)]
        if name in self._problems:
            return [IndexEntry(name, state=ModelState.UNAVAILABLE, reason=self._problems[name])]
        lives = self._lives.get(name)
        if not lives:
            return [IndexEntry(name)]
        return [IndexEntry(name, str(life.number), life.state, life.reason) for life in lives.values()]

    def _find_rarely(self, name: str, version: str) -> Model:
        """Find under an unusual spelling (`01`), or say why there is nothing to find."""
        number = None if version == _ANY_VERSION else _parse_version(version)
        lives = self._lives.get(name)
        if lives is None:
            raise NotFoundError(f"Request for unknown model: '{name}' is not found")
        if number is None:
            raise NotFoundError(f"Request for unknown model: '{name}' has no available versions")
        life = lives.get(number)
        if life is None:
            raise NotFoundError(f"Request for unknown model: '{name}' version {number} is not found")
        if life.state is not ModelState.READY or life.model is None:
            raise UnavailableError(f"Request for unknown model: '{name}' version {number} is not at ready state")
        return life.model

    async def _load_directories(self, name: str, places: Sequence[Path]) -> None:
        if len(places) > 1:
            self._problems[name] = DUPLICATE
            _log.error("failed to load '%s': %s: %s; rename one", name, DUPLICATE, ", ".join(map(str, places)))
            return
        found = await self._in_pool(lambda: examine(places[0]))
        definition = found if isinstance(found, NaiadError) else await self._define(found)
        if isinstance(definition, NaiadError):
            self._refuse(name, definition)
            return
        self._lives[name] = {}
        if definition.versions:
            await self._load_versions(definition)
        else:
            self._refuse(name, no_versions(definition.found))

    async def _define(self, found: FoundModel) -> ModelDefinition | NaiadError:
        for sentence in found.ignored:
            _log.warning("model '%s': %s", found.name, sentence)
        definition = await self._in_pool(lambda: self._loader.define(found))
        if isinstance(definition, ModelDefinition):
            for number in definition.missing_versions:
                _log.error(
                    "version %d is specified for model '%s', but the version directory is not present",
                    number,
                    found.name,
                )
        return definition

    async def _load_versions(self, definition: ModelDefinition) -> None:
        """Load all versions side by side; they serve together or, where one fails, not at all, as Triton has it."""
        name = definition.name
        self._lives[name] = {version.number: VersionLife(version.number).load() for version in definition.versions}
        outcomes = await asyncio.gather(*(self._load_version(definition, version) for version in definition.versions))
        loaded = [outcome for outcome in outcomes if not isinstance(outcome, NaiadError)]
        wanted = len(loaded) == len(outcomes) and not self._closing
        for version, outcome in zip(definition.versions, outcomes, strict=True):
            life = self._lives[name][version.number]
            if isinstance(outcome, NaiadError):
                life = life.failed(_reason(outcome))
                _log.error("failed to load '%s' version %d: %s", name, life.number, life.reason)
            elif wanted:
                life = life.loaded(outcome)
                _log.info("successfully loaded '%s' version %d", name, life.number)
            else:
                life = life.withdrawn()
            self._lives[name][version.number] = life
        if wanted:
            self._publish(name)
        else:
            await asyncio.gather(*(self._in_pool(model.close) for model in loaded))

    async def _load_version(self, definition: ModelDefinition, version: FoundVersion) -> Model | NaiadError:
        _log.info("loading: %s:%d", definition.name, version.number)
        return await self._in_pool(lambda: self._load_unless_closing(definition, version))

    def _load_unless_closing(self, definition: ModelDefinition, version: FoundVersion) -> Model:
        if self._closing:
            raise UnavailableError("the server was stopped before the model was loaded")
        return self._loader.load(definition, version)

    async def _unload(self, name: str) -> None:
        serving = [life for life in self._lives[name].values() if life.state is ModelState.READY]
        self._lives[name] |= {life.number: life.unload() for life in serving}
        self._publish(name)
        models = [life.model for life in serving if life.model is not None]
        for model in models:
            model.stop()
        for model in models:
            await self._drain(model)
            self._lives[name][int(model.version)] = self._lives[name][int(model.version)].unloaded()

    async def _drain(self, model: Model) -> None:
        while not model.is_idle:  # noqa: ASYNC110 - requests would pay for an event that is wanted once
            await asyncio.sleep(_DRAIN_CHECK_S)
        await self._in_pool(model.close)

    def _refuse(self, name: str, error: NaiadError) -> None:
        self._problems[name] = _reason(error)
        _log.error("failed to load '%s': %s", name, error)

    def _publish(self, name: str) -> None:
        """Bring what `find` reads in line with the lives of a model; the largest version also answers for any."""
        ready = {
            str(life.number): life.model
            for life in self._lives[name].values()
            if life.state is ModelState.READY and life.model is not None
        }
        if ready:
            self._ready[name] = {**ready, _ANY_VERSION: list(ready.values())[-1]}
        else:
            self._ready.pop(name, None)

    def _ready_models(self, name: str) -> list[Model]:
        return [model for version, model in self._ready.get(name, {}).items() if version != _ANY_VERSION]

    def _all_lives(self) -> list[VersionLife]:
        return [life for lives in self._lives.values() for life in lives.values()]

    async def _in_pool(self, work: Callable[[], _T]) -> _T | NaiadError:
        return await asyncio.get_running_loop().run_in_executor(self._pool, _attempt, work)


def _attempt(work: Callable[[], _T]) -> _T | NaiadError:
    """Do `work` and return its result or its error: the boundary at which one bad model stops harming the others."""
    try:
        return work()
    except NaiadError as error:
        return error
    except Exception as error:  # noqa: BLE001 - backends, completers and model files may raise anything
        _log.exception("a model could not be loaded")
        return InternalError(f"{type(error).__name__}: {error}")


def _reason(error: NaiadError) -> str:
    return f"{error.label}: {error}"


def _parse_version(text: str) -> int:
    """Read a version from a URL or a gRPC field.

    Raises:
        InvalidArgumentError: it is no number that fits 64 bits (Triton's text).
    """
    if not (
        text.isascii() and text.isdigit() and len(text) <= len(str(_LARGEST_VERSION)) and int(text) <= _LARGEST_VERSION
    ):
        raise InvalidArgumentError(
            f"failed to get model version from specified version string '{text}' (details: stol), "
            "version should be an integral value > 0"
        )
    return int(text)
