# SPDX-License-Identifier: Apache-2.0
"""The threads of a model's instances, and the way their results come back to the event loop.

Each instance has one thread, started with its first batch; the runtimes release the GIL while they compute. Results of
all threads share one mailbox, and results that arrive close together share one wake-up of the loop.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from naiad.backends.base import ModelInstance
from naiad.engine.execution import Outcome, execute
from naiad.engine.loop import Loop
from naiad.engine.signature import BoundRequest, Signature

OnOutcome = Callable[[Outcome], None]

# A hand-off to a thread and back costs about 20 µs; a model measured faster than this is better run on the loop.
_QUICK_BELOW_NS = 50_000
_QUICK_MAX_BYTES = 64 * 1024
# Quick runs count up to a limit, slow ones down four times as fast, so that a noisy machine does not hide a tiny
# model; one run that would have stalled the loop starts the count anew.
_QUICK_ENOUGH = 16
_QUICK_LIMIT = 64
_STALL_NS = 1_000_000


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
            self._loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        # Cleared first: what is posted from here on either is seen below or calls again.
        self._is_called = False
        try:
            while self._waiting:
                self._waiting.popleft()()
        finally:
            if self._waiting:
                self.post(lambda: None)


class InstanceThread:
    """One instance of a model, with the thread that computes on it. Its methods belong to the loop's thread."""

    def __init__(self, name: str, instance: ModelInstance, signature: Signature, mailbox: Mailbox) -> None:
        self._name = name
        self._instance = instance
        self._signature = signature
        self._mailbox = mailbox
        self._work: SimpleQueue[tuple[Sequence[BoundRequest], OnOutcome] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._quickness = 0

    def start(self, batch: Sequence[BoundRequest], on_outcome: OnOutcome) -> None:
        """Compute `batch` and call `on_outcome` on the loop's thread: before this returns if the model is tiny."""
        if self._is_quick(batch):
            on_outcome(self._execute(batch))
            return
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
            self._thread.start()
        self._work.put((batch, on_outcome))

    def close(self) -> None:
        """Let the thread finish what it has, end it and release the instance; blocks until then."""
        if self._thread is not None:
            self._work.put(None)
            self._thread.join()
        self._instance.close()

    def _is_quick(self, batch: Sequence[BoundRequest]) -> bool:
        return (
            self._quickness >= _QUICK_ENOUGH
            and sum([array.nbytes for bound in batch for array in bound.arrays.values()]) <= _QUICK_MAX_BYTES
        )

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            batch, on_outcome = work
            outcome = self._execute(batch)
            self._mailbox.post(lambda on_outcome=on_outcome, outcome=outcome: on_outcome(outcome))  # type: ignore[misc]

    def _execute(self, batch: Sequence[BoundRequest]) -> Outcome:
        outcome = execute(self._instance, self._signature, batch)
        took_ns = outcome.timings.output_end_ns - outcome.timings.start_ns
        if took_ns < _QUICK_BELOW_NS:
            self._quickness = min(self._quickness + 1, _QUICK_LIMIT)
        else:
            self._quickness = 0 if took_ns > _STALL_NS else max(self._quickness - 4, 0)
        return outcome
