# SPDX-License-Identifier: Apache-2.0
"""The requests that wait for an instance, and the policy that limits how many and how long.

A state machine: it is told the time, and it returns what has expired. Mirrors Triton's `PolicyQueue`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

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
    def from_config(cls, config: ModelConfig) -> "QueuePolicy":
        """Read the default queue policy of a config's `dynamic_batching`."""
        policy = config.dynamic_batching.default_queue_policy
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


class RequestQueue:
    """First in, first out, with a limit on size and on waiting.

    Requests that waited too long under DELAY stay in a second line, which is served when the first is empty.
    """

    def __init__(self, policy: QueuePolicy) -> None:
        self._policy = policy
        self._waiting: deque[Pending] = deque()
        self._delayed: deque[Pending] = deque()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._delayed)

    def __iter__(self) -> Iterator[Pending]:
        """Iterate over the line that is served now, oldest first."""
        return iter(self._waiting or self._delayed)

    def add(self, pending: Pending, now_ns: int) -> None:
        """Let `pending` wait.

        Raises:
            UnavailableError: the queue is full.
        """
        limit = self._policy.max_size
        if limit and len(self) >= limit:
            raise UnavailableError(f"{id_prefix(pending.request.id)}Exceeds maximum queue size")
        pending.queued_ns = now_ns
        self._waiting.append(pending)

    def take(self, count: int) -> list[Pending]:
        """Remove and return the first `count` of the line that is served now."""
        line = self._waiting or self._delayed
        return [line.popleft() for _ in range(count)]

    def remove(self, pending: Pending) -> bool:
        """Remove `pending` wherever it waits; false if it does not."""
        for line in (self._waiting, self._delayed):
            if pending in line:
                line.remove(pending)
                return True
        return False

    def expire(self, now_ns: int) -> list[Pending]:
        """Return those that waited too long and are refused now; under DELAY move them behind instead."""
        if not self._policy.timeout_ns:
            return []
        late = [p for p in self._waiting if p.queued_ns + self._policy.timeout_of(p) <= now_ns]
        for pending in late:
            self._waiting.remove(pending)
        if self._policy.is_delayed:
            self._delayed.extend(late)
            return []
        return late

    def next_expiry_ns(self) -> int | None:
        """Return when the next request will have waited too long, or None if none will."""
        if not self._policy.timeout_ns or not self._waiting:
            return None
        return min(p.queued_ns + self._policy.timeout_of(p) for p in self._waiting)

    def clear(self) -> list[Pending]:
        """Remove and return all."""
        everything = [*self._waiting, *self._delayed]
        self._waiting.clear()
        self._delayed.clear()
        return everything
