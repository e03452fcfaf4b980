# SPDX-License-Identifier: Apache-2.0
"""The one object where HTTP, gRPC and the in-process API meet.

They ask it about the server and its models, and hand it requests; it knows no protocol and no backend. All of it
belongs to the event loop's thread.
"""

from collections.abc import Sequence
from dataclasses import replace

from naiad.config.proto import ModelConfig
from naiad.engine.admission import Admission, Admitted
from naiad.engine.model import Model
from naiad.engine.pending import OnResponse, Pending
from naiad.engine.ports import ModelCatalog
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError, UnavailableError
from naiad.requests import InferRequest
from naiad.snapshots import IndexEntry, ModelMetadata, ModelState, ModelStatistics, ServerMetadata
from naiad.telemetry.traces.trace import Trace


class Ticket:
    """A request that was accepted; `cancel` says that nobody waits for it any more."""

    __slots__ = ("_admitted", "_model", "_pending")

    def __init__(self, model: Model, pending: Pending, admitted: Admitted | None = None) -> None:
        self._model = model
        self._pending = pending
        self._admitted = admitted

    def cancel(self) -> None:
        """Give the request's place in the queue free and send no response; harmless when it is done."""
        self._model.cancel(self._pending)
        if self._admitted is not None:
            self._admitted.leave()

    def hold_back(self, holds_back: bool) -> None:
        """Let a decoupled model wait with further responses while the client does not read, or go on."""
        self._model.hold_back(self._pending, holds_back)


class DataPlane:
    """What every protocol offers, without a protocol.

    Requests beyond `max_requests_in_flight`, over all models, are refused; 0 is any number.
    """

    def __init__(self, catalog: ModelCatalog, server: ServerMetadata, max_requests_in_flight: int = 0) -> None:
        self._catalog = catalog
        self._server = server
        self._admission = Admission(max_requests_in_flight) if max_requests_in_flight else None

    def live(self) -> bool:
        """Tell whether the server is up; it is as soon as anyone can ask."""
        return True

    def ready(self) -> bool:
        """Tell whether the server is ready to serve all its models."""
        return self._catalog.is_ready()

    def model_ready(self, name: str, version: str = "") -> bool:
        """Tell whether a model can be asked; false also for one that does not exist, as Triton 2.51 has it.

        Raises:
            InvalidArgumentError: `version` is no version.
        """
        try:
            self._catalog.find(name, version)
        except (NotFoundError, UnavailableError):
            return False
        return True

    def server_metadata(self) -> ServerMetadata:
        """Return the server's name, version and extensions."""
        return self._server

    def model_metadata(self, name: str, version: str = "") -> ModelMetadata:
        """Return a model's metadata; without a `version`, with all its ready versions.

        Raises:
            NotFoundError: unknown model or version.
            UnavailableError: not ready.
        """
        metadata = self.find(name, version).metadata
        return metadata if version else replace(metadata, versions=tuple(self._catalog.ready_versions(name)))

    def model_config(self, name: str, version: str = "") -> ModelConfig:
        """Return the completed config that is served.

        Raises:
            NotFoundError: unknown model or version.
            UnavailableError: not ready.
        """
        return self.find(name, version).config

    def statistics(self, name: str = "", version: str = "") -> Sequence[ModelStatistics]:
        """Return the figures of one model's ready versions, or of all models'.

        Raises:
            InvalidArgumentError: unknown model or version, or `version` is no version (Triton's texts).
        """
        if not name:
            return [model.statistics() for model in self._catalog.all_ready()]
        ready = self._catalog.ready_versions(name)
        if not ready:
            raise InvalidArgumentError(f"requested model '{name}' is not available")
        try:
            return [self._catalog.find(name, one).statistics() for one in ([version] if version else ready)]
        except (NotFoundError, UnavailableError):
            raise InvalidArgumentError(f"requested model version is not available for model '{name}'") from None

    def index(self, ready_only: bool = False) -> Sequence[IndexEntry]:
        """Return the repository index."""
        entries = self._catalog.index()
        return [entry for entry in entries if entry.state is ModelState.READY] if ready_only else entries

    def find(self, name: str, version: str = "") -> Model:
        """Return the ready model version that `infer` is to be given.

        Raises:
            NotFoundError: unknown model or version, or none ready.
            UnavailableError: the version exists but is not ready.
        """
        return self._catalog.find(name, version)

    def infer(self, model: Model, request: InferRequest, on_response: OnResponse, trace: Trace | None = None) -> Ticket:
        """Check `request` and hand it to `model`.

        `on_response` is called on the loop's thread with each response, possibly before this returns; an error, or
        a response with `final` set, is the last. After an exception it is not called. What happens in the engine is
        noted in the `trace`, if there is one; to close it is the caller's part.

        Raises:
            InvalidArgumentError: the request does not fit the model.
            UnavailableError: the model's queue is full, it is stopping, or too many requests are in flight.
        """
        if self._admission is None:
            return Ticket(model, model.submit(request, on_response, trace))
        try:
            admitted = self._admission.admit(on_response)
        except UnavailableError:
            model.note_rejection()
            raise
        try:
            return Ticket(model, model.submit(request, admitted, trace), admitted)
        except NaiadError:
            admitted.leave()
            raise
