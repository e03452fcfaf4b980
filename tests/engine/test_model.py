# SPDX-License-Identifier: Apache-2.0
"""The whole engine with real threads: whatever arrives, in whatever order, each request gets its own rows, once."""

import asyncio
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from naiad.backends.base import ModelInstance, Placement
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.model import EngineContext, Model
from naiad.engine.pending import Pending
from naiad.errors import InternalError, NaiadError, UnavailableError
from naiad.requests import InferRequest, InferResponse, InputTensor
from naiad.snapshots import ModelStatistics
from naiad.tensors import Array

_PATIENCE_S = 10
_POISON = 9


@dataclass(frozen=True)
class Setup:
    """A model: how it batches, how many instances it has, and how long each execution takes."""

    max_batch_size: int
    batches: bool
    keeps_order: bool
    delay_us: int
    queue_size: int
    instances: int
    compute_us: int
    levels: int = 0


@dataclass(frozen=True)
class Arrival:
    """A request: its shape, and what happens around it. A poisoned one fails the batch it is in."""

    rows: int
    width: int
    pause: int
    """Turns of the loop before it is submitted; above 3 also real time."""
    cancel_after: int | None
    """Turns of the loop after which its client goes."""
    is_poisoned: bool
    by_view: bool
    """Whether its tensor comes as raw bytes."""
    priority: int = 0


SETUPS = st.builds(
    Setup,
    max_batch_size=st.sampled_from([8, 5, 4, 2, 1]),
    batches=st.sampled_from([True, True, True, False]),
    keeps_order=st.booleans(),
    delay_us=st.sampled_from([0, 0, 100, 2000]),
    queue_size=st.sampled_from([0, 0, 0, 0, 1, 4]),
    instances=st.sampled_from([1, 1, 2, 3]),
    compute_us=st.sampled_from([300, 100, 1000, 0]),
    levels=st.sampled_from([0, 0, 0, 1, 3]),
).filter(lambda setup: not (setup.keeps_order and setup.levels > 1))
ARRIVALS = st.builds(
    Arrival,
    rows=st.sampled_from([1, 1, 2, 3, 8]),
    width=st.sampled_from([1, 1, 1, 1, 1, 2]),
    pause=st.sampled_from([0, 0, 0, 1, 2, 4]),
    cancel_after=st.sampled_from([None] * 8 + [0, 1, 3, 20]),
    is_poisoned=st.sampled_from([False] * 12 + [True]),
    by_view=st.booleans(),
    priority=st.sampled_from([0, 1, 2, 3, 4]),
)


@dataclass
class Backend:
    """Gives `3 * X` and the batch's number of rows beside each row; notes every batch. Shared by all instances."""

    setup: Setup
    batches: list[Array] = field(default_factory=list)
    instances: int = 0
    closed: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        return config

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        self.instances += 1
        return Instance(self)

    def threads_per_instance(self, config: ModelConfig) -> int:
        return 3

    def close(self) -> None:
        self.closed += 1


class Instance:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._is_running = threading.Lock()

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        assert self._is_running.acquire(blocking=False), "an instance was called by two threads at a time"
        try:
            x = inputs["X"]
            self._backend.batches.append(x.copy())
            if self._backend.setup.compute_us:
                threading.Event().wait(self._backend.setup.compute_us / 1e6)
            if (x % 10 == _POISON).any():
                raise InternalError("poisoned")
            return {"Y": x * 3, "N": np.full((len(x), 1), len(x), np.int64)}
        finally:
            self._is_running.release()

    def close(self) -> None:
        self._backend.instances -= 1


def config_of(setup: Setup) -> ModelConfig:
    config = ModelConfig(max_batch_size=setup.max_batch_size)
    config.input.add(name="X", data_type=model_config_pb2.TYPE_INT64, dims=[-1])
    config.output.add(name="Y", data_type=model_config_pb2.TYPE_INT64, dims=[-1])
    config.output.add(name="N", data_type=model_config_pb2.TYPE_INT64, dims=[1])
    config.instance_group.add(name="g", count=setup.instances, kind=model_config_pb2.ModelInstanceGroup.KIND_CPU)
    if setup.batches:
        batching = config.dynamic_batching
        batching.max_queue_delay_microseconds = setup.delay_us
        batching.preserve_ordering = setup.keeps_order
        batching.default_queue_policy.max_queue_size = setup.queue_size
        batching.priority_levels = setup.levels
        batching.default_priority_level = min(setup.levels, 2)
    return config


