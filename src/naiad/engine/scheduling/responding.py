# SPDX-License-Identifier: Apache-2.0
"""Models that answer request by request: decoupled ones, and all that are programs rather than graphs.

The scheduler is that of all models; what differs is that an instance is free as soon as it has taken a batch, while its
requests are open until their last response. Runs on the event loop's thread, but for what says otherwise.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from naiad.backends.base import ModelRequest, RespondingInstance
from naiad.engine.loop import Clock, Loop, Timer
from naiad.engine.pending import Pending
from naiad.engine.scheduling.batching import BatchPolicy
from naiad.engine.scheduling.channel import Channel, Reply, Sender
from naiad.engine.scheduling.instances import Mailbox, Worker
from naiad.engine.scheduling.queue import RequestQueue
from naiad.engine.scheduling.scheduler import Scheduler, timing_of
from naiad.engine.signature import Signature
from naiad.errors import CancelledError, InternalError, NaiadError, UnavailableError
from naiad.requests import id_prefix
from naiad.telemetry.statistics import FailureReason, ResponseKind, StatisticsRecorder, Timings

_log = logging.getLogger(__name__)

_PATIENCE_NS = 5_000_000_000
_LEAST_BYTES_PER_S = 128 * 1024
"""What a client has to read when others wait for the instance that it keeps: a megabit a second, after a breath."""
_GLANCE_S = 1.0
"""How often to look whether others wait for an instance whose client has used up its time."""

OnServed = Callable[[Timings | None], None]
"""Called when an instance has taken a batch, with None if it failed to."""


class _Work(NamedTuple):
    """A batch: each request with the channel of its responses."""

    batch: Sequence[tuple[Pending, Channel]]
    on_served: OnServed


class RespondingThread:
    """One instance of a model that answers by itself, with the thread that gives it requests."""

    def __init__(
        self, name: str, instance: RespondingInstance, signature: Signature, mailbox: Mailbox, is_decoupled: bool
    ) -> None:
        self._instance = instance
        self._signature = signature
        self._mailbox = mailbox
        self._is_decoupled = is_decoupled
        self._worker = Worker(name, self._serve_on_thread)

    def start(self, batch: Sequence[tuple[Pending, Channel]], on_served: OnServed) -> None:
        """Have the instance's thread serve `batch`, and call `on_served` on the loop's."""
        self._worker.give(_Work(batch, on_served))

    def close(self) -> None:
        """Let the thread finish what it has, end it and release the instance; blocks until then."""
        self._worker.close()
        self._instance.close()

    def _serve_on_thread(self, work: _Work) -> None:
        """Serve a batch.

        This is a named boundary: whatever a model raises becomes the error of those of its requests that are still
        unanswered, and the instance lives on.
        """
        start_ns = time.monotonic_ns()
        error: NaiadError | None = None
        try:
            requests = [self._request(pending, channel, start_ns) for pending, channel in work.batch]
            input_end_ns = time.monotonic_ns()
            self._instance.serve(requests)
        except NaiadError as raised:
            error = raised
        except BaseException as raised:  # noqa: BLE001 - the boundary named above: SystemExit would end the thread in silence
            model = self._signature.model
            _log.exception("model '%s' failed", model)
            error = InternalError(f"model '{model}' failed with {type(raised).__name__}; see the server's log")
        end_ns = time.monotonic_ns()
        if error is None:
            self._mailbox.post(partial(work.on_served, Timings(start_ns, input_end_ns, end_ns, end_ns)))
            return
        failure = Reply(None, error.with_traceback(None), {}, True, end_ns, end_ns)
        for _, channel in work.batch:
            if not channel.is_closed:
                channel.put(failure)
        self._mailbox.post(partial(work.on_served, None))

    def _request(self, pending: Pending, channel: Channel, start_ns: int) -> ModelRequest:
        channel.started_ns, channel.server = start_ns, threading.get_ident()
        request = pending.request
        return ModelRequest(
            inputs=pending.bound.arrays,
            outputs=pending.bound.outputs,
            sender=Sender(channel, pending, self._signature, self._is_decoupled),
            id=request.id,
            parameters=request.parameters,
            sequence_id=request.sequence_id,
            sequence_start=request.sequence_start,
            sequence_end=request.sequence_end,
            priority=request.priority,
            timeout_us=request.timeout_us,
        )


class _Open:
    """A request of a `batch` that has not had its last response: how many it has had, and when the latest.

    While the model is held back, since `held_ns`, a `timer` looks whether others wait. Before that, the client had read
    `read_bytes` of responses, or so it seemed.
    """

    __slots__ = ("batch", "channel", "count", "held_ns", "read_bytes", "since_ns", "timer")

    def __init__(self, channel: Channel, batch: Sequence[Pending]) -> None:
        self.channel = channel
        self.batch = batch
        self.count = 0
        self.since_ns = 0
        self.held_ns = 0
        self.read_bytes = 0
        self.timer: Timer | None = None

    @property
    def unread_bytes(self) -> int:
        """The most that the client may have left unread."""
        return self.channel.delivered_bytes - self.read_bytes

    def cancel(self) -> None:
        """Let the model wait no more: nobody does."""
        self.stop_timer()
        self.channel.cancel()

    def stop_timer(self) -> None:
        """Look no more whether others wait."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class RespondingScheduler(Scheduler[RespondingThread]):
    """The scheduler of instances that answer by themselves."""

    def __init__(
        self,
        *,
        model: str,
        policy: BatchPolicy,
        queue: RequestQueue,
        instances: Sequence[RespondingThread],
        statistics: StatisticsRecorder,
        loop: Loop,
        mailbox: Mailbox,
        clock: Clock,
        is_decoupled: bool = False,
        preserve_ordering: bool = False,
    ) -> None:
        super().__init__(
            policy=policy,
            queue=queue,
            instances=instances,
            statistics=statistics,
            loop=loop,
            clock=clock,
            # With several responses to each request there is no order of answers that could be kept.
            preserve_ordering=preserve_ordering and not is_decoupled,
        )
        self._model = model
        self._mailbox = mailbox
        self._is_decoupled = is_decoupled
        self._open: dict[Pending, _Open] = {}

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits, nothing is computed, and every request has had its last response."""
        return super().is_idle and not self._open

    def cancel(self, pending: Pending) -> None:
        """Forget a request whose client has gone, and tell the model if it has it."""
        super().cancel(pending)
        opened = self._open.get(pending)
        if opened is not None:
            opened.cancel()

    def hold_back(self, pending: Pending, holds_back: bool) -> None:
        """Let the model wait with further responses to a request, or go on.

        A client that reads too little has to give way when others wait for the instance that it keeps.
        """
        if pending.is_held_back is holds_back:
            return
        pending.is_held_back = holds_back
        opened = self._open.get(pending)
        if opened is not None:  # else the model has not got it yet
            self._hold_back(pending, opened)

    def _hold_back(self, pending: Pending, opened: _Open) -> None:
        opened.channel.hold_back(pending.is_held_back)
        opened.stop_timer()
        if pending.is_held_back:
            opened.held_ns = self._clock()
            self._look_after_others(pending, opened)
        else:
            opened.read_bytes = opened.channel.delivered_bytes

    def _look_after_others(self, pending: Pending, opened: _Open) -> None:
        """Give a request up if it keeps an instance that others wait for, and look again later if not."""
        allowed_ns = _PATIENCE_NS + opened.unread_bytes * 1_000_000_000 // _LEAST_BYTES_PER_S
        left_ns = opened.held_ns + allowed_ns - self._clock()
        if left_ns <= 0 and opened.channel.keeps_instance and self._others_wait(opened, pending):
            self._give_up(pending, opened)
        else:
            again = partial(self._look_after_others, pending, opened)
            opened.timer = self._loop.call_later(max(left_ns / 1e9, _GLANCE_S), again)

    def _others_wait(self, opened: _Open, pending: Pending) -> bool:
        """Tell whether requests wait for any instance, or in the same batch for this one."""
        if self._queue and not self._idle:
            return True
        return any(other is not pending and not other.is_done and other in self._open for other in opened.batch)

    def _give_up(self, pending: Pending, opened: _Open) -> None:
        held_s = (self._clock() - opened.held_ns) / 1e9
        text = (
            f"{id_prefix(pending.request.id)}the client has left up to {opened.unread_bytes} bytes of responses unread "
            f"for {held_s:.0f} s, while other requests waited for the instance of model '{self._model}' that it kept; "
            "read at least a megabit a second, or give the model more instances"
        )
        self._finish(pending, UnavailableError(text), FailureReason.CANCELED)
        opened.cancel()

    def abort(self) -> None:
        """Fail all that waits or is open; what the models still send is dropped."""
        super().abort()
        for pending, opened in tuple(self._open.items()):
            text = f"{id_prefix(pending.request.id)}Server is stopping, the request was not finished"
            if not pending.is_done:
                self._finish(pending, UnavailableError(text), FailureReason.OTHER)
            opened.cancel()

    def _start(self, batch: list[Pending]) -> None:
        instance = self._idle.popleft()
        self._busy += 1
        channels = []
        for pending in batch:
            channel = Channel(self._model, self._mailbox, partial(self._on_reply, pending))
            self._open[pending] = opened = _Open(channel, batch)
            if pending.is_held_back:
                self._hold_back(pending, opened)
            channels.append((pending, channel))
        rows = sum([pending.bound.rows for pending in batch])
        instance.start(channels, partial(self._served, instance, rows))

    def _served(self, instance: RespondingThread, rows: int, timings: Timings | None) -> None:
        self._busy -= 1
        self._idle.append(instance)
        if timings is not None:
            self._statistics.record_execution(rows, timings)
        self._pump()

    def _on_reply(self, pending: Pending, reply: Reply) -> None:
        opened = self._open[pending]
        if reply.final:
            del self._open[pending]
            opened.stop_timer()
        if pending.is_done:
            return  # failed by `abort`, or given up
        if self._is_decoupled:
            self._count(pending, opened, reply)
        if pending.request.wants_timing:
            pending.timing = timing_of(pending, _timings(opened, reply), self._clock())
        if not reply.final:
            pending.answer_in_part(reply.outputs or (), reply.parameters, reply.error)
            return
        if pending.trace is not None:
            pending.trace.computed(*_timings(opened, reply))
        if pending.is_cancelled:
            self._finish(pending, CancelledError("request cancelled"), FailureReason.CANCELED)
        elif reply.error is not None:
            self._finish(pending, reply.error, FailureReason.BACKEND)
        else:
            self._succeed(pending, opened, reply)

    def _count(self, pending: Pending, opened: _Open, reply: Reply) -> None:
        """Count a response in the statistics, unless it was sent to nobody."""
        if pending.is_cancelled:
            if not reply.final:
                return
            kind = ResponseKind.CANCEL
        elif reply.error is not None:
            kind = ResponseKind.FAIL
        else:
            kind = ResponseKind.EMPTY if reply.outputs is None else ResponseKind.SUCCESS
        infer_ns = reply.computed_ns - (opened.since_ns or opened.channel.started_ns)
        age_ns = self._clock() - pending.arrived_ns
        self._statistics.record_response(opened.count, kind, infer_ns, reply.ready_ns - reply.computed_ns, age_ns)
        opened.count += 1
        opened.since_ns = reply.ready_ns

    def _succeed(self, pending: Pending, opened: _Open, reply: Reply) -> None:
        timings = _timings(opened, reply)
        self._statistics.record_success(
            pending.bound.rows, pending.arrived_ns, pending.queued_ns, timings, self._clock()
        )
        pending.parameters = reply.parameters
        self._release(pending, reply.outputs or ())


def _timings(opened: _Open, reply: Reply) -> Timings:
    """Return the times of a request until this reply; nothing is merged."""
    start_ns = opened.channel.started_ns
    return Timings(start_ns, start_ns, reply.computed_ns, reply.ready_ns)
