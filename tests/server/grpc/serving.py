# SPDX-License-Identifier: Apache-2.0
"""A gRPC port on a loop of its own, over a data plane with fake models, and ways to talk to it."""

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

import numpy as np
from hpack import Decoder
from tests.protocol.http2.conversation import Frame
from tests.telemetry.traces.conftest import KeptTraces

from naiad.config.proto import ModelConfig
from naiad.engine.dataplane import DataPlane
from naiad.engine.model import Model
from naiad.engine.pending import OnResponse
from naiad.errors import InternalError, NaiadError, NotFoundError
from naiad.protocol.http2 import frames
from naiad.protocol.http2.header_blocks import encode_fields
from naiad.requests import InferRequest, InferResponse, OutputTensor
from naiad.server.grpc.listener import GrpcServer
from naiad.server.grpc.services import inference_services
from naiad.server.grpc.settings import GrpcSettings
from naiad.server.transport.access import Lock
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.regions import Regions
from naiad.snapshots import (
    IndexEntry,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ServerMetadata,
    TensorMetadata,
    TraceSettings,
)
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.traces.trace import Trace
from naiad.telemetry.traces.tracer import Tracer

T = TypeVar("T")
WAIT_S = 10


class FakeModel:
    """Gives back its FP32 input, a decoupled one as often as the request's parameter `answers` says.

    A decoupled one fails in place of the answer of number `fails_at`, and goes on.
    It holds its answers back while `holds` is set.
    """

    def __init__(self, name: str = "m", *, decoupled: bool = False) -> None:
        self.name, self.version = name, "1"
        self.config = ModelConfig(name=name, backend="identity")
        self.config.model_transaction_policy.decoupled = decoupled
        tensor = TensorMetadata("IN", "FP32", (-1,))
        self.is_decoupled = decoupled
        self.metadata = ModelMetadata(name, ("1",), "identity", (tensor,), (TensorMetadata("OUT", "FP32", (-1,)),))
        self.holds = False
        self.held: list[Callable[[], None]] = []
        self.cancelled: list[object] = []
        self.held_back: list[bool] = []
        self.fails_at: int | None = None
        self.requests: list[InferRequest] = []
        self.error: NaiadError | None = None

    def statistics(self) -> ModelStatistics:
        return ModelStatistics(self.name, "1", inference_count=3)

    def submit(self, request: InferRequest, on_response: OnResponse, trace: Trace | None = None) -> str:
        self.requests.append(request)
        (tensor,) = request.inputs
        data = np.frombuffer(tensor.data, np.float32) if isinstance(tensor.data, memoryview) else tensor.data
        output = OutputTensor("OUT", "FP32", data.shape, data)
        response = InferResponse(self.name, "1", (output,), request.id)
        if not self.is_decoupled:
            self._do(lambda: on_response(self.error or response))
            return request.id
        part = response._replace(final=False)
        for number in range(int(cast(Any, request.parameters.get("answers", 1)))):
            one = part._replace(outputs=(), error=InternalError("bad")) if number == self.fails_at else part
            self._do(partial(on_response, one))
        self._do(lambda: on_response(response._replace(outputs=(), final=True)))
        return request.id

    def _do(self, answer: Callable[[], None]) -> None:
        if self.holds:
            self.held.append(answer)
        else:
            answer()

    def cancel(self, pending: object) -> None:
        self.cancelled.append(pending)

    def hold_back(self, pending: object, holds_back: bool) -> None:
        self.held_back.append(holds_back)


class FakeCatalog:
    def __init__(self, models: Sequence[FakeModel]) -> None:
        self.models = {model.name: model for model in models}
        self.ready = True

    def find(self, name: str, version: str) -> Model:
        if name not in self.models:
            raise NotFoundError(f"Request for unknown model: '{name}' is not found")
        return cast(Model, self.models[name])

    def ready_versions(self, name: str) -> Sequence[str]:
        return ("1",) if name in self.models else ()

    def all_ready(self) -> Sequence[Model]:
        return [cast(Model, model) for model in self.models.values()]

    def is_ready(self) -> bool:
        return self.ready

    def index(self) -> Sequence[IndexEntry]:
        return [IndexEntry("m", "1", ModelState.READY), IndexEntry("broken")]


