# SPDX-License-Identifier: Apache-2.0
"""Freed memory goes back when the server is quiet, and only if there was much."""

import asyncio

import pytest

from naiad.server import memory
from naiad.server.transport.bodies import BodyBudget

MIB = 1024 * 1024


class Clib:
    """Stands for glibc's function; knows how often it was called."""

    def __init__(self) -> None:
        self.calls = 0
        self.called = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def __call__(self, pad: int) -> int:
        assert pad == 0
        self.calls += 1
        self._loop.call_soon_threadsafe(self.called.set)
        return 1


@pytest.fixture(autouse=True)
def short_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_TICK_S", 0.001)


def test_it_waits_until_the_last_body_is_gone_and_trims_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        clib, budget = Clib(), BodyBudget()
        monkeypatch.setattr(memory, "_malloc_trim", clib)
        trimmer = memory.IdleTrimmer((BodyBudget(), budget))
        trimmer.start()
        budget.charge(32 * MIB)
        await asyncio.sleep(0.02)
        assert clib.calls == 0
        budget.release(32 * MIB)
        await asyncio.wait_for(clib.called.wait(), 5)
        await asyncio.sleep(0.02)
        trimmer.stop()
        assert clib.calls == 1

    asyncio.run(scenario())


def test_small_bodies_are_not_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        clib, budget = Clib(), BodyBudget()
        monkeypatch.setattr(memory, "_malloc_trim", clib)
        trimmer = memory.IdleTrimmer((budget,))
        trimmer.start()
        budget.charge(MIB)
        budget.release(MIB)
        await asyncio.sleep(0.02)
        trimmer.stop()
        assert clib.calls == 0

    asyncio.run(scenario())


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(memory, "_malloc_trim", None)
        trimmer = memory.IdleTrimmer((BodyBudget(),))
        trimmer.start()
        assert trimmer._timer is None
        trimmer.stop()

    asyncio.run(scenario())
