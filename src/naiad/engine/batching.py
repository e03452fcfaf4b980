# SPDX-License-Identifier: Apache-2.0
"""Which of the waiting requests make the next batch: a plain decision over values and a clock reading.

Mirrors Triton's `DynamicBatchScheduler::GetDynamicBatch`. Rows are counted, not requests; only requests with equal
`batch_key` share a batch, and order is kept: the first that does not fit closes the batch.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from naiad.config.proto import ModelConfig
from naiad.engine.pending import Pending


class Plan(NamedTuple):
    """Take the first `take` waiting requests now; or, if that is 0, look again `wait_ns` from now."""

    take: int
    wait_ns: int = 0


class BatchPolicy(Protocol):
    """How waiting requests become batches.

    `is_immediate`: a request that finds a free instance and nobody waiting is a batch by itself.
    """

    @property
    def is_immediate(self) -> bool:
        """Whether `plan` would take a single request at once."""

    def plan(self, waiting: Iterable[Pending], now_ns: int) -> Plan:
        """Decide about `waiting` (in the order of service, not empty) at `now_ns`; an instance is free."""


class OneByOne:
    """Triton's default scheduler: a request is an execution."""

    is_immediate = True

    def plan(self, waiting: Iterable[Pending], now_ns: int) -> Plan:
        """Take the first."""
        return Plan(1)


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """Triton's dynamic batcher.

    `preferred_rows` are the batch sizes worth sending at once; without a delay every batch goes as soon as an instance
    is free.
    """

    max_rows: int
    preferred_rows: frozenset[int]
    max_delay_ns: int = 0

    @classmethod
    def from_config(cls, config: ModelConfig) -> "DynamicBatching":
        """Read the policy off a completed config with `dynamic_batching`."""
        batching = config.dynamic_batching
        return cls(
            max_rows=max(config.max_batch_size, 1),
            preferred_rows=frozenset(batching.preferred_batch_size),
            max_delay_ns=batching.max_queue_delay_microseconds * 1000,
        )

    @property
    def is_immediate(self) -> bool:
        """Whether there is no delay in which a batch may grow."""
        return self.max_delay_ns == 0

    def plan(self, waiting: Iterable[Pending], now_ns: int) -> Plan:
        """Take the longest run of compatible requests, unless waiting for a preferred size may still pay."""
        rows = count = best = 0
        key: tuple[object, ...] | None = None
        is_closed = False
        for pending in waiting:
            bound = pending.bound
            if key is None:
                key = bound.batch_key
            elif bound.batch_key != key or rows + bound.rows > self.max_rows:
                is_closed = True
                break
            rows += bound.rows
            count += 1
            if rows in self.preferred_rows:
                best = count
        if best:
            return Plan(best)
        if is_closed or not self.max_delay_ns or rows >= max(self.preferred_rows, default=self.max_rows):
            return Plan(count)
        # The oldest need not be the first one: there are priorities.
        oldest_ns = min(pending.queued_ns for pending in islice(waiting, count))
        left_ns = oldest_ns + self.max_delay_ns - now_ns
        return Plan(count) if left_ns <= 0 else Plan(0, left_ns)
