# SPDX-License-Identifier: Apache-2.0
"""A server inside this Python process: `with naiad.Server(model_repository=…) as server: …`."""

import asyncio
import concurrent.futures
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from naiad.engine.dataplane import Ticket
from naiad.errors import NaiadError, NotFoundError, UnavailableError, UnsupportedError
from naiad.options import FIELD_FLAGS, ServerOptions, given_value
from naiad.requests import (
    NO_PARAMETERS,
    InferRequest,
    InferResponse,
    InputTensor,
    ParameterValue,
    RequestedOutput,
)
from naiad.server.app import App, new_event_loop
from naiad.server.responses import Responses
from naiad.snapshots import IndexEntry
from naiad.tensors import Array, datatype_of

T = TypeVar("T")

_POLL_S = 0.02

Location = str | os.PathLike[str]


class Server:
    """A Naiad server on a thread of its own, with the same options as `naiad serve`.

    `model_repository` is a folder of models, or several. Further options are the fields of `ServerOptions`; a port of
    0 takes a free one. Texts are read as those of the flags are.

        with naiad.Server(model_repository="models", http_port=0) as server:
            server.wait_ready("yolo")
            YOLO(f"{server.http_url}/yolo", task="detect")("bus.jpg")
    """

    def __init__(self, model_repository: Location | Sequence[Location], **options: Any) -> None:  # noqa: ANN401 - ServerOptions checks them
        self._options = _options({"model_repository": model_repository, **options})
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: App | None = None
        self._stopping: asyncio.Event | None = None
        self._awaited: set[concurrent.futures.Future[InferResponse]] = set()
        self._streams: weakref.WeakSet[Responses] = weakref.WeakSet()

    def start(self) -> None:
        """Start serving and return when the models have been loaded.

        Raises:
            NaiadError: the server could not start; with `exit_on_error`, also when a model failed to load.
            RuntimeError: it is running already.
        """
        if self._thread is not None:
            raise RuntimeError("this Server is running already; stop() it first")
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="naiad-server", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Finish the requests in flight and stop; harmless when it is not running."""
        if self._thread is None:
            return
        if self._loop is not None and self._stopping is not None:
            with suppress(RuntimeError):  # the loop has ended: the server did not start
                self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._thread = self._loop = self._app = self._stopping = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def http_url(self) -> str:
        """The URL of the HTTP endpoint, without a trailing slash."""
        return self._running()[0].http_url

    @property
    def grpc_url(self) -> str:
        """The URL of the gRPC endpoint, as `YOLO` takes it; without `grpc://` as `tritonclient.grpc` does."""
        return self._running()[0].grpc_url

    @property
    def metrics_url(self) -> str:
        """The URL that Prometheus scrapes."""
        return self._running()[0].metrics_url

    def index(self) -> Sequence[IndexEntry]:
        """Return the repository index: every model with its versions' states and reasons."""
        return self._call(App.index)

    def wait_ready(self, model: str = "", version: str = "", timeout_s: float = 60) -> None:
        """Wait until `model` is ready, or without one, until the server is.

        Raises:
            NotFoundError: the repository has no such model, or the model no such version.
            UnavailableError: it was not in time; the text holds the states and reasons.
        """
        if model:
            self._call(lambda app: _check_known(app.index(), model, version))
        deadline = time.monotonic() + timeout_s
        while not self._call(lambda app: app.dataplane.model_ready(model, version) if model else app.dataplane.ready()):
            if time.monotonic() >= deadline:
                rows = [row for row in self.index() if not model or row.name == model]
                states = ", ".join(
                    f"{row.name} {row.state.value if row.state else 'UNKNOWN'} {row.reason}" for row in rows
                )
                what = f"model '{model}'" if model else "the server"
                raise UnavailableError(f"{what} was not ready within {timeout_s:g} s: {states or 'no such model'}")
            time.sleep(_POLL_S)

    def infer(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] = (),
        version: str = "",
        timeout_s: float | None = None,
        parameters: Mapping[str, ParameterValue] = NO_PARAMETERS,
    ) -> InferResponse:
        """Ask a model in this process, without a socket; `inputs` maps input names to arrays.

        Raises:
            NaiadError: as a client would be told; also when the server's exit timeout ends before the model does.
            TimeoutError: no answer within `timeout_s`; the request is withdrawn.
        """
        request = _request(model, inputs, outputs, version, parameters)
        answer: concurrent.futures.Future[InferResponse] = concurrent.futures.Future()
        self._awaited.add(answer)
        try:
            ticket = self._call(lambda app: _submit(app, request, answer))
            try:
                return answer.result(timeout_s)
            except TimeoutError:
                self._call(lambda _: ticket.cancel())
                raise
        finally:
            self._awaited.discard(answer)

    def stream(
        self,
        model: str,
        inputs: Mapping[str, Array],
        outputs: Sequence[str] = (),
        version: str = "",
        timeout_s: float | None = None,
        parameters: Mapping[str, ParameterValue] = NO_PARAMETERS,
    ) -> Responses:
        """Ask a model that may answer any number of times; the request is under way when this returns.

            with server.stream("repeat", inputs) as responses:
                for response in responses:
                    ...

        `timeout_s` is for each response.

        Raises:
            NaiadError: the request was refused; what goes wrong later is raised by the iteration.
        """
        request = _request(model, inputs, outputs, version, parameters)
        responses = Responses(self._running()[1], timeout_s)
        self._call(lambda app: _begin(app, request, responses))
        self._streams.add(responses)
        return responses

    def _running(self) -> tuple[App, asyncio.AbstractEventLoop]:
        if self._app is None or self._loop is None:
            raise RuntimeError("this Server is not running; use it in a `with` block, or start() it first")
        return self._app, self._loop

    def _call(self, function: Callable[[App], T]) -> T:
        """Run `function` on the server's loop and return what it returns."""
        app, loop = self._running()

        async def call() -> T:
            return function(app)

        return asyncio.run_coroutine_threadsafe(call(), loop).result()

    def _run(self, started: "concurrent.futures.Future[None]") -> None:
        try:
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve(started))
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)  # whatever it was: the caller of `start` waits for an answer

    async def _serve(self, started: "concurrent.futures.Future[None]") -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        app = App(self._options)
        try:
            await app.start()
            self._app = app
            started.set_result(None)
            await self._stopping.wait()
        finally:
            await app.stop()
            text = "the server was stopped before the model had answered"
            for answer in tuple(self._awaited):
                if not answer.done():
                    answer.set_exception(UnavailableError(text))
            for responses in tuple(self._streams):
                responses.take(UnavailableError(text))


