# SPDX-License-Identifier: Apache-2.0
"""The machine and its GPUs are asked again and again, until the server stops."""

import asyncio
from typing import Any

from naiad.server.machine_watch import MachineWatch


class Counted:
    """Counts how often it is asked, and tells after the third time."""

    def __init__(self) -> None:
        self.count = 0
        self.asked_often = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def sample(self) -> None:
        self.count += 1
        if self.count == 3:
            self._loop.call_soon_threadsafe(self.asked_often.set)


def test_both_are_sampled_until_the_end() -> None:
    async def watch() -> None:
        machine: Any = Counted()
        gpus: Any = Counted()
        watched = MachineWatch(machine, gpus, 0.001)
        watched.start()
        assert machine.count == 1
        await asyncio.wait_for(asyncio.gather(machine.asked_often.wait(), gpus.asked_often.wait()), 10)
        watched.stop()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(watch())


def test_what_is_not_wanted_is_not_asked() -> None:
    async def watch() -> None:
        watched = MachineWatch(None, None, 0.001)
        watched.start()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        watched.stop()

    asyncio.run(watch())
