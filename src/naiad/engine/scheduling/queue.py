# SPDX-License-Identifier: Apache-2.0
"""The requests that wait for an instance, by priority, and the policies that limit how many and how long.

A state machine: it is told the time, and it returns what has expired. Mirrors Triton's `PriorityQueue`.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.pending import Pending
from naiad.errors import UnavailableError
from naiad.requests import id_prefix


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """Limits of a queue; 0 means none.

    `is_delayed`: a request that has waited too long goes behind all others (Triton's DELAY) instead of being refused.
    """

    max_size: int = 0
    timeout_ns: int = 0
    may_override: bool = False
    is_delayed: bool = False

    @classmethod
    def of(cls, policy: model_config_pb2.ModelQueuePolicy) -> "QueuePolicy":
        """Read one of the queue policies of a config's `dynamic_batching`."""
        return cls(
            max_size=policy.max_queue_size,
            timeout_ns=policy.default_timeout_microseconds * 1000,
            may_override=policy.allow_timeout_override,
            is_delayed=policy.timeout_action == model_config_pb2.ModelQueuePolicy.DELAY,
        )

    def timeout_of(self, pending: Pending) -> int:
        """Return how long `pending` may wait, in ns; its own timeout counts only if allowed and shorter."""
        own_ns = pending.request.timeout_us * 1000
        if self.may_override and 0 < own_ns < self.timeout_ns:
            return own_ns
        return self.timeout_ns


class _Level:
    """The waiting requests of one priority: those in time, and those that are `delayed`.

    Dicts, so that a request that is withdrawn is not searched for; ordered ones, because a plain dict that is asked for
    its first entry walks over all that were there before.
    """

    __slots__ = ("delayed", "policy", "waiting")

    def __init__(self, policy: QueuePolicy) -> None:
        self.policy = policy
        self.waiting: OrderedDict[Pending, None] = OrderedDict()
        self.delayed: OrderedDict[Pending, None] = OrderedDict()

    def expiry_ns(self, pending: Pending) -> int:
        return pending.queued_ns + self.policy.timeout_of(pending)

    def expire(self, now_ns: int) -> list[Pending]:
        """Return those that are refused now, no longer here."""
        late = []
        for pending in self.waiting:
            if self.expiry_ns(pending) <= now_ns:
                late.append(pending)
            elif not self.policy.may_override:
                break  # all wait equally long, so those behind came later and have time
        for pending in late:
            del self.waiting[pending]
        if self.policy.is_delayed:
            self.delayed.update(dict.fromkeys(late))
            return []
        return late

    def next_expiry_ns(self) -> int | None:
        """Return when the next one will have waited too long; None if none waits."""
        candidates = self.waiting if self.policy.may_override else islice(self.waiting, 1)
        return min(map(self.expiry_ns, candidates), default=None)


class RequestQueue:
    """First in, first out, among requests of equal priority; with a limit on size and on waiting for each priority.

    `policies` are those of the levels of priority, of which level 1, the first, is served first. A request that names
    none of them is on the `default_level`. Requests that waited too long under DELAY stay in a second line of their
    level, which is served when the first is empty.
    """

    def __init__(self, *policies: QueuePolicy, default_level: int = 1) -> None:
        self._levels = tuple(_Level(policy) for policy in policies)
        self._default = self._levels[default_level - 1]
        self._lines = tuple(line for level in self._levels for line in (level.waiting, level.delayed))
        self._with_timeout = tuple(level for level in self._levels if level.policy.timeout_ns)
        self._count = 0

    @classmethod
    def from_config(cls, config: ModelConfig) -> "RequestQueue":
        """Make the queue that a config's `dynamic_batching` asks for."""
        batching = config.dynamic_batching
        default, of_level = batching.default_queue_policy, batching.priority_queue_policy
        if not batching.priority_levels:
            return cls(QueuePolicy.of(default))
        levels = range(1, batching.priority_levels + 1)
        return cls(
            *(QueuePolicy.of(of_level.get(level, default)) for level in levels),
            default_level=batching.default_priority_level,
        )

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Pending]:
        """Iterate over all that wait, in the order in which they are served."""
        return chain.from_iterable(self._lines)

    def add(self, pending: Pending, now_ns: int) -> None:
        """Let `pending` wait.

        Raises:
            UnavailableError: its level of the queue is full.
        """
        level = self._level_of(pending)
        limit = level.policy.max_size
        if limit and len(level.waiting) + len(level.delayed) >= limit:
            raise UnavailableError(f"{id_prefix(pending.request.id)}Exceeds maximum queue size")
        pending.queued_ns = now_ns
        level.waiting[pending] = None
        self._count += 1

    def take(self, count: int) -> list[Pending]:
        """Remove and return the first `count`."""
        taken: list[Pending] = []
        for line in self._lines:
            taken += [line.popitem(last=False)[0] for _ in range(min(count - len(taken), len(line)))]
            if len(taken) == count:
                break
        self._count -= len(taken)
        return taken

    def remove(self, pending: Pending) -> bool:
        """Remove `pending` wherever it waits; false if it does not."""
        level = self._level_of(pending)
        for line in (level.waiting, level.delayed):
            if pending in line:
                del line[pending]
                self._count -= 1
                return True
        return False

    def expire(self, now_ns: int) -> list[Pending]:
        """Return those that waited too long and are refused now; under DELAY move them behind instead."""
        if not self._with_timeout:
            return []
        late = [pending for level in self._with_timeout for pending in level.expire(now_ns)]
        self._count -= len(late)
        return late

    def next_expiry_ns(self) -> int | None:
        """Return when the next request will have waited too long, or None if none will."""
        expiries = (level.next_expiry_ns() for level in self._with_timeout)
        return min((expiry_ns for expiry_ns in expiries if expiry_ns is not None), default=None)

    def clear(self) -> list[Pending]:
        """Remove and return all."""
        return self.take(self._count)

    def _level_of(self, pending: Pending) -> _Level:
        priority = pending.request.priority
        return self._levels[priority - 1] if 0 < priority <= len(self._levels) else self._default
