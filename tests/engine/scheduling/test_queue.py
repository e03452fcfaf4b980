# SPDX-License-Identifier: Apache-2.0
"""Who is served first, and limits on how many wait, and how long."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.pending import Pending
from naiad.engine.scheduling.queue import QueuePolicy, RequestQueue
from naiad.engine.signature import BoundRequest
from naiad.errors import UnavailableError
from naiad.requests import InferRequest


def pending(request_id: str = "", timeout_us: int = 0, priority: int = 0) -> Pending:
    request = InferRequest("m", (), id=request_id, timeout_us=timeout_us, priority=priority)
    return Pending(request, BoundRequest({}, 1, (), ()), "1", lambda _: None, 0)


def test_requests_leave_in_the_order_they_came() -> None:
    queue = RequestQueue(QueuePolicy())
    first, second, third = pending(), pending(), pending()
    for one in (first, second, third):
        queue.add(one, 0)
    assert queue.take(2) == [first, second]
    assert list(queue) == [third]


class Compared(Pending):
    """Counts how often one of them is compared with another."""

    count = 0

    def __eq__(self, other: object) -> bool:
        Compared.count += 1
        return self is other

    __hash__ = object.__hash__


def test_who_leaves_is_not_searched_for() -> None:
    """A client that dies withdraws all it had asked for: with a search each, 500,000 held the server up for minutes."""
    queue = RequestQueue(QueuePolicy())
    waiting = [Compared(InferRequest("m", ()), BoundRequest({}, 1, (), ()), "1", lambda _: None, 0) for _ in range(50)]
    for one in waiting:
        queue.add(one, 0)
    Compared.count = 0
    for one in reversed(waiting[1:]):
        assert queue.remove(one)
        assert not queue.remove(one)
    assert queue.take(2) == waiting[:1]
    assert Compared.count == 0


class Watched(Pending):
    """Counts how often one of them is looked at for the time it has waited."""

    looks = 0

    def __getattribute__(self, name: str) -> object:
        if name == "queued_ns":
            Watched.looks += 1
        return super().__getattribute__(name)


def test_only_the_first_is_looked_at_for_its_time() -> None:
    """A queue is asked for who is late with every request that comes, and for the next one who will be."""
    queue = RequestQueue(QueuePolicy(timeout_ns=1000))
    for now_ns in range(100):
        queue.add(Watched(InferRequest("m", ()), BoundRequest({}, 1, (), ()), "1", lambda _: None, 0), now_ns)
    Watched.looks = 0
    assert len(queue.expire(1001)) == 2
    assert queue.next_expiry_ns() == 1002
    assert Watched.looks <= 4


def test_a_full_queue_refuses_with_tritons_text() -> None:
    queue = RequestQueue(QueuePolicy(max_size=1))
    queue.add(pending(), 0)
    with pytest.raises(UnavailableError, match=r"^\[request id: r7\] Exceeds maximum queue size$"):
        queue.add(pending("r7"), 0)
    assert len(queue) == 1


def test_a_request_that_waited_too_long_is_given_back() -> None:
    queue = RequestQueue(QueuePolicy(timeout_ns=100))
    early, late = pending(), pending()
    queue.add(early, 0)
    queue.add(late, 50)
    assert queue.next_expiry_ns() == 100
    assert queue.expire(99) == []
    assert queue.expire(100) == [early]
    assert list(queue) == [late]
    assert queue.next_expiry_ns() == 150


def test_under_delay_a_late_request_goes_behind_all_others() -> None:
    queue = RequestQueue(QueuePolicy(timeout_ns=100, is_delayed=True))
    early, late = pending(), pending()
    queue.add(early, 0)
    queue.add(late, 90)
    assert queue.expire(100) == []
    assert len(queue) == 2
    assert queue.take(1) == [late]
    assert queue.take(1) == [early]


@pytest.mark.parametrize(
    ("own_us", "may_override", "expected_ns"),
    [(50, True, 50_000), (50, False, 100_000), (500, True, 100_000), (0, True, 100_000)],
)
def test_a_requests_own_timeout_counts_if_allowed_and_shorter(
    own_us: int, may_override: bool, expected_ns: int
) -> None:
    policy = QueuePolicy(timeout_ns=100_000, may_override=may_override)
    assert policy.timeout_of(pending(timeout_us=own_us)) == expected_ns


def test_without_a_default_timeout_the_requests_own_has_no_effect() -> None:
    assert QueuePolicy(may_override=True).timeout_of(pending(timeout_us=5)) == 0


def test_a_removed_request_gives_its_place_free() -> None:
    queue = RequestQueue(QueuePolicy(max_size=1))
    one = pending()
    queue.add(one, 0)
    assert queue.remove(one)
    assert not queue.remove(one)
    queue.add(pending(), 0)


def test_clear_gives_back_the_waiting_and_the_delayed() -> None:
    queue = RequestQueue(QueuePolicy(timeout_ns=100, is_delayed=True))
    delayed, waiting = pending(), pending()
    queue.add(delayed, 0)
    queue.expire(100)
    queue.add(waiting, 100)
    assert queue.clear() == [waiting, delayed]
    assert not queue


def test_the_policy_is_read_off_the_config() -> None:
    policy = model_config_pb2.ModelQueuePolicy(
        timeout_action=model_config_pb2.ModelQueuePolicy.DELAY,
        default_timeout_microseconds=7,
        allow_timeout_override=True,
        max_queue_size=3,
    )
    assert QueuePolicy.of(policy) == QueuePolicy(3, 7000, True, True)


def test_what_is_more_urgent_leaves_first() -> None:
    queue = RequestQueue(QueuePolicy(), QueuePolicy(), QueuePolicy())
    low, middle, high, high_too = (pending(priority=level) for level in (3, 2, 1, 1))
    for one in (low, middle, high, high_too):
        queue.add(one, 0)
    assert list(queue) == [high, high_too, middle, low]
    assert queue.take(3) == [high, high_too, middle]
    assert queue.take(1) == [low]


@pytest.mark.parametrize("priority", [0, 4, 2**32])
def test_a_request_that_names_no_level_is_on_the_default_one(priority: int) -> None:
    queue = RequestQueue(QueuePolicy(), QueuePolicy(), QueuePolicy(), default_level=2)
    low, unnamed, high = pending(priority=3), pending(priority=priority), pending(priority=1)
    for one in (low, unnamed, high):
        queue.add(one, 0)
    assert list(queue) == [high, unnamed, low]


def test_every_level_has_its_own_limits() -> None:
    queue = RequestQueue(QueuePolicy(timeout_ns=100), QueuePolicy(max_size=1))
    high, low = pending(priority=1), pending(priority=2)
    queue.add(high, 0)
    queue.add(low, 0)
    with pytest.raises(UnavailableError, match="Exceeds maximum queue size"):
        queue.add(pending(priority=2), 0)
    queue.add(pending(priority=1), 30)
    assert queue.next_expiry_ns() == 100
    assert queue.expire(100) == [high]
    assert queue.next_expiry_ns() == 130
    assert len(queue) == 2


def test_what_is_delayed_stays_ahead_of_what_is_less_urgent() -> None:
    queue = RequestQueue(QueuePolicy(timeout_ns=100, is_delayed=True), QueuePolicy())
    late, low, high = pending(priority=1), pending(priority=2), pending(priority=1)
    queue.add(late, 0)
    queue.add(low, 0)
    queue.add(high, 50)
    assert queue.expire(100) == []
    assert list(queue) == [high, late, low]
    assert queue.take(2) == [high, late]


def test_the_levels_are_read_off_the_config() -> None:
    config = ModelConfig()
    batching = config.dynamic_batching
    batching.priority_levels = 3
    batching.default_priority_level = 2
    batching.default_queue_policy.max_queue_size = 1
    batching.priority_queue_policy[3].max_queue_size = 2
    queue = RequestQueue.from_config(config)
    for level, size in ((1, 1), (2, 1), (3, 2)):
        for _ in range(size):
            queue.add(pending(priority=level), 0)
        with pytest.raises(UnavailableError):
            queue.add(pending(priority=level), 0)
    with pytest.raises(UnavailableError):
        queue.add(pending(), 0)
    assert len(queue) == 4


def test_without_levels_their_policies_have_no_effect() -> None:
    config = ModelConfig()
    config.dynamic_batching.priority_queue_policy[1].max_queue_size = 1
    queue = RequestQueue.from_config(config)
    for priority in (0, 1, 2):
        queue.add(pending(priority=priority), 0)
    assert [waiting.request.priority for waiting in queue] == [0, 1, 2]


POLICIES = st.builds(
    QueuePolicy,
    max_size=st.integers(0, 3),
    timeout_ns=st.sampled_from((0, 0, 5000, 9000)),
    may_override=st.booleans(),
    is_delayed=st.booleans(),
)


class QueueMachine(RuleBasedStateMachine):
    """Does to a queue what a scheduler does; a plain list of entries says what should come of it."""

    @initialize(policies=st.lists(POLICIES, min_size=1, max_size=3), data=st.data())
    def make(self, policies: list[QueuePolicy], data: st.DataObject) -> None:
        self.policies = policies
        self.default_level = data.draw(st.integers(1, len(policies)))
        self.queue = RequestQueue(*policies, default_level=self.default_level)
        self.entries: list[Entry] = []
        self.now_ns = 0

    def order(self) -> list[Pending]:
        """Return what waits in the order of service; sorting keeps the order of what is equal."""
        return [entry.pending for entry in sorted(self.entries, key=lambda one: (one.level, one.is_delayed))]

    @rule(priority=st.integers(0, 4), timeout_us=st.sampled_from((0, 3, 7, 20)))
    def add(self, priority: int, timeout_us: int) -> None:
        level = priority if 0 < priority <= len(self.policies) else self.default_level
        policy = self.policies[level - 1]
        new = pending(timeout_us=timeout_us, priority=priority)
        if policy.max_size and sum(entry.level == level for entry in self.entries) >= policy.max_size:
            with pytest.raises(UnavailableError):
                self.queue.add(new, self.now_ns)
            return
        self.queue.add(new, self.now_ns)
        expires_ns = self.now_ns + policy.timeout_of(new) if policy.timeout_ns else None
        self.entries.append(Entry(new, level, expires_ns))

    @rule(passes_ns=st.integers(0, 6000))
    def expire(self, passes_ns: int) -> None:
        self.now_ns += passes_ns
        late = [
            entry
            for entry in self.entries
            if not entry.is_delayed and entry.expires_ns is not None and entry.expires_ns <= self.now_ns
        ]
        refused = [entry for entry in late if not self.policies[entry.level - 1].is_delayed]
        delayed = [entry for entry in late if entry not in refused]
        # They join the second line in the order in which they are found to be late.
        self.entries = [entry for entry in self.entries if entry not in late] + delayed
        for entry in delayed:
            entry.is_delayed = True
        assert self.queue.expire(self.now_ns) == [entry.pending for entry in sorted(refused, key=lambda one: one.level)]

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        count = data.draw(st.integers(1, len(self.entries)))
        expected = self.order()[:count]
        assert self.queue.take(count) == expected
        self.entries = [entry for entry in self.entries if entry.pending not in expected]

    @precondition(lambda self: self.entries)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(self.entries))
        assert self.queue.remove(entry.pending)
        assert not self.queue.remove(entry.pending)
        self.entries.remove(entry)

    @rule()
    def clear(self) -> None:
        assert self.queue.clear() == self.order()
        self.entries = []

    @invariant()
    def waits_in_order(self) -> None:
        assert list(self.queue) == self.order()
        assert len(self.queue) == len(self.entries)
        expiries = [entry.expires_ns for entry in self.entries if entry.expires_ns is not None and not entry.is_delayed]
        assert self.queue.next_expiry_ns() == min(expiries, default=None)


@dataclass(eq=False)
class Entry:
    """A waiting request as the machine sees it."""

    pending: Pending
    level: int
    expires_ns: int | None
    is_delayed: bool = False


TestQueueMachine = QueueMachine.TestCase
TestQueueMachine.settings = settings(max_examples=50, stateful_step_count=40)