class Served:
    """A running gRPC port. `on_loop` runs a function on its loop."""

    def __init__(self, settings: GrpcSettings, budget: BodyBudget, locks: Mapping[str, Lock], regions: Regions) -> None:
        self.model, self.decoupled = FakeModel(), FakeModel("d", decoupled=True)
        self.catalog = FakeCatalog([self.model, self.decoupled])
        self.budget = budget
        self.slow_work = SlowWork()
        self.log = ServerLog(handler=logging.NullHandler())
        dataplane = DataPlane(self.catalog, ServerMetadata("naiad", "0", ("parameters",)))
        methods = inference_services(dataplane, regions, self.log, Tracer(TraceSettings(), KeptTraces()), locks)
        self.server = GrpcServer(methods, settings, budget, self.slow_work)
        self.loop = asyncio.new_event_loop()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.port}"

    def on_loop(self, function: Callable[[], T]) -> T:
        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(WAIT_S)

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` is true on the loop."""
        deadline = time.monotonic() + WAIT_S
        while not self.on_loop(condition):
            assert time.monotonic() < deadline, "it did not come true"
            time.sleep(0.002)

    def release(self) -> None:
        """Let the models answer what they hold."""

        def answer() -> None:
            for model in (self.model, self.decoupled):
                held, model.held = model.held, []
                for one in held:
                    one()

        self.on_loop(answer)


@contextmanager
def served(
    settings: GrpcSettings | None = None,
    budget: BodyBudget | None = None,
    tls: ssl.SSLContext | None = None,
    locks: Mapping[str, Lock] | None = None,
    regions: Regions | None = None,
) -> Iterator[Served]:
    """Serve until the block ends; nothing may be left in the budget then."""
    regions = regions or Regions(allowed=False)
    serving = Served(settings or GrpcSettings(), budget or BodyBudget(), locks or {}, regions)
    thread = threading.Thread(target=serving.loop.run_forever)
    thread.start()

    def wait_for(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, serving.loop).result(WAIT_S)

    try:
        wait_for(serving.server.start("127.0.0.1", 0, tls=tls))
        yield serving
    finally:
        wait_for(serving.server.stop())
        serving.slow_work.close()
        serving.loop.call_soon_threadsafe(serving.loop.stop)
        thread.join()
        serving.loop.close()


class RawClient:
    """A client of HTTP/2 that says exactly what it is told to."""

    def __init__(self, serving: Served, settings: Sequence[tuple[int, int]] = (), *, greet: bool = True) -> None:
        self.socket = socket.create_connection(("127.0.0.1", serving.server.port), WAIT_S)
        self._received = b""
        self._decoder = Decoder()
        if greet:
            self.say(frames.PREFACE + frames.settings(settings))

    def __enter__(self) -> "RawClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def say(self, data: bytes) -> None:
        self.socket.sendall(data)

    def call(
        self, stream_id: int, method: str, body: bytes = b"", *extra: tuple[bytes, bytes], ends: bool = True
    ) -> None:
        """Begin a call of a method of Triton's service; `body` is one message."""
        path = method if method.startswith("/") else f"/inference.GRPCInferenceService/{method}"
        block = encode_fields(
            (
                (b":method", b"POST"),
                (b":scheme", b"http"),
                (b":path", path.encode()),
                (b"content-type", b"application/grpc"),
                (b"te", b"trailers"),
                *extra,
            )
        )
        self.say(frames.frame(frames.HEADERS, frames.END_HEADERS, stream_id, block))
        if ends:
            framed = b"\0" + len(body).to_bytes(4) + body
            self.say(frames.frame(frames.DATA, frames.END_STREAM, stream_id, framed))

    def hear(self) -> Frame | None:
        """Return the next frame; None at the end of the connection."""
        while len(self._received) < 9 or len(self._received) < 9 + int.from_bytes(self._received[:3]):
            data = self.socket.recv(65536)
            if not data:
                assert not self._received
                return None
            self._received += data
        size = int.from_bytes(self._received[:3])
        _, _, kind, flags, stream_id = frames.HEADER.unpack_from(self._received)
        payload = self._received[9 : 9 + size]
        self._received = self._received[9 + size :]
        return Frame(kind, flags, stream_id, payload)

    def hear_until(self, kind: int, flags: int = 0) -> Frame:
        """Return the next frame of a kind, with all of `flags`."""
        while True:
            frame = self.hear()
            assert frame is not None, f"the connection ended, expected a frame of type {kind}"
            if frame.kind == kind and frame.flags & flags == flags:
                return frame

    def fields(self, frame: Frame) -> dict[str, str]:
        """Return the fields of a HEADERS frame; in the order in which they were heard."""
        return {str(name): str(value) for name, value in self._decoder.decode(frame.payload)}