class Client:
    """One request's sender: what it asked, what it was told, and whether it went away."""

    def __init__(self, number: int, arrival: Arrival, max_rows: int) -> None:
        self.number = number
        self.arrival = arrival
        self.rows = min(arrival.rows, max_rows)
        own = number * 1000 + np.arange(self.rows * arrival.width, dtype=np.int64).reshape(self.rows, -1) * 10
        self.x = own + (_POISON if arrival.is_poisoned else 0)
        self.answers: list[InferResponse | NaiadError] = []
        self.answered = asyncio.Event()
        self.has_left = False
        self.was_refused = False

    async def ask(self, model: Model, order: list[int]) -> None:
        data = memoryview(self.x.tobytes()) if self.arrival.by_view else self.x
        tensors, priority = (InputTensor("X", "INT64", self.x.shape, data),), self.arrival.priority
        request = InferRequest("m", tensors, id=str(self.number), priority=priority)

        def on_response(response: InferResponse | NaiadError) -> None:
            assert not self.has_left, "a cancelled request was answered"
            self.answers.append(response)
            order.append(self.number)
            self.answered.set()

        try:
            pending = model.submit(request, on_response)
        except UnavailableError:
            self.was_refused = True
            return
        if self.arrival.cancel_after is not None:
            await self._leave(model, pending, self.arrival.cancel_after)
        else:
            await self.answered.wait()

    async def _leave(self, model: Model, pending: Pending, turns: int) -> None:
        for _ in range(turns):
            await asyncio.sleep(0)
        if not self.answers:
            self.has_left = True
        model.cancel(pending)

    def check(self) -> None:
        """Assert that exactly the right answer came, or none where none may."""
        if self.has_left or self.was_refused:
            assert self.answers == []
            return
        (answer,) = self.answers
        if isinstance(answer, NaiadError):
            assert str(answer) == "poisoned"
            return
        assert not self.arrival.is_poisoned
        assert (answer.model_name, answer.model_version, answer.id, answer.final) == ("m", "1", str(self.number), True)
        np.testing.assert_array_equal(answer.output("Y"), self.x * 3)
        assert answer.output("N").shape == (self.rows, 1)


async def walk(setup: Setup, arrivals: list[Arrival]) -> None:
    backend = Backend(setup)
    context = EngineContext.on(asyncio.get_running_loop())
    model = Model.load("m", 1, config=config_of(setup), backend_model=backend, labels={}, context=context)
    clients = [Client(number, arrival, setup.max_batch_size) for number, arrival in enumerate(arrivals, start=1)]
    order: list[int] = []
    asking = []
    for client in clients:
        for _ in range(client.arrival.pause):
            await asyncio.sleep(0.0002 if client.arrival.pause > 3 else 0)
        asking.append(asyncio.ensure_future(client.ask(model, order)))
    await asyncio.gather(*asking)
    while not model.is_idle:  # noqa: ASYNC110 - what clients left behind is still computed, and tells nobody
        await asyncio.sleep(0.0002)
    for client in clients:
        client.check()
    check_batches(setup, backend, clients)
    check_statistics(model.statistics(), clients, backend)
    if setup.batches and setup.keeps_order:
        assert order == sorted(order)
    model.stop()
    await asyncio.get_running_loop().run_in_executor(None, model.close)
    assert (backend.instances, backend.closed) == (0, 1)


