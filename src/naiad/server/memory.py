# SPDX-License-Identifier: Apache-2.0
"""Memory that large requests have left behind goes back to the operating system once the server is quiet.

The C library keeps what is freed for next time, up to some hundred MB after a burst of large bodies. While requests
come that is right: fresh memory costs time. Nothing is done where the C library is another than glibc.
May import `transport.bodies`.
"""

import asyncio
import ctypes
import os
import threading
from collections.abc import Sequence

from naiad.server.transport.bodies import BodyBudget

_TICK_S = 1.0
_WORTH_BYTES = 16 * 1024 * 1024
"""So much must have come since the last time."""


class IdleTrimmer:
    """Watches `budgets`, and trims when no body has come for a second, none is in work, and enough came before."""

    def __init__(self, budgets: Sequence[BodyBudget]) -> None:
        self._budgets = budgets
        self._seen_bytes = 0
        self._trimmed_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; to be called on the event loop."""
        if _malloc_trim is not None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """End."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        received_bytes = sum(budget.received_bytes for budget in self._budgets)
        in_flight = any(budget.in_flight_bytes for budget in self._budgets)
        is_quiet = received_bytes == self._seen_bytes and not in_flight
        self._seen_bytes = received_bytes
        if is_quiet and received_bytes - self._trimmed_bytes >= _WORTH_BYTES:
            self._trimmed_bytes = received_bytes
            # Some milliseconds, in which the loop need not wait.
            threading.Thread(target=_malloc_trim, args=(0,), name="naiad-trim", daemon=True).start()
        self.start()


_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
