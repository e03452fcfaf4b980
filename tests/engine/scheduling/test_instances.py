# SPDX-License-Identifier: Apache-2.0
"""Real threads: batches go out, outcomes come back to the loop's thread, tiny models stay on it."""

import asyncio
import threading
import weakref
from collections.abc import Mapping, Sequence

import numpy as np

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.scheduling.execution import Outcome
from naiad.engine.scheduling.instances import InstanceThread, Mailbox
from naiad.engine.signature import BoundRequest, Signature
from naiad.tensors import Array


class RecordingInstance:
    """Notes the threads that called it; waits for `gate` where there is one."""

    def __init__(self, gate: threading.Event | None = None) -> None:
        self.threads: list[int] = []
        self.is_closed = False
        self._gate = gate

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        self.threads.append(threading.get_ident())
        if self._gate:
            self._gate.wait(5)
        return inputs

    def close(self) -> None:
        self.is_closed = True


def signature() -> Signature:
    config = ModelConfig()
    for tensors in (config.input, config.output):
        tensors.add(name="X", data_type=model_config_pb2.TYPE_FP32, dims=[-1])
    return Signature.from_config(config, "m")


def batch(size: int = 2) -> list[BoundRequest]:
    return [BoundRequest({"X": np.zeros(size, np.float32)}, 1, (), ("X",))]


async def computed(thread: InstanceThread, work: Sequence[BoundRequest]) -> Outcome:
    future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    thread.start(work, future.set_result)
    return await future


def test_outcomes_come_back_on_the_loops_thread() -> None:
    async def scenario() -> None:
        instance = RecordingInstance()
        thread = InstanceThread("i", instance, signature(), Mailbox(asyncio.get_running_loop()))
        back: list[int] = []
        done = asyncio.Event()

        def on_outcome(_: Outcome) -> None:
            back.append(threading.get_ident())
            done.set()

        thread.start(batch(), on_outcome)
        await done.wait()
        assert back == [threading.get_ident()]
        assert instance.threads != [threading.get_ident()]
        thread.close()
        assert instance.is_closed

    asyncio.run(scenario())


def test_a_large_input_never_runs_on_the_loop() -> None:
    async def scenario() -> None:
        instance = RecordingInstance()
        thread = InstanceThread("i", instance, signature(), Mailbox(asyncio.get_running_loop()))
        for _ in range(100):
            await computed(thread, batch(20_000))
        thread.close()
        assert threading.get_ident() not in instance.threads

    asyncio.run(scenario())


def test_a_model_that_waits_never_runs_on_the_loop() -> None:
    class Slow(RecordingInstance):
        def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
            threading.Event().wait(0.0002)
            return super().run(inputs, outputs)

    async def scenario() -> None:
        instance = Slow()
        thread = InstanceThread("i", instance, signature(), Mailbox(asyncio.get_running_loop()))
        for _ in range(60):
            await computed(thread, batch())
        thread.close()
        assert threading.get_ident() not in instance.threads

    asyncio.run(scenario())


def test_closing_waits_for_what_runs() -> None:
    async def scenario() -> None:
        gate = threading.Event()
        instance = RecordingInstance(gate)
        thread = InstanceThread("i", instance, signature(), Mailbox(asyncio.get_running_loop()))
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        thread.start(batch(), future.set_result)
        closing = asyncio.get_running_loop().run_in_executor(None, thread.close)
        assert not instance.is_closed
        gate.set()
        await closing
        assert instance.is_closed
        await future

    asyncio.run(scenario())


def test_a_callback_that_raises_does_not_lose_those_behind_it() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        problems: list[object] = []
        loop.set_exception_handler(lambda _, context: problems.append(context["exception"]))
        mailbox = Mailbox(loop)
        done = asyncio.Event()

        def fail() -> None:
            raise ValueError

        mailbox.post(fail)
        mailbox.post(done.set)
        await asyncio.wait_for(done.wait(), 5)
        assert len(problems) == 1

    asyncio.run(scenario())


def test_what_is_computed_after_the_loop_has_ended_is_dropped() -> None:
    gate = threading.Event()
    instance = RecordingInstance(gate)
    outcomes: list[Outcome] = []
    loop = asyncio.new_event_loop()
    thread = InstanceThread("i", instance, signature(), Mailbox(loop))
    thread.start(batch(), outcomes.append)
    loop.close()
    gate.set()
    thread.close()  # an error in the thread would fail this test
    assert instance.is_closed
    assert outcomes == []


def test_a_thread_that_waits_holds_on_to_nothing() -> None:
    """The last batch may be large, and the next may never come."""

    async def scenario() -> None:
        thread = InstanceThread("i", RecordingInstance(), signature(), Mailbox(asyncio.get_running_loop()))
        work = batch()
        array = work[0].arrays["X"]
        await computed(thread, work)
        del work
        let_go = asyncio.Event()
        weakref.finalize(array, asyncio.get_running_loop().call_soon_threadsafe, let_go.set).atexit = False
        del array
        await asyncio.wait_for(let_go.wait(), 5)
        thread.close()

    asyncio.run(scenario())
