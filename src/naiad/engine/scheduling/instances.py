# SPDX-License-Identifier: Apache-2.0
"""The threads of a model's instances, and the way their results come back to the event loop.

Each instance has one thread, started with its first batch; the runtimes release the GIL while they compute. Results of
all threads share one mailbox, and results that arrive close together share one wake-up of the loop.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Generic, TypeVar

from naiad.backends.base import ModelInstance
from naiad.engine.loop import Loop
from naiad.engine.scheduling.execution import Outcome, execute
from naiad.engine.scheduling.quickness import Quickness
from naiad.engine.signature import BoundRequest, Signature

W = TypeVar("W")
OnOutcome = Callable[[Outcome], None]

_QUICK_MAX_BYTES = 64 * 1024
"""A batch with more input than this is never computed on the loop: what it takes is not what others have taken."""


class Mailbox:
    """Brings callbacks from any thread to the loop's, in order, with one wake-up for those that come together."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_called = False

    def post(self, callback: Callable[[], None]) -> None:
        """Run `callback` on the loop's thread soon."""
        self._waiting.append(callback)
        if not self._is_called:
            self._is_called = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: the server could not wait for this model, and nobody else does
                self._waiting.clear()

    def _deliver(self) -> None:
        # Cleared first: what is posted from here on either is seen below or calls again.
        self._is_called = False
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            if self._waiting:
                self.post(lambda: None)


class Worker(Generic[W]):
    """A thread that does one piece of work after the other; started with the first."""

    def __init__(self, name: str, do: Callable[[W], None]) -> None:
        self._name = name
        self._do = do
        self._work: SimpleQueue[W | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def give(self, work: W) -> None:
        """Let the thread do `work` when it has done what it was given before."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        self._work.put(work)

    def close(self) -> None:
        """Let the thread finish what it has, and end it; blocks until then."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            self._do(work)
            del work  # else the last batch and its answers, maybe large, live on until the next one comes


class InstanceThread:
    """One instance of a model, with the thread that computes on it. Its methods belong to the loop's thread."""

    def __init__(self, name: str, instance: ModelInstance, signature: Signature, mailbox: Mailbox) -> None:
        self._instance = instance
        self._signature = signature
        self._mailbox = mailbox
        self._worker = Worker(name, self._compute_on_thread)
        self._quickness = Quickness()

    def is_quick_with(self, batch: Sequence[BoundRequest]) -> bool:
        """Tell whether `batch` is better computed here and now than handed to the thread."""
        return self._quickness.is_proven and _input_bytes(batch) <= _QUICK_MAX_BYTES

    def compute(self, batch: Sequence[BoundRequest]) -> Outcome:
        """Compute `batch` on the loop's thread; only if `is_quick_with` says so, and while the instance is free."""
        outcome = execute(self._instance, self._signature, batch)
        self._quickness.ran_on_loop(_took_ns(outcome))
        return outcome

    def start(self, batch: Sequence[BoundRequest], on_outcome: OnOutcome) -> None:
        """Have the instance's thread compute `batch`, and call `on_outcome` on the loop's."""
        self._worker.give((batch, on_outcome))

    def close(self) -> None:
        """Let the thread finish what it has, end it and release the instance; blocks until then."""
        self._worker.close()
        self._instance.close()

    def _compute_on_thread(self, work: tuple[Sequence[BoundRequest], OnOutcome]) -> None:
        batch, on_outcome = work
        before_ns = time.thread_time_ns()
        outcome = execute(self._instance, self._signature, batch)
        cpu_ns = time.thread_time_ns() - before_ns
        # Merging and splitting cost time too; how quick the model is for one request, only one request tells.
        self._mailbox.post(partial(self._deliver, outcome, cpu_ns if len(batch) == 1 else None, on_outcome))

    def _deliver(self, outcome: Outcome, cpu_ns: int | None, on_outcome: OnOutcome) -> None:
        if cpu_ns is not None:
            self._quickness.ran_on_thread(_took_ns(outcome), cpu_ns)
        on_outcome(outcome)


def _input_bytes(batch: Sequence[BoundRequest]) -> int:
    size_bytes = 0
    for bound in batch:
        for array in bound.arrays.values():
            size_bytes += array.nbytes
    return size_bytes


def _took_ns(outcome: Outcome) -> int:
    return outcome.timings.output_end_ns - outcome.timings.start_ns
