# SPDX-License-Identifier: Apache-2.0
"""Limits on how many wait, and how long."""

import pytest

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.pending import Pending
from naiad.engine.queue import QueuePolicy, RequestQueue
from naiad.engine.signature import BoundRequest
from naiad.errors import UnavailableError
from naiad.requests import InferRequest


def pending(request_id: str = "", timeout_us: int = 0) -> Pending:
    request = InferRequest("m", (), id=request_id, timeout_us=timeout_us)
    return Pending(request, BoundRequest({}, 1, (), ()), "1", lambda _: None, 0)


def test_requests_leave_in_the_order_they_came() -> None:
    queue = RequestQueue(QueuePolicy())
    first, second, third = pending(), pending(), pending()
    for one in (first, second, third):
        queue.add(one, 0)
    assert queue.take(2) == [first, second]
    assert list(queue) == [third]


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
    config = ModelConfig()
    policy = config.dynamic_batching.default_queue_policy
    policy.timeout_action = model_config_pb2.ModelQueuePolicy.DELAY
    policy.default_timeout_microseconds = 7
    policy.allow_timeout_override = True
    policy.max_queue_size = 3
    assert QueuePolicy.from_config(config) == QueuePolicy(3, 7000, True, True)
