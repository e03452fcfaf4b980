# SPDX-License-Identifier: Apache-2.0
"""Event loops whose time passes when a test says so."""

import asyncio
import time
from collections.abc import Callable


class ManualTimer:
    def __init__(self, at_ns: float, callback: Callable[[], object]) -> None:
        self.at_ns = at_ns
        self.callback = callback
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True


class ManualLoop:
    """A loop whose time passes when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.timers: list[ManualTimer] = []

    def call_later(self, delay: float, callback: Callable[[], object], /) -> ManualTimer:
        timer = ManualTimer(self.now_ns + delay * 1e9, callback)
        self.timers.append(timer)
        return timer

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        raise AssertionError("no thread is running")

    def advance(self, to_ns: int) -> None:
        self.now_ns = to_ns
        due = [timer for timer in self.timers if not timer.is_cancelled and timer.at_ns <= to_ns]
        self.timers = [timer for timer in self.timers if not timer.is_cancelled and timer.at_ns > to_ns]
        for timer in due:
            timer.callback()


class SteppedLoop(ManualLoop):
    """The running loop, but for its timers, and a clock to go with them."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = time.monotonic_ns()
        self._loop = asyncio.get_running_loop()

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        return self._loop.call_soon_threadsafe(callback)

    def step(self, seconds: float) -> None:
        """Let time pass, in steps in which no timer goes off twice."""
        until_ns = self.now_ns + round(seconds * 1e9)
        while self.now_ns < until_ns:
            self.advance(min(self.now_ns + 500_000_000, until_ns))
