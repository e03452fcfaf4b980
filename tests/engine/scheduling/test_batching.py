# SPDX-License-Identifier: Apache-2.0
"""The dynamic batcher's decisions, as values."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.proto import ModelConfig
from naiad.engine.pending import Pending
from naiad.engine.scheduling.batching import DynamicBatching, OneByOne, Plan
from naiad.engine.signature import BoundRequest
from naiad.requests import InferRequest


def waiting(*rows: int, key: str = "a", queued_ns: int = 0) -> list[Pending]:
    return [_pending(count, key, queued_ns) for count in rows]


def _pending(rows: int, key: str, queued_ns: int) -> Pending:
    bound = BoundRequest({}, rows, (key,), ())
    return Pending(InferRequest("m", ()), bound, "1", lambda _: None, queued_ns)


def batching(max_rows: int = 8, preferred: tuple[int, ...] = (8,), delay_ns: int = 0) -> DynamicBatching:
    return DynamicBatching(max_rows, frozenset(preferred), delay_ns)


def test_without_dynamic_batching_each_request_is_an_execution() -> None:
    assert OneByOne().plan(waiting(1, 1, 1), 0) == Plan(1)


def test_without_a_delay_everything_that_fits_goes_at_once() -> None:
    assert batching().plan(waiting(1, 2, 1), 0) == Plan(3)


def test_rows_are_counted_and_not_requests() -> None:
    assert batching(max_rows=8).plan(waiting(4, 3, 3), 0) == Plan(2)


def test_the_largest_preferred_size_that_is_reached_goes_at_once() -> None:
    policy = batching(preferred=(2, 4), delay_ns=10**9)
    assert policy.plan(waiting(1, 1, 1, 1, 1), 0) == Plan(4)
    assert policy.plan(waiting(1, 1, 1), 0) == Plan(2)


def test_a_batch_below_every_preferred_size_waits_for_the_rest_of_its_delay() -> None:
    policy = batching(preferred=(4,), delay_ns=1000)
    assert policy.plan(waiting(1, 1, queued_ns=100), 300) == Plan(0, 800)
    assert policy.plan(waiting(1, 1, queued_ns=100), 1100) == Plan(2)


def test_a_request_of_another_shape_closes_the_batch_before_it() -> None:
    policy = batching(preferred=(4,), delay_ns=10**9)
    assert policy.plan(waiting(1, 1) + waiting(1, key="b") + waiting(1), 0) == Plan(2)


def test_a_request_that_would_overfill_the_batch_closes_it() -> None:
    assert batching(preferred=(8,), delay_ns=10**9).plan(waiting(5, 4), 0) == Plan(1)


def test_a_batch_beyond_the_largest_preferred_size_does_not_wait() -> None:
    assert batching(preferred=(2,), delay_ns=10**9).plan(waiting(3), 0) == Plan(1)


def test_the_delay_counts_from_the_oldest_which_need_not_be_the_first() -> None:
    line = [_pending(1, "a", 50), _pending(1, "a", 10), _pending(1, "b", 0)]
    assert batching(delay_ns=100).plan(line[:2], 60) == Plan(0, 50)
    assert batching(delay_ns=100).plan(line[:2], 110) == Plan(2)
    assert batching(delay_ns=100).plan(line, 60) == Plan(2)


def test_the_policy_is_read_off_the_config() -> None:
    config = ModelConfig(max_batch_size=16)
    config.dynamic_batching.preferred_batch_size.extend([4, 8])
    config.dynamic_batching.max_queue_delay_microseconds = 250
    assert DynamicBatching.from_config(config) == DynamicBatching(16, frozenset({4, 8}), 250_000)


@given(
    requests=st.lists(st.tuples(st.integers(1, 8), st.sampled_from("ab")), min_size=1, max_size=12),
    preferred=st.sets(st.integers(1, 8), max_size=3),
    delay_ns=st.integers(0, 100),
    now_ns=st.integers(0, 200),
)
def test_a_batch_is_a_compatible_run_from_the_front_within_the_limit(
    requests: list[tuple[int, str]], preferred: set[int], delay_ns: int, now_ns: int
) -> None:
    line = [_pending(rows, key, 0) for rows, key in requests]
    plan = batching(8, tuple(preferred), delay_ns).plan(line, now_ns)
    batch = line[: plan.take]
    assert sum(pending.bound.rows for pending in batch) <= 8
    assert len({pending.bound.batch_key for pending in batch}) <= 1
    assert plan.take or 0 < plan.wait_ns <= delay_ns


def test_instances_that_share_a_cpu_take_their_share_of_what_waits() -> None:
    policy = DynamicBatching(4, frozenset({4}), sharing=2)
    assert policy.plan(waiting(1), 0) == Plan(1)
    assert policy.plan(waiting(1, 1), 0) == Plan(1)
    assert policy.plan(waiting(1, 1, 1), 0) == Plan(2)
    assert policy.plan(waiting(*[1] * 20), 0) == Plan(4)


def test_a_share_is_one_batch_all_the_same() -> None:
    policy = DynamicBatching(4, frozenset({4}), sharing=2)
    assert policy.plan(waiting(3, 3, 3, 3), 0) == Plan(1)
    assert policy.plan(waiting(1) + waiting(1, 1, 1, key="b"), 0) == Plan(1)


@pytest.mark.parametrize(
    ("groups", "batching", "sharing"),
    [
        ("instance_group { count: 3 kind: KIND_CPU }", "", 3),
        ("instance_group { count: 1 kind: KIND_CPU } instance_group { count: 1 kind: KIND_CPU }", "", 2),
        ("instance_group { count: 2 kind: KIND_GPU gpus: [ 0 ] }", "", 1),
        ("instance_group { count: 1 kind: KIND_CPU } instance_group { count: 1 kind: KIND_GPU gpus: [ 0 ] }", "", 1),
        ("instance_group { count: 2 kind: KIND_CPU }", "preferred_batch_size: 8", 2),
        ("instance_group { count: 2 kind: KIND_CPU }", "preferred_batch_size: [ 4, 8 ]", 1),
        ("instance_group { count: 2 kind: KIND_CPU }", "max_queue_delay_microseconds: 100", 1),
    ],
)
def test_only_cpu_instances_of_a_config_silent_on_batch_sizes_share(groups: str, batching: str, sharing: int) -> None:
    config = text_format.Parse(f"max_batch_size: 8 {groups} dynamic_batching {{ {batching} }}", ModelConfig())
    assert DynamicBatching.from_config(config).sharing == sharing
