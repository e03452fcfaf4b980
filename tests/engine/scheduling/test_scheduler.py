# SPDX-License-Identifier: Apache-2.0
"""Requests meet instances: with a clock, a loop and instances that the test drives by hand."""

from collections.abc import Sequence
from typing import cast

import pytest
from tests.engine.loops import ManualLoop

from naiad.engine.pending import Pending
from naiad.engine.scheduling.batching import BatchPolicy, DynamicBatching, OneByOne
from naiad.engine.scheduling.execution import Outcome
from naiad.engine.scheduling.instances import InstanceThread, OnOutcome
from naiad.engine.scheduling.queue import QueuePolicy, RequestQueue
from naiad.engine.scheduling.scheduler import MergingScheduler
from naiad.engine.signature import BoundRequest
from naiad.errors import InternalError, NaiadError, UnavailableError
from naiad.requests import InferRequest, InferResponse, RequestTiming
from naiad.telemetry.statistics import StatisticsRecorder, Timings

_NO_TIME = Timings(0, 0, 0, 0)


class ManualInstance:
    """An instance that finishes a batch when the test says so, or at once."""

    def __init__(self, is_quick: bool = False) -> None:
        self.batches: list[list[BoundRequest]] = []
        self._waiting: list[OnOutcome] = []
        self._is_quick = is_quick

    def is_quick_with(self, batch: Sequence[BoundRequest]) -> bool:
        return self._is_quick

    def compute(self, batch: Sequence[BoundRequest]) -> Outcome:
        self.batches.append(list(batch))
        return Outcome([() for _ in batch], Timings(0, 0, 0, 0))

    def start(self, batch: Sequence[BoundRequest], on_outcome: OnOutcome) -> None:
        self.batches.append(list(batch))
        self._waiting.append(on_outcome)

    def finish(self, error: NaiadError | None = None, timings: Timings = _NO_TIME) -> None:
        results = error or [() for _ in self.batches[-1]]
        self._waiting.pop(0)(Outcome(results, timings))


class Setup:
    """A scheduler with its surroundings, and the answers it gave."""

    def __init__(
        self,
        *instances: ManualInstance,
        policy: BatchPolicy | None = None,
        queue: QueuePolicy | None = None,
        preserve_ordering: bool = False,
    ) -> None:
        self.loop = ManualLoop()
        self.statistics = StatisticsRecorder()
        self.answers: list[tuple[str, InferResponse | NaiadError]] = []
        self.scheduler = MergingScheduler(
            policy=policy or OneByOne(),
            queue=RequestQueue(queue or QueuePolicy()),
            instances=[cast(InstanceThread, instance) for instance in instances],
            statistics=self.statistics,
            loop=self.loop,
            clock=lambda: self.loop.now_ns,
            preserve_ordering=preserve_ordering,
        )

    def submit(self, request_id: str, rows: int = 1, key: str = "a", *, wants_timing: bool = False) -> Pending:
        pending = Pending(
            InferRequest("m", (), id=request_id, wants_timing=wants_timing),
            BoundRequest({}, rows, (key,), ()),
            "1",
            lambda response: self.answers.append((request_id, response)),
            self.loop.now_ns,
        )
        self.scheduler.submit(pending)
        return pending

    @property
    def answered(self) -> list[str]:
        return [request_id for request_id, _ in self.answers]


def batching(max_rows: int = 4, preferred: int = 4, delay_ns: int = 0) -> DynamicBatching:
    return DynamicBatching(max_rows, frozenset({preferred}), delay_ns)


def test_a_request_waits_until_an_instance_is_free() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    setup.submit("a")
    setup.submit("b")
    assert setup.scheduler.queued_count == 1
    instance.finish()
    assert setup.answered == ["a"]
    instance.finish()
    assert setup.answered == ["a", "b"]
    assert setup.scheduler.is_idle


def test_a_request_that_asks_is_told_its_times() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    setup.loop.advance(100)
    setup.submit("asks", wants_timing=True)
    setup.submit("does not")
    setup.loop.advance(1000)
    instance.finish(timings=Timings(300, 340, 700, 750))
    instance.finish()
    (_, asking), (_, other) = setup.answers
    assert isinstance(asking, InferResponse)
    assert isinstance(other, InferResponse)
    assert asking.timing == RequestTiming(
        request_ns=900, queue_ns=200, compute_input_ns=40, compute_infer_ns=360, compute_output_ns=50
    )
    assert other.timing is None


def test_all_instances_compute_side_by_side() -> None:
    one, two = ManualInstance(), ManualInstance()
    setup = Setup(one, two)
    for request_id in "abc":
        setup.submit(request_id)
    assert (len(one.batches), len(two.batches), setup.scheduler.queued_count) == (1, 1, 1)


def test_what_waits_while_an_instance_computes_becomes_one_batch() -> None:
    instance = ManualInstance()
    setup = Setup(instance, policy=batching())
    for request_id in "abcd":
        setup.submit(request_id)
    instance.finish()
    assert [len(batch) for batch in instance.batches] == [1, 3]
    assert setup.statistics.snapshot("m", "1", 0).execution_count == 1


