# SPDX-License-Identifier: Apache-2.0
"""Brings waiting requests to free instances of one model version, and their outcomes back to the requests.

Runs on the event loop's thread, so nothing here needs a lock. The decisions are made elsewhere: `batching` says which
requests go together, `queue` which may wait. Statistics are told, and steer nothing.
"""

import logging
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Sequence
from functools import partial
from typing import Generic, TypeVar

from naiad.engine.loop import Clock, Loop, Timer
from naiad.engine.pending import Pending
from naiad.engine.scheduling.batching import BatchPolicy
from naiad.engine.scheduling.execution import Outcome
from naiad.engine.scheduling.instances import InstanceThread
from naiad.engine.scheduling.queue import RequestQueue
from naiad.errors import CancelledError, NaiadError, UnavailableError
from naiad.requests import OutputTensor, RequestTiming, id_prefix
from naiad.telemetry.statistics import FailureReason, StatisticsRecorder, Timings

Thread = TypeVar("Thread")

_log = logging.getLogger(__name__)

_Result = tuple[OutputTensor, ...] | NaiadError


class Scheduler(ABC, Generic[Thread]):
    """Direct scheduling and dynamic batching of one model version, depending on `policy`.

    What an instance does with a batch is for those that inherit: `MergingScheduler`, for instances that compute, and
    `RespondingScheduler`, for those that answer by themselves.
    """

    def __init__(
        self,
        *,
        policy: BatchPolicy,
        queue: RequestQueue,
        instances: Sequence[Thread],
        statistics: StatisticsRecorder,
        loop: Loop,
        clock: Clock,
        preserve_ordering: bool = False,
    ) -> None:
        self._policy = policy
        self._is_immediate = policy.is_immediate
        self._queue = queue
        self._idle = deque(instances)
        self._busy = 0
        self._statistics = statistics
        self._loop = loop
        self._clock = clock
        self._line: OrderedDict[Pending, _Result | None] | None = OrderedDict() if preserve_ordering else None
        self._timer: Timer | None = None
        self._is_stopping = False

    @property
    def queued_count(self) -> int:
        """How many requests wait for an instance."""
        return len(self._queue)

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is computed."""
        return not self._busy and not self._queue

    def submit(self, pending: Pending) -> None:
        """Accept a request; its answer may come before this returns.

        Raises:
            UnavailableError: the queue is full, or the model is stopping.
        """
        if self._is_stopping:
            raise UnavailableError(
                f"{id_prefix(pending.request.id)}Server is stopping, scheduler for model has stopped accepting new "
                "inference requests"
            )
        if self._is_immediate and self._idle and not self._queue:
            # What the queue would decide, without the queue: this is the way of nearly every request to a tiny model.
            self._join_line(pending)
            self._start([pending])
            return
        try:
            self._queue.add(pending, pending.arrived_ns)
        except UnavailableError:
            self._statistics.record_failure(FailureReason.REJECTED, 0)
            raise
        self._join_line(pending)
        self._pump()

    def cancel(self, pending: Pending) -> None:
        """Forget a request whose client has gone: its place in the queue is free at once."""
        if pending.is_done or pending.is_cancelled:
            return
        pending.is_cancelled = True
        if self._queue.remove(pending):
            self._finish(pending, CancelledError("request cancelled"), FailureReason.CANCELED)
            self._pump()

    def hold_back(self, pending: Pending, holds_back: bool) -> None:
        """Let the model wait with further responses to a request, or go on; means nothing where there is only one."""

    def stop(self) -> None:
        """Accept no more; what waits is still served."""
        self._is_stopping = True

    def abort(self) -> None:
        """Fail all that waits; what is being computed is left to finish."""
        self.stop()
        self._cancel_timer()
        for pending in self._queue.clear():
            text = f"{id_prefix(pending.request.id)}Server is stopping, the request was not started"
            self._finish(pending, UnavailableError(text), FailureReason.REJECTED)

    def _pump(self) -> None:
        """Start as many batches as there are instances and batches ready, then set the timer for the rest."""
        self._cancel_timer()
        queue = self._queue
        while queue:
            now_ns = self._clock()
            for late in queue.expire(now_ns):
                self._finish(late, UnavailableError("Request timeout expired"), FailureReason.REJECTED)
            if not queue:
                return
            wake_ns = queue.next_expiry_ns()
            if self._idle:
                plan = self._policy.plan(queue, now_ns)
                if plan.take:
                    self._start(queue.take(plan.take))
                    continue
                batch_ns = now_ns + plan.wait_ns
                wake_ns = batch_ns if wake_ns is None else min(wake_ns, batch_ns)
            if wake_ns is not None:
                self._timer = self._loop.call_later(max(wake_ns - now_ns, 0) / 1e9, self._pump)
            return

    def _join_line(self, pending: Pending) -> None:
        if self._line is not None:
            self._line[pending] = None

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @abstractmethod
    def _start(self, batch: list[Pending]) -> None:
        """Give a batch to the first free instance; there is one."""

    def _finish(self, pending: Pending, error: NaiadError, reason: FailureReason) -> None:
        request = pending.request
        _log.debug("request to model '%s' failed: %s", request.model_name, error, extra={"request_id": request.id})
        self._statistics.record_failure(reason, self._clock() - pending.arrived_ns)
        self._release(pending, error)

    def _release(self, pending: Pending, result: _Result) -> None:
        """Answer now, or, where order is to be kept, once all earlier requests have been answered."""
        line = self._line
        if line is None:
            _answer(pending, result)
            return
        line[pending] = result
        while line and (ready := line[first := next(iter(line))]) is not None:
            del line[first]
            _answer(first, ready)


class MergingScheduler(Scheduler[InstanceThread]):
    """The scheduler of instances that compute: a batch is one execution."""

    def _start(self, batch: list[Pending]) -> None:
        """Give a batch to the first free instance."""
        instance = self._idle[0]
        bounds = [pending.bound for pending in batch]
        if instance.is_quick_with(bounds):
            self._complete(batch, instance.compute(bounds))
            return
        self._idle.popleft()
        self._busy += 1
        instance.start(bounds, partial(self._done, instance, batch))

    def _done(self, instance: InstanceThread, batch: list[Pending], outcome: Outcome) -> None:
        self._busy -= 1
        self._idle.append(instance)
        self._complete(batch, outcome)
        self._pump()

    def _complete(self, batch: list[Pending], outcome: Outcome) -> None:
        results, timings = outcome
        if isinstance(results, NaiadError):
            for pending in batch:
                if pending.trace is not None:
                    pending.trace.computed(*timings)
                reason = FailureReason.CANCELED if pending.is_cancelled else FailureReason.BACKEND
                self._finish(pending, results, reason)
            return
        statistics, now_ns = self._statistics, self._clock()
        statistics.record_execution(sum([pending.bound.rows for pending in batch]), timings)
        for pending, outputs in zip(batch, results, strict=True):
            statistics.record_success(pending.bound.rows, pending.arrived_ns, pending.queued_ns, timings, now_ns)
            if pending.trace is not None:
                pending.trace.computed(*timings)
            if pending.request.wants_timing:
                pending.timing = timing_of(pending, timings, now_ns)
            self._release(pending, outputs)


def timing_of(pending: Pending, timings: Timings, now_ns: int) -> RequestTiming:
    """Return where an answered request spent its time."""
    return RequestTiming(
        request_ns=now_ns - pending.arrived_ns,
        queue_ns=timings.start_ns - pending.queued_ns,
        compute_input_ns=timings.input_end_ns - timings.start_ns,
        compute_infer_ns=timings.infer_end_ns - timings.input_end_ns,
        compute_output_ns=timings.output_end_ns - timings.infer_end_ns,
    )


def _answer(pending: Pending, result: _Result) -> None:
    if isinstance(result, NaiadError):
        pending.fail(result)
    else:
        pending.answer(result)
