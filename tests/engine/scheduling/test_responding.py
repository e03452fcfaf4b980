# SPDX-License-Identifier: Apache-2.0
"""Models that answer by themselves: every response reaches its client once and in order, whoever sends it."""

import asyncio
import gc
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.loops import SteppedLoop

from naiad.backends.base import ModelRequest, Placement, RespondingInstance
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.model import EngineContext, Model
from naiad.engine.pending import Pending
from naiad.engine.scheduling.channel import MOST_RESPONSES_UNDER_WAY
from naiad.engine.scheduling.instances import Mailbox
from naiad.engine.scheduling.responding import RespondingScheduler
from naiad.errors import InternalError, InvalidArgumentError, NaiadError, UnavailableError
from naiad.requests import InferRequest, InferResponse, InputTensor, RequestedOutput
from naiad.tensors import Array

PATIENCE_S = 10

Serve = Callable[[Sequence[ModelRequest]], None]


@dataclass
class Backend:
    """A backend model whose instances do what `serve` does."""

    serve: Serve
    metadata: dict[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        return config

    def create_instance(self, config: ModelConfig, placement: Placement) -> RespondingInstance:
        return self

    def threads_per_instance(self, config: ModelConfig) -> int:
        return 1

    def close(self) -> None:
        pass


def config_of(decoupled: bool, batches: bool = False, instances: int = 1, keeps_order: bool = False) -> ModelConfig:
    config = ModelConfig(name="m", backend="test", max_batch_size=8 if batches else 0)
    config.input.add(name="X", data_type=model_config_pb2.TYPE_INT32, dims=[-1])
    config.output.add(name="Y", data_type=model_config_pb2.TYPE_INT32, dims=[-1])
    config.output.add(name="Z", data_type=model_config_pb2.TYPE_INT32, dims=[-1])
    config.instance_group.add(name="m", kind=model_config_pb2.ModelInstanceGroup.KIND_CPU, count=instances)
    config.model_transaction_policy.decoupled = decoupled
    if batches:
        config.dynamic_batching.preserve_ordering = keeps_order
        config.dynamic_batching.SetInParent()
    return config


Told = list[InferResponse | NaiadError]


class Client:
    """One request and what was told of it."""

    def __init__(self, model: Model, *values: int, **more: object) -> None:
        array = np.array([values] if model.config.max_batch_size else values, np.int32)
        self.told: Told = []
        self.done = asyncio.Event()
        self.on_end: Callable[[], None] = lambda: None
        self._model = model
        request = InferRequest("m", (InputTensor("X", "INT32", array.shape, array),), **more)  # type: ignore[arg-type]
        self.pending: Pending = model.submit(request, self._on_response)

    def _on_response(self, response: InferResponse | NaiadError) -> None:
        assert not self.done.is_set(), "told something after the last response"
        self.told.append(response)
        if isinstance(response, NaiadError) or response.final:
            self.done.set()
            self.on_end()

    def cancel(self) -> None:
        self._model.cancel(self.pending)

    def hold_back(self, holds_back: bool) -> None:
        self._model.hold_back(self.pending, holds_back)

    async def all(self) -> Told:
        await asyncio.wait_for(self.done.wait(), PATIENCE_S)
        return self.told


def values_of(told: Told) -> list[object]:
    """Return what was told: lists of Y, texts of errors, None for a last response without outputs."""
    values: list[object] = []
    for one in told:
        if isinstance(one, NaiadError) or one.error is not None:
            values.append(str(one if isinstance(one, NaiadError) else one.error))
        else:
            values.append(one.outputs[0].data.reshape(-1).tolist() if one.outputs else None)
    return values


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in another thread
            await asyncio.sleep(0.001)


def y(*values: int) -> dict[str, Array]:
    return {"Y": np.array(values, np.int32)}


@pytest.fixture
def run() -> Callable[..., None]:
    """Run a coroutine with a model that serves as given, on a loop of its own; the model is idle afterwards."""

    def with_model(
        serve: Serve,
        test: Callable[[Model], object],
        decoupled: bool = True,
        batches: bool = False,
        keeps_order: bool = False,
    ) -> None:
        async def main() -> None:
            config = config_of(decoupled, batches, keeps_order=keeps_order)
            context = EngineContext.on(asyncio.get_running_loop())
            model = Model.load("m", 1, config=config, backend_model=Backend(serve), labels={}, context=context)
            await test(model)  # type: ignore[misc]
            await until(lambda: model.is_idle)
            model.stop()
            await asyncio.to_thread(model.close)

        asyncio.run(main())

    return with_model


Run = Callable[..., None]


class TestOneAnswerEach:
    def test_the_model_sees_the_whole_request(self, run: Run) -> None:
        seen: list[ModelRequest] = []

        def serve(requests: Sequence[ModelRequest]) -> None:
            for request in requests:
                seen.append(request)
                request.sender.send(y(2), {"n": 1}, final=True)

        async def test(model: Model) -> None:
            hints = {"priority": 2, "timeout_us": 5, "sequence_id": "s", "sequence_start": True}
            client = Client(model, 1, id="7", parameters={"a": True}, **hints)
            [response] = await client.all()
            assert isinstance(response, InferResponse)
            assert (response.id, response.parameters, response.final, response.error) == ("7", {"n": 1}, True, None)
            [request] = seen
            assert {name: array.tolist() for name, array in request.inputs.items()} == {"X": [1]}
            assert (request.outputs, request.id, request.parameters) == (("Y", "Z"), "7", {"a": True})
            assert (request.priority, request.timeout_us) == (2, 5)
            assert (request.sequence_id, request.sequence_start, request.sequence_end) == ("s", True, False)
            assert not request.is_cancelled
            figures = model.statistics()
            assert (figures.success.count, figures.fail.count, figures.inference_count) == (1, 0, 1)

        run(serve, test, decoupled=False)

    def test_requests_come_in_the_dynamic_batchers_batches_unmerged(self, run: Run) -> None:
        sizes: list[int] = []
        free = threading.Event()

        def serve(requests: Sequence[ModelRequest]) -> None:
            assert free.wait(PATIENCE_S)
            sizes.append(len(requests))
            for request in requests:
                request.sender.send({"Y": request.inputs["X"] * 2})

        async def test(model: Model) -> None:
            clients = [Client(model, n) for n in range(6)]
            free.set()
            assert [values_of(await client.all()) for client in clients] == [[[n * 2]] for n in range(6)]
            await until(lambda: model.is_idle)
            assert sizes == [1, 5]
            figures = model.statistics()
            assert (figures.execution_count, figures.inference_count) == (2, 6)
            assert [batch.batch_size for batch in figures.batches] == [1, 5]

        run(serve, test, decoupled=False, batches=True)

    def test_an_error_is_that_of_its_request_alone(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            for request in requests:
                if request.inputs["X"][0, 0] == 1:
                    request.sender.fail(InvalidArgumentError("not one"))
                else:
                    request.sender.send(y(0), final=True)

        async def test(model: Model) -> None:
            clients = [Client(model, n) for n in range(3)]
            assert [values_of(await client.all()) for client in clients] == [[[0]], ["not one"], [[0]]]
            figures = model.statistics()
            assert (figures.success.count, figures.failures["BACKEND"]) == (2, 1)

        run(serve, test, decoupled=False, batches=True)

    def test_an_instance_that_fails_fails_those_it_has_not_answered_and_lives_on(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            requests[0].sender.send(y(1), final=True)
            raise SystemExit

        async def test(model: Model) -> None:
            first = await Client(model, 0).all()
            clients = [Client(model, n) for n in range(3)]
            answers = [values_of(await client.all()) for client in clients]
            failed = ["model 'm' failed with SystemExit; see the server's log"]
            assert values_of(first) == [[1]]
            assert answers in ([[[1]], failed, failed], [[[1]], [[1]], failed])

        run(serve, test, decoupled=False, batches=True)

    def test_order_is_kept_where_it_is_asked_for(self, run: Run) -> None:
        kept: list[ModelRequest] = []
        order: list[int] = []

        async def test(model: Model) -> None:
            clients = [Client(model, 0) for _ in range(3)]
            for number, client in enumerate(clients):
                client.on_end = partial(order.append, number)
            await until(lambda: len(kept) == 3)
            for request in (kept[1], kept[2], kept[0]):
                request.sender.send(y(1))
            kept.clear()
            for client in clients:
                await client.all()
            assert order == [0, 1, 2]

        run(kept.extend, test, decoupled=False, batches=True, keeps_order=True)

    def test_a_second_answer_is_dropped_and_logged(self, run: Run, caplog: pytest.LogCaptureFixture) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            requests[0].sender.send(y(1))
            requests[0].sender.send(y(2))
            requests[0].sender.close()

        async def test(model: Model) -> None:
            assert values_of(await Client(model, 0).all()) == [[1]]

        with caplog.at_level(logging.ERROR):
            run(serve, test, decoupled=False)
        assert [record.message[:56] for record in caplog.records] == [
            "model 'm' sent a response after the last one of its requ"
        ] * 2

    @pytest.mark.parametrize(
        ("outputs", "text"),
        [
            ({"W": np.zeros(1, np.int32)}, "model 'm' gave an output 'W', expected one of: Y, Z;"),
            ({"Y": np.zeros(1, np.int64)}, "model 'm' gave output 'Y' as int64, expected int32 (INT32);"),
        ],
    )
    def test_an_output_that_is_not_the_models_fails_the_request(
        self,
        run: Run,
        outputs: dict[str, np.ndarray],
        text: str,
    ) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            requests[0].sender.send(outputs)

        async def test(model: Model) -> None:
            [told] = values_of(await Client(model, 0).all())
            assert str(told).startswith(text)

        run(serve, test, decoupled=False)

    def test_no_answer_is_an_error(self, run: Run) -> None:
        async def test(model: Model) -> None:
            assert values_of(await Client(model, 0).all()) == ["model 'm' gave no response, expected exactly one"]

        run(lambda requests: requests[0].sender.close(), test, decoupled=False)


class TestDecoupled:
    def test_responses_come_when_they_are_made_also_after_serve_has_returned(self, run: Run) -> None:
        kept: list[ModelRequest] = []

        async def test(model: Model) -> None:
            client = Client(model, 1)
            other = Client(model, 2)
            await until(lambda: len(kept) == 2)  # the only instance took the second: it is free
            assert not model.is_idle
            one, two = (request.sender for request in kept)
            one.send(y(1), {"k": "v"})
            two.send(y(2), final=True)
            assert values_of(await other.all()) == [[2]]
            one.send(y(3))
            one.close()
            assert values_of(await client.all()) == [[1], [3], None]
            first, _, last = client.told
            assert isinstance(first, InferResponse)
            assert isinstance(last, InferResponse)
            assert (first.parameters, first.final, last.final) == ({"k": "v"}, False, True)
            await until(lambda: model.is_idle)
            assert model.statistics().success.count == 2

        run(kept.extend, test)

    def test_only_the_outputs_asked_for_are_sent(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            requests[0].sender.send({"Z": np.ones(1, np.int32), **y(1)}, final=True)

        async def test(model: Model) -> None:
            [response] = await Client(model, 0, outputs=(RequestedOutput("Z"),)).all()
            assert isinstance(response, InferResponse)
            assert [output.name for output in response.outputs] == ["Z"]

        run(serve, test)

    def test_an_error_in_between_does_not_end_it(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            sender.send(y(1))
            sender.fail(InternalError("bad"), final=False)
            sender.send(y(2))
            sender.fail(InternalError("worst"))

        async def test(model: Model) -> None:
            assert values_of(await Client(model, 0).all()) == [[1], "bad", [2], "worst"]

        run(serve, test)

    def test_responses_are_counted_by_their_number(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            sender.send(y(1))
            sender.fail(InternalError("bad"), final=False)
            sender.close()

        async def test(model: Model) -> None:
            await Client(model, 0).all()
            await Client(model, 0).all()
            counts = [
                tuple(getattr(row, part).count for part in ("success", "fail", "empty_response", "cancel"))
                for row in model.statistics().responses
            ]
            assert counts == [(2, 0, 0, 0), (0, 2, 0, 0), (0, 0, 2, 0)]

        run(serve, test)

    def test_every_response_tells_the_time_until_then_to_who_asked(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            sender.send(y(1))
            sender.send(y(2))
            sender.close()

        async def test(model: Model) -> None:
            times = [
                one.timing for one in await Client(model, 0, wants_timing=True).all() if isinstance(one, InferResponse)
            ]
            first, second, last = times
            assert first is not None
            assert second is not None
            assert last is not None
            assert 0 <= first.queue_ns == second.queue_ns == last.queue_ns
            assert 0 <= first.compute_infer_ns <= second.compute_infer_ns <= last.compute_infer_ns
            for told in (first, second, last):
                assert told.queue_ns + told.compute_infer_ns + told.compute_output_ns <= told.request_ns
            assert [one.timing for one in await Client(model, 0).all() if isinstance(one, InferResponse)] == [None] * 3

        run(serve, test)

    def test_a_forgotten_sender_fails_its_request(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            requests[0].sender.send(y(1))

        async def test(model: Model) -> None:
            first, error = values_of(await Client(model, 0).all())
            assert first == [1]
            assert str(error).startswith("model 'm' has forgotten a request before its last response")

        run(serve, test)

    def test_a_sender_in_a_circle_is_noticed_when_the_collector_finds_it(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            circle: list[object] = [requests[0]]
            circle.append(circle)

        async def test(model: Model) -> None:
            client = Client(model, 0)
            await until(lambda: gc.collect() >= 0 and bool(client.told))
            assert str((await client.all())[0]).startswith("model 'm' has forgotten a request")

        run(serve, test)

    def test_cancelling_reaches_the_model_and_frees_the_place_when_it_ends(self, run: Run) -> None:
        kept: list[ModelRequest] = []

        async def test(model: Model) -> None:
            client = Client(model, 1)
            await until(lambda: bool(kept))
            request = kept.pop()
            request.sender.send(y(1))
            await until(lambda: bool(client.told))
            assert not request.is_cancelled
            client.cancel()
            assert request.is_cancelled
            request.sender.send(y(2))
            assert not model.is_idle
            request.sender.close()
            await until(lambda: model.is_idle)
            assert values_of(client.told) == [[1]]
            assert model.statistics().failures["CANCELED"] == 1

        run(kept.extend, test)

    def test_a_model_waits_for_a_client_that_does_not_read(self, run: Run) -> None:
        sent: list[int] = []
        is_held = threading.Event()

        def serve(requests: Sequence[ModelRequest]) -> None:
            assert is_held.wait(PATIENCE_S)
            for n in range(MOST_RESPONSES_UNDER_WAY * 3):
                requests[0].sender.send(y(n))
                sent.append(n)
            requests[0].sender.close()

        async def test(model: Model) -> None:
            client = Client(model, 0)
            client.hold_back(True)
            is_held.set()
            await asyncio.sleep(0.05)
            assert sent == []
            client.hold_back(False)
            told = values_of(await client.all())
            assert told == [*[[n] for n in range(MOST_RESPONSES_UNDER_WAY * 3)], None]

        run(serve, test)

    def test_a_request_that_is_held_back_before_it_is_served_is_held_back_then(self, run: Run) -> None:
        sent: list[int] = []
        is_free, begun = threading.Event(), threading.Event()

        def serve(requests: Sequence[ModelRequest]) -> None:
            [request] = requests
            if request.inputs["X"][0]:
                begun.set()
                request.sender.send(y(1))
                sent.append(1)
            else:
                assert is_free.wait(PATIENCE_S)
            request.sender.close()

        async def test(model: Model) -> None:
            first, second = Client(model, 0), Client(model, 1)
            second.hold_back(True)
            is_free.set()
            await first.all()
            await until(begun.is_set)
            await asyncio.sleep(0.02)
            assert (sent, second.told) == ([], [])
            second.hold_back(False)
            assert values_of(await second.all()) == [[1], None]

        run(serve, test)

    def test_errors_in_between_wait_too(self, run: Run) -> None:
        sent: list[str] = []
        is_held = threading.Event()

        def serve(requests: Sequence[ModelRequest]) -> None:
            assert is_held.wait(PATIENCE_S)
            requests[0].sender.fail(InternalError("bad"), final=False)
            sent.append("error")
            requests[0].sender.close()

        async def test(model: Model) -> None:
            client = Client(model, 0)
            client.hold_back(True)
            is_held.set()
            await asyncio.sleep(0.02)
            assert sent == []
            client.hold_back(False)
            assert values_of(await client.all()) == ["bad", None]

        run(serve, test)

    def test_the_word_that_there_is_no_more_waits_for_nobody(self, run: Run) -> None:
        is_held = threading.Event()

        def serve(requests: Sequence[ModelRequest]) -> None:
            assert is_held.wait(PATIENCE_S)
            requests[0].sender.close()

        async def test(model: Model) -> None:
            client = Client(model, 0)
            client.hold_back(True)
            is_held.set()
            assert values_of(await client.all()) == [None]

        run(serve, test)

    def test_cancelling_wakes_a_model_that_waits(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            while not sender.is_cancelled:
                sender.send(y(1))
            sender.close()

        async def test(model: Model) -> None:
            client = Client(model, 0)
            client.hold_back(True)
            await asyncio.sleep(0.02)
            client.cancel()
            await until(lambda: model.is_idle)

        run(serve, test)

    def test_aborting_fails_what_is_open_and_wakes_the_model(self, run: Run) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            while not sender.is_cancelled:
                sender.send(y(1))
            sender.close()

        async def test(model: Model) -> None:
            client = Client(model, 0)
            client.hold_back(True)
            model.abort()
            told = values_of(await client.all())
            assert told == ["[request id: <id_unknown>] Server is stopping, the request was not finished"]

        run(serve, test)


class Keeper:
    """A model with stepped time, one instance of which sends what it is told to from within `serve`."""

    def __init__(self, model: Model, loop: SteppedLoop) -> None:
        self.model = model
        self.loop = loop

    @property
    def is_kept(self) -> bool:
        """Whether the instance waits for a client to read."""
        scheduler = self.model._scheduler
        assert isinstance(scheduler, RespondingScheduler)
        return any(opened.channel.keeps_instance for opened in scheduler._open.values())


@pytest.fixture
def keep() -> Callable[..., None]:
    """Run a coroutine with a `Keeper`, whose model serves as given."""

    def with_keeper(serve: Serve, test: Callable[[Keeper], object], batches: bool = False) -> None:
        async def main() -> None:
            loop = SteppedLoop()
            context = EngineContext(loop, Mailbox(loop), lambda: loop.now_ns)
            config = config_of(decoupled=True, batches=batches)
            model = Model.load("m", 1, config=config, backend_model=Backend(serve), labels={}, context=context)
            await test(Keeper(model, loop))  # type: ignore[misc]
            await until(lambda: model.is_idle)
            model.stop()
            await asyncio.to_thread(model.close)
            assert not [timer for timer in loop.timers if not timer.is_cancelled]

        asyncio.run(main())

    return with_keeper


def as_many_as(requests: Sequence[ModelRequest]) -> None:
    """Send each client as many responses as it says."""
    for request in requests:
        for n in range(int(request.inputs["X"].reshape(-1)[0])):
            request.sender.send(y(n))
        request.sender.close()


class TestAClientThatDoesNotRead:
    def test_gives_way_when_others_wait_for_the_instance_that_it_keeps(self, keep: Run) -> None:
        async def test(keeper: Keeper) -> None:
            slow = Client(keeper.model, 100, id="7")
            slow.hold_back(True)
            other = Client(keeper.model, 1)
            await until(lambda: keeper.is_kept)
            keeper.loop.step(4.9)
            assert slow.told == other.told == []
            keeper.loop.step(0.2)
            [error] = slow.told
            assert isinstance(error, UnavailableError)
            assert str(error) == (
                "[request id: 7] the client has left up to 0 bytes of responses unread for 5 s, while other requests "
                "waited for the instance of model 'm' that it kept; read at least a megabit a second, or give the "
                "model more instances"
            )
            assert values_of(await other.all()) == [[0], None]
            figures = keeper.model.statistics()
            assert (figures.success.count, figures.failures["CANCELED"]) == (1, 1)

        keep(as_many_as, test)

    def test_may_take_its_time_while_nobody_waits(self, keep: Run) -> None:
        async def test(keeper: Keeper) -> None:
            slow = Client(keeper.model, 100)
            slow.hold_back(True)
            await until(lambda: keeper.is_kept)
            keeper.loop.step(100)
            assert slow.told == []
            other = Client(keeper.model, 1)
            keeper.loop.step(1)
            assert isinstance(slow.told[0], UnavailableError)
            assert values_of(await other.all()) == [[0], None]

        keep(as_many_as, test)

    @pytest.mark.parametrize(("has_read", "least_s"), [(False, 13), (True, 5)])
    def test_has_more_time_for_more_bytes_unless_it_has_read_them(
        self, keep: Run, has_read: bool, least_s: float
    ) -> None:
        def serve(requests: Sequence[ModelRequest]) -> None:
            sender = requests[0].sender
            sender.send(y(*[0] * 2**18))
            assert is_held.wait(PATIENCE_S)
            sender.send(y(1))
            sender.close()

        is_held = threading.Event()

        async def test(keeper: Keeper) -> None:
            slow = Client(keeper.model, 0)
            await until(lambda: len(slow.told) == 1)
            slow.hold_back(True)
            if has_read:
                slow.hold_back(False)
                slow.hold_back(True)
            is_held.set()
            other = Client(keeper.model, 0)
            await until(lambda: keeper.is_kept)
            keeper.loop.step(least_s - 0.1)
            assert len(slow.told) == 1
            keeper.loop.step(0.2)
            assert isinstance(slow.told[1], UnavailableError)
            assert values_of(await other.all())[1:] == [[1], None]

        keep(serve, test)

    def test_has_its_time_anew_when_it_has_read(self, keep: Run) -> None:
        async def test(keeper: Keeper) -> None:
            slow = Client(keeper.model, 100)
            slow.hold_back(True)
            other = Client(keeper.model, 1)
            for _ in range(3):
                await until(lambda: keeper.is_kept)
                keeper.loop.step(4)
                slow.hold_back(False)
                slow.hold_back(True)
            slow.hold_back(False)
            assert values_of(await slow.all()) == [*[[n] for n in range(100)], None]
            assert values_of(await other.all()) == [[0], None]

        keep(as_many_as, test)

    def test_is_forgotten_when_it_has_gone_or_the_model_has_no_more_to_say(self, keep: Run) -> None:
        async def test(keeper: Keeper) -> None:
            gone, satisfied, late = Client(keeper.model, 100), Client(keeper.model, 0), Client(keeper.model, 1)
            gone.hold_back(True)
            satisfied.hold_back(True)
            await until(lambda: keeper.is_kept)
            gone.cancel()
            gone.hold_back(False)
            gone.hold_back(True)
            assert values_of(await satisfied.all()) == [None]
            assert values_of(await late.all()) == [[0], None]
            late.hold_back(True)
            assert keeper.model.statistics().failures["CANCELED"] == 1

        keep(as_many_as, test)

    def test_keeps_nobody_waiting_if_the_model_sends_from_another_thread(self, keep: Run) -> None:
        threads: list[threading.Thread] = []

        def serve(requests: Sequence[ModelRequest]) -> None:
            threads.append(threading.Thread(target=as_many_as, args=(requests,)))
            threads[-1].start()
            assert is_free.wait(PATIENCE_S)

        is_free = threading.Event()

        async def test(keeper: Keeper) -> None:
            slow = Client(keeper.model, 2)
            slow.hold_back(True)
            other = Client(keeper.model, 1)
            await until(lambda: bool(threads))
            keeper.loop.step(100)
            is_free.set()
            assert values_of(await other.all()) == [[0], None]
            slow.hold_back(False)
            assert values_of(await slow.all()) == [[0], [1], None]
            for thread in threads:
                thread.join()

        keep(serve, test)

    def test_gives_way_to_those_of_its_batch_too(self, keep: Run) -> None:
        async def test(keeper: Keeper) -> None:
            first = Client(keeper.model, 1)
            slow, other = Client(keeper.model, 100), Client(keeper.model, 1)
            slow.hold_back(True)
            await first.all()
            await until(lambda: keeper.is_kept)
            assert keeper.model.statistics().pending_request_count == 0
            keeper.loop.step(5.1)
            assert isinstance(slow.told[0], UnavailableError)
            assert values_of(await other.all()) == [[0], None]

        keep(as_many_as, test, batches=True)


@dataclass(frozen=True)
class Plan:
    """A request: what its model sends, from which thread, and when its client goes."""

    values: tuple[int, ...]
    """Negative ones are errors in between."""
    threads: int
    """0: all from within `serve`."""
    last_with_a_value: bool
    forgets: bool
    cancel_after: int | None
    """How many responses are read before the client goes."""
    holds: bool
    """Whether the client reads nothing for a while."""


PLANS = st.builds(
    Plan,
    values=st.lists(st.integers(-3, 100), max_size=12).map(tuple),
    threads=st.sampled_from([0, 1, 3]),
    last_with_a_value=st.booleans(),
    forgets=st.sampled_from([False, False, False, True]),
    cancel_after=st.sampled_from([None, None, None, 0, 1, 3]),
    holds=st.sampled_from([False, False, True]),
)


class Planned:
    """A model that sends what is planned for each request; several threads share the values of one."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self.plans = plans
        self.threads: list[threading.Thread] = []

    def serve(self, requests: Sequence[ModelRequest]) -> None:
        for request in requests:
            plan = self.plans[int(request.id)]
            if not plan.threads:
                self.send(request, plan, plan.values)
                self.end(request, plan)
                continue
            thread = threading.Thread(target=self.answer, args=(request, plan))
            self.threads.append(thread)
            thread.start()

    def answer(self, request: ModelRequest, plan: Plan) -> None:
        shares = [plan.values[number :: plan.threads] for number in range(plan.threads)]
        helpers = [threading.Thread(target=self.send, args=(request, plan, share)) for share in shares[1:]]
        for helper in helpers:
            helper.start()
        self.send(request, plan, shares[0])
        for helper in helpers:
            helper.join()
        self.end(request, plan)

    def send(self, request: ModelRequest, plan: Plan, values: Sequence[int]) -> None:
        for value in values:
            if value < 0:
                request.sender.fail(InternalError(str(value)), final=False)
            else:
                request.sender.send(y(value))

    def end(self, request: ModelRequest, plan: Plan) -> None:
        if plan.forgets:
            return
        if plan.last_with_a_value:
            request.sender.send(y(1000), final=True)
        else:
            request.sender.close()


@settings(max_examples=60)
@given(st.lists(PLANS, min_size=1, max_size=8), st.sampled_from([1, 2]))
def test_no_response_is_lost_doubled_or_after_the_last(plans: list[Plan], instances: int) -> None:
    planned = Planned(plans)

    async def main() -> None:
        context = EngineContext.on(asyncio.get_running_loop())
        config = config_of(decoupled=True, instances=instances)
        model = Model.load("m", 1, config=config, backend_model=Backend(planned.serve), labels={}, context=context)
        clients = [Client(model, 0, id=str(number)) for number in range(len(plans))]
        for client, plan in zip(clients, plans, strict=True):
            client.hold_back(plan.holds)
        await asyncio.sleep(0)
        for client in clients:
            client.hold_back(False)
        await asyncio.gather(*[follow(client, plan) for client, plan in zip(clients, plans, strict=True)])
        await until(lambda: model.is_idle)
        figures = model.statistics()
        assert figures.success.count + figures.fail.count == len(plans)
        model.stop()
        await asyncio.to_thread(model.close)

    asyncio.run(main())
    for thread in planned.threads:
        thread.join(PATIENCE_S)


async def follow(client: Client, plan: Plan) -> None:
    """Read until the last response, or leave before; hold what was told against the plan."""
    ending = "forgotten" if plan.forgets else 1000 if plan.last_with_a_value else None
    sent = [str(value) if value < 0 else value for value in plan.values]
    if plan.cancel_after is not None:
        await until(lambda: client.done.is_set() or len(client.told) >= (plan.cancel_after or 0))
        client.cancel()
        count = len(client.told)
        await asyncio.sleep(0.002)
        assert len(client.told) == count, "told something after it had gone"
    else:
        await client.all()
    told = [value[0] if isinstance(value, list) else value for value in values_of(client.told)]
    if client.done.is_set():
        *told, last = told
        assert "has forgotten" in str(last) if ending == "forgotten" else last == ending
        assert sorted(map(str, told)) == sorted(map(str, sent))
    if plan.threads < 2:
        assert told == sent[: len(told)]