def _options(given: Mapping[str, Any]) -> ServerOptions:
    for name in given.keys() - FIELD_FLAGS.keys():
        near = get_close_matches(name, FIELD_FLAGS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else "they are the flags of naiad serve, with underscores"
        raise TypeError(f"Server has no option '{name}'; {hint}")
    # ServerOptions and `given_value` check what no annotation can: which value belongs to which name.
    values: dict[str, Any] = {name: given_value(name, value) for name, value in given.items()}
    return ServerOptions(**values)


def _check_known(index: Sequence[IndexEntry], model: str, version: str) -> None:
    """Check that the repository has a model, and if one is asked for, the version.

    Raises:
        NotFoundError: it has not.
    """
    versions = [row.version for row in index if row.name == model]
    if not versions:
        names = ", ".join(dict.fromkeys(row.name for row in index)) or "none, the repository is empty"
        raise NotFoundError(f"there is no model '{model}', expected one of: {names}")
    known = [one for one in versions if one]
    if version and known and version not in known:
        raise NotFoundError(f"model '{model}' has no version '{version}', expected one of: {', '.join(known)}")


def _request(
    model: str,
    inputs: Mapping[str, Array],
    outputs: Sequence[str],
    version: str,
    parameters: Mapping[str, ParameterValue],
) -> InferRequest:
    tensors = tuple(_tensor(name, np.asarray(array)) for name, array in inputs.items())
    wanted = tuple(RequestedOutput(name) for name in outputs)
    return InferRequest(model, tensors, wanted, version, parameters=parameters)


def _tensor(name: str, array: Array) -> InputTensor:
    datatype = datatype_of(array)
    return InputTensor(name, datatype.name, array.shape, np.ascontiguousarray(array, dtype=datatype.dtype))


def _submit(app: App, request: InferRequest, answer: "concurrent.futures.Future[InferResponse]") -> Ticket:
    def on_response(response: InferResponse | NaiadError) -> None:
        # A caller that gave up has cancelled the future's request, not the future.
        if isinstance(response, NaiadError):
            answer.set_exception(response)
        else:
            answer.set_result(response)

    model = app.dataplane.find(request.model_name, request.model_version)
    if model.is_decoupled:
        raise UnsupportedError(f"model '{model.name}' is decoupled, so it gives any number of answers; use stream()")
    return app.dataplane.infer(model, request, on_response)


def _begin(app: App, request: InferRequest, responses: Responses) -> None:
    # Weakly, so that a program that forgets its responses withdraws its request.
    known = weakref.ref(responses)

    def on_response(response: InferResponse | NaiadError) -> None:
        taker = known()
        if taker is not None:
            taker.take(response)

    model = app.dataplane.find(request.model_name, request.model_version)
    responses.begin(app.dataplane.infer(model, request, on_response))
