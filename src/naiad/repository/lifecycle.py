# SPDX-License-Identifier: Apache-2.0
"""The life of a model version: which state follows which. Pure. May import `engine` and `snapshots`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

from naiad.engine.model import Model
from naiad.snapshots import ModelState

UNLOADED = "unloaded"
"""The reason of a version that is not served because nobody wants it: it does not keep the server from being ready."""


class Event(Enum):
    """What happens to a model version."""

    LOAD = auto()
    LOADED = auto()
    FAILED = auto()
    WITHDRAWN = auto()
    UNLOAD = auto()
    UNLOADED = auto()


TRANSITIONS: Mapping[tuple[ModelState, Event], ModelState] = {
    (ModelState.UNKNOWN, Event.LOAD): ModelState.LOADING,
    (ModelState.UNAVAILABLE, Event.LOAD): ModelState.LOADING,
    (ModelState.LOADING, Event.LOADED): ModelState.READY,
    (ModelState.LOADING, Event.FAILED): ModelState.UNAVAILABLE,
    (ModelState.LOADING, Event.WITHDRAWN): ModelState.UNAVAILABLE,
    (ModelState.READY, Event.UNLOAD): ModelState.UNLOADING,
    (ModelState.UNLOADING, Event.UNLOADED): ModelState.UNAVAILABLE,
}
"""What may happen in which state; anything else is a mistake of the caller and a `KeyError`."""


@dataclass(frozen=True, slots=True)
class VersionLife:
    """Where a model version stands; `model` is there from READY until it is unloaded, `reason` while UNAVAILABLE."""

    number: int
    state: ModelState = ModelState.UNKNOWN
    reason: str = ""
    model: Model | None = None

    @property
    def is_wanting(self) -> bool:
        """Whether the version ought to be READY and is not."""
        return self.state is not ModelState.READY and self.reason != UNLOADED

    def load(self) -> "VersionLife":
        """It is being loaded."""
        return self._after(Event.LOAD)

    def loaded(self, model: Model) -> "VersionLife":
        """It serves."""
        return self._after(Event.LOADED, model=model)

    def failed(self, reason: str) -> "VersionLife":
        """It could not be loaded."""
        return self._after(Event.FAILED, reason=reason)

    def withdrawn(self) -> "VersionLife":
        """It could be loaded, but is not wanted after all: another version failed, or the server stops."""
        return self._after(Event.WITHDRAWN, reason=UNLOADED)

    def unload(self) -> "VersionLife":
        """It takes no more requests and finishes those it has."""
        return self._after(Event.UNLOAD, model=self.model)

    def unloaded(self) -> "VersionLife":
        """It is gone."""
        return self._after(Event.UNLOADED, reason=UNLOADED)

    def _after(self, event: Event, *, reason: str = "", model: Model | None = None) -> "VersionLife":
        return VersionLife(self.number, TRANSITIONS[self.state, event], reason, model)