def check_batches(setup: Setup, backend: Backend, clients: list[Client]) -> None:
    """No row went in twice, and none of a request that is not whole beside it."""
    for batch in backend.batches:
        assert len(batch) <= setup.max_batch_size
        assert setup.batches or len({row[0] // 1000 for row in batch}) == 1
    computed = [tuple(row) for batch in backend.batches for row in batch.tolist()]
    assert len(set(computed)) == len(computed), "a row was computed twice"
    asked = {tuple(row): client for client in clients for row in client.x.tolist()}
    assert set(computed) <= set(asked), "a row was computed that nobody sent"
    for client in clients:
        rows = [tuple(row) for row in client.x.tolist()]
        present = [row in set(computed) for row in rows]
        assert all(present) or not any(present)
        assert all(present) or client.has_left or client.was_refused


def check_statistics(statistics: ModelStatistics, clients: list[Client], backend: Backend) -> None:
    refused = sum(client.was_refused for client in clients)
    failed = sum(isinstance(answer, NaiadError) for client in clients for answer in client.answers)
    answered = sum(isinstance(answer, InferResponse) for client in clients for answer in client.answers)
    assert statistics.success.count + statistics.fail.count == len(clients)
    assert statistics.fail.count == sum(statistics.failures.values())
    assert statistics.failures["REJECTED"] == refused
    assert statistics.failures["BACKEND"] == failed
    assert statistics.failures["OTHER"] == 0
    assert answered <= statistics.success.count  # a client that left may have been computed for all the same
    assert statistics.pending_request_count == 0
    good = [batch for batch in backend.batches if not (batch % 10 == _POISON).any()]
    assert statistics.execution_count == len(good)
    assert statistics.inference_count == sum(map(len, good))
    assert {batch.batch_size: batch.compute_infer.count for batch in statistics.batches} == {
        size: [len(batch) for batch in good].count(size) for size in {len(batch) for batch in good}
    }


@settings(max_examples=60)
@given(SETUPS, st.lists(ARRIVALS, min_size=6, max_size=30))
def test_no_row_is_lost_doubled_or_given_to_another_request(setup: Setup, arrivals: list[Arrival]) -> None:
    asyncio.run(asyncio.wait_for(walk(setup, arrivals), _PATIENCE_S))


def test_what_is_cancelled_gives_its_place_to_the_next() -> None:
    """With room for one in the queue, a hundred clients that go before their turn leave it free each time."""
    setup = Setup(4, True, False, 0, 1, 1, 1000)

    async def scenario() -> None:
        backend = Backend(setup)
        context = EngineContext.on(asyncio.get_running_loop())
        model = Model.load("m", 1, config=config_of(setup), backend_model=backend, labels={}, context=context)
        stays = Arrival(1, 1, 0, None, False, True)
        first = Client(1, stays, 1)
        order: list[int] = []
        asking = asyncio.ensure_future(first.ask(model, order))
        await asyncio.sleep(0)
        for number in range(2, 102):
            client = Client(number, Arrival(1, 1, 0, 0, False, True), 1)
            await client.ask(model, order)
            assert not client.was_refused
        last = Client(200, stays, 1)
        await asyncio.gather(asking, last.ask(model, order))
        assert order == [1, 200]
        assert model.statistics().failures["CANCELED"] == 100
        model.stop()
        await asyncio.get_running_loop().run_in_executor(None, model.close)

    asyncio.run(scenario())


def test_urgent_requests_are_computed_before_those_that_came_earlier() -> None:
    setup = Setup(1, True, False, 0, 0, 1, 20_000, levels=3)

    async def scenario() -> None:
        context = EngineContext.on(asyncio.get_running_loop())
        model = Model.load("m", 1, config=config_of(setup), backend_model=Backend(setup), labels={}, context=context)
        order: list[int] = []
        arrivals = [Arrival(1, 1, 0, None, False, True, priority) for priority in (3, 3, 0, 1, 2, 1)]
        asking = [
            asyncio.ensure_future(Client(number, arrival, 1).ask(model, order))
            for number, arrival in enumerate(arrivals, start=1)
        ]
        await asyncio.sleep(0)
        assert model.statistics().pending_request_count == 5
        await asyncio.gather(*asking)
        assert order == [1, 4, 6, 3, 5, 2]
        model.stop()
        await asyncio.get_running_loop().run_in_executor(None, model.close)

    asyncio.run(scenario())


def test_how_many_instances_compute_with_how_many_threads_is_told() -> None:
    setup = Setup(4, True, False, 0, 1, 3, 0)

    async def scenario() -> None:
        context = EngineContext.on(asyncio.get_running_loop())
        model = Model.load("m", 1, config=config_of(setup), backend_model=Backend(setup), labels={}, context=context)
        assert (model.instance_count, model.threads_per_instance) == (setup.instances, 3)
        model.close()

    asyncio.run(scenario())