def test_a_batch_below_the_preferred_size_goes_when_its_delay_is_over() -> None:
    instance = ManualInstance()
    setup = Setup(instance, policy=batching(delay_ns=1000))
    setup.submit("a")
    setup.loop.advance(400)
    setup.submit("b")
    assert not instance.batches
    setup.loop.advance(1000)
    assert [len(batch) for batch in instance.batches] == [2]


def test_a_late_request_is_refused_by_the_timer_without_any_other_event() -> None:
    instance = ManualInstance()
    setup = Setup(instance, policy=batching(), queue=QueuePolicy(timeout_ns=500))
    setup.submit("a")
    setup.submit("b")
    setup.loop.advance(500)
    assert setup.answered == ["b"]
    error = setup.answers[0][1]
    assert isinstance(error, UnavailableError)
    assert str(error) == "Request timeout expired"
    assert setup.statistics.snapshot("m", "1", 0).failures["REJECTED"] == 1


def test_a_full_queue_refuses_and_counts() -> None:
    setup = Setup(ManualInstance(), policy=batching(), queue=QueuePolicy(max_size=1))
    setup.submit("a")
    setup.submit("b")
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
        setup.submit("c")
    assert setup.statistics.snapshot("m", "1", 0).failures["REJECTED"] == 1


def test_a_cancelled_request_frees_its_slot_and_hears_nothing() -> None:
    instance = ManualInstance()
    setup = Setup(instance, policy=batching(), queue=QueuePolicy(max_size=1))
    setup.submit("a")
    setup.scheduler.cancel(setup.submit("b"))
    setup.submit("c")
    instance.finish()
    instance.finish()
    assert setup.answered == ["a", "c"]
    assert setup.statistics.snapshot("m", "1", 0).failures["CANCELED"] == 1


def test_a_request_cancelled_while_it_is_computed_hears_nothing() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    pending = setup.submit("a")
    setup.scheduler.cancel(pending)
    instance.finish()
    assert setup.answered == []
    assert setup.scheduler.is_idle


def test_cancelling_what_is_answered_changes_nothing() -> None:
    setup = Setup(ManualInstance(is_quick=True))
    setup.scheduler.cancel(setup.submit("a"))
    assert setup.answered == ["a"]
    assert setup.statistics.snapshot("m", "1", 0).failures["CANCELED"] == 0


def test_a_failed_batch_fails_its_requests_and_no_others() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    setup.submit("a")
    setup.submit("b")
    instance.finish(InternalError("broken"))
    instance.finish()
    assert [type(answer) for _, answer in setup.answers] == [InternalError, InferResponse]
    statistics = setup.statistics.snapshot("m", "1", 0)
    assert (statistics.failures["BACKEND"], statistics.success.count, statistics.execution_count) == (1, 1, 1)


def test_order_is_kept_when_asked_for() -> None:
    slow, fast = ManualInstance(), ManualInstance()
    setup = Setup(slow, fast, policy=batching(max_rows=1, preferred=1), preserve_ordering=True)
    setup.submit("a")
    setup.submit("b")
    fast.finish()
    assert setup.answered == []
    slow.finish()
    assert setup.answered == ["a", "b"]


def test_without_it_the_first_that_is_done_is_answered_first() -> None:
    slow, fast = ManualInstance(), ManualInstance()
    setup = Setup(slow, fast, policy=batching(max_rows=1, preferred=1))
    setup.submit("a")
    setup.submit("b")
    fast.finish()
    assert setup.answered == ["b"]


def test_an_instance_that_answers_at_once_is_used_again_without_recursion() -> None:
    setup = Setup(ManualInstance(is_quick=True))
    for number in range(3000):
        setup.submit(str(number))
    assert setup.answered == [str(number) for number in range(3000)]


def test_a_stopping_model_refuses_the_new_and_serves_the_waiting() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    setup.submit("a")
    setup.submit("b")
    setup.scheduler.stop()
    with pytest.raises(UnavailableError, match="Server is stopping"):
        setup.submit("c")
    instance.finish()
    instance.finish()
    assert setup.answered == ["a", "b"]


def test_an_aborted_model_fails_what_waits() -> None:
    instance = ManualInstance()
    setup = Setup(instance)
    setup.submit("a")
    setup.submit("b")
    setup.scheduler.abort()
    instance.finish()
    assert [type(answer) for _, answer in setup.answers] == [UnavailableError, InferResponse]


def test_rows_are_what_inference_count_counts() -> None:
    instance = ManualInstance()
    setup = Setup(instance, policy=batching(max_rows=8))
    setup.submit("a", rows=3)
    instance.finish()
    statistics = setup.statistics.snapshot("m", "1", 0)
    assert (statistics.inference_count, statistics.execution_count) == (3, 1)
    assert [batch.batch_size for batch in statistics.batches] == [3]
