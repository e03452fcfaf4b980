# SPDX-License-Identifier: Apache-2.0
"""Time and the event loop, as far as the engine sees them."""

from collections.abc import Callable
from typing import Protocol

Clock = Callable[[], int]
"""Monotonic nanoseconds."""


class Loop(Protocol):
    """The part of the event loop the engine uses: timers, and a way back from worker threads."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> "Timer":
        """Run `callback` on the loop after `delay` seconds."""

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Run `callback` on the loop soon; may be called from any thread."""


class Timer(Protocol):
    """A timer that can be called off."""

    def cancel(self) -> None:
        """Do not run the callback."""
