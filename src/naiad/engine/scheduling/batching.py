# SPDX-License-Identifier: Apache-2.0
"""Which of the waiting requests make the next batch: a plain decision over values and a clock reading.

Mirrors Triton's `DynamicBatchScheduler::GetDynamicBatch`. Rows are counted, not requests; only requests with equal
`batch_key` share a batch, and order is kept: the first that does not fit closes the batch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.pending import Pending


class Plan(NamedTuple):
    """Take the first `take` waiting requests now; or, if that is 0, look again `wait_ns` from now."""

    take: int
    wait_ns: int = 0


class Waiting(Protocol):
    """The requests that wait, in the order of service."""

    def __iter__(self) -> Iterator[Pending]:
        """Iterate over those that may be taken next."""

    def __len__(self) -> int:
        """Return how many wait in all."""


class BatchPolicy(Protocol):
    """How waiting requests become batches.

    `is_immediate`: a request that finds a free instance and nobody waiting is a batch by itself.
    """

    @property
    def is_immediate(self) -> bool:
        """Whether `plan` would take a single request at once."""

    def plan(self, waiting: Waiting, now_ns: int) -> Plan:
        """Decide about `waiting` (in the order of service, not empty) at `now_ns`; an instance is free."""


class OneByOne:
    """Triton's default scheduler: a request is an execution."""

    is_immediate = True

    def plan(self, waiting: Waiting, now_ns: int) -> Plan:
        """Take the first."""
        return Plan(1)


@dataclass(frozen=True, slots=True)
class DynamicBatching:
    """Triton's dynamic batcher.

    `preferred_rows` are the batch sizes worth sending at once; without a delay every batch goes as soon as an instance
    is free. Where several instances share the cores of a CPU, `sharing` is how many, and each takes its share of what
    waits: one that took all would leave the others without work until clients have been answered and ask again, and a
    batch on a CPU is hardly quicker than its rows one by one. Triton knows no such thing.
    """

    max_rows: int
    preferred_rows: frozenset[int]
    max_delay_ns: int = 0
    sharing: int = 1

    @classmethod
    def from_config(cls, config: ModelConfig) -> "DynamicBatching":
        """Read the policy off a completed config with `dynamic_batching`.

        CPU instances share what waits only where the config says nothing of batch sizes: completion alone makes
        `max_batch_size` the preferred one.
        """
        batching = config.dynamic_batching
        max_rows = max(config.max_batch_size, 1)
        preferred_rows = frozenset(batching.preferred_batch_size)
        max_delay_ns = batching.max_queue_delay_microseconds * 1000
        is_free = not max_delay_ns and preferred_rows <= {max_rows}
        return cls(max_rows, preferred_rows, max_delay_ns, sharing=_cpu_instances(config) if is_free else 1)

    @property
    def is_immediate(self) -> bool:
        """Whether there is no delay in which a batch may grow."""
        return self.max_delay_ns == 0

    def plan(self, waiting: Waiting, now_ns: int) -> Plan:
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
        if self.sharing > 1:
            return Plan(min(count, -(-len(waiting) // self.sharing)))
        if best:
            return Plan(best)
        if is_closed or not self.max_delay_ns or rows >= max(self.preferred_rows, default=self.max_rows):
            return Plan(count)
        # The oldest need not be the first one: there are priorities.
        oldest_ns = min(pending.queued_ns for pending in islice(waiting, count))
        left_ns = oldest_ns + self.max_delay_ns - now_ns
        return Plan(count) if left_ns <= 0 else Plan(0, left_ns)


def _cpu_instances(config: ModelConfig) -> int:
    """Return how many instances share the CPU, 1 if any has a device of its own."""
    groups = config.instance_group
    if any(group.kind != model_config_pb2.ModelInstanceGroup.KIND_CPU for group in groups):
        return 1
    return max(sum(group.count for group in groups), 1)
