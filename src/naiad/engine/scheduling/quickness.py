# SPDX-License-Identifier: Apache-2.0
"""Whether a model is so quick that its batches are better computed on the event loop than handed to a thread.

A hand-off and the way back cost about 20 µs of both threads, more where they wait for each other's GIL; a model
that takes less than 50 µs is worth more than half as many requests again when it runs where the request is. A slow run
on the loop holds up every connection, so the judgement is slow to trust and quick to doubt. Pure: it is told times.
"""

_QUICK_BELOW_NS = 50_000
_STALL_NS = 1_000_000
_FULL_TRUST = 64
_LEAST_TRUST = 16
_MOST_TRUST = 256
_DOUBT = 4


class Quickness:
    """Trust in one instance, from the runs it is told about."""

    __slots__ = ("_needed", "_trust")

    def __init__(self) -> None:
        self._trust = 0
        self._needed = _LEAST_TRUST

    @property
    def is_proven(self) -> bool:
        """Whether the next batch may be computed on the loop."""
        return self._trust >= self._needed

    def ran_on_thread(self, wall_ns: int, cpu_ns: int) -> None:
        """Learn from a run on the instance's own thread.

        Only a run that was quick by the clock counts for it, so that a model that sleeps is never trusted. A run with
        little processor time that took long says nothing: it may have waited for the GIL.
        """
        if wall_ns < _QUICK_BELOW_NS:
            self._trust += 1
        elif cpu_ns >= _QUICK_BELOW_NS:
            self._trust = max(self._trust - _DOUBT, 0)

    def ran_on_loop(self, wall_ns: int) -> None:
        """Learn from a run on the loop; one that stalled it makes trust dearer, a long quick series cheaper again."""
        if wall_ns < _QUICK_BELOW_NS:
            self._trust += 1
            if self._trust >= self._needed + _FULL_TRUST:
                self._needed = max(self._needed // 2, _LEAST_TRUST)
                self._trust = self._needed + _FULL_TRUST // 2
        elif wall_ns < _STALL_NS:
            self._trust = max(self._trust - _DOUBT, 0)
        else:
            self._trust = 0
            self._needed = min(self._needed * 2, _MOST_TRUST)
