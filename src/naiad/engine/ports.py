# SPDX-License-Identifier: Apache-2.0
"""What the engine needs from the rooms above it, as Protocols; `server/app.py` hands it the objects."""

from collections.abc import Sequence
from typing import Protocol

from naiad.engine.model import Model
from naiad.snapshots import IndexEntry


class ModelCatalog(Protocol):
    """Which models there are. Implemented by `repository`; called on the event loop's thread only."""

    def find(self, name: str, version: str) -> Model:
        """Return the ready model version asked for; an empty `version` means the largest ready one.

        Raises:
            NotFoundError: no such model, no such version, or none that is ready (Triton's texts).
            UnavailableError: the version exists but is not ready.
        """

    def ready_versions(self, name: str) -> Sequence[str]:
        """Return the ready versions of a model, ascending; empty for an unknown one."""

    def all_ready(self) -> Sequence[Model]:
        """Return every ready model version, by name, then version."""

    def is_ready(self) -> bool:
        """Tell whether the server counts as ready, by Triton's rules for strict readiness."""

    def index(self) -> Sequence[IndexEntry]:
        """Return the rows of the repository index; scans the repositories."""
