# SPDX-License-Identifier: Apache-2.0
"""Asks, at every interval, how busy the machine and its GPUs are. May import `telemetry`."""

import asyncio
from collections.abc import Sequence

from naiad.telemetry.gpus import GpuMonitor
from naiad.telemetry.machine import MachineMonitor


class MachineWatch:
    """Samples `machine` and `gpus`, those that are not None, every `interval_s` seconds from `start` to `stop`.

    GPUs in a thread and for themselves: a driver may take long, and nothing is to wait for it.
    """

    def __init__(self, machine: MachineMonitor | None, gpus: GpuMonitor | None, interval_s: float) -> None:
        self._machine = machine
        self._gpus = gpus
        self._interval_s = interval_s
        self._tasks: Sequence[asyncio.Task[None]] = ()

    def start(self) -> None:
        """Begin; to be called on the event loop. The machine has figures at once, GPUs when they have told them."""
        tasks = []
        if self._machine is not None:
            self._machine.sample()
            tasks.append(asyncio.create_task(self._watch_machine(self._machine)))
        if self._gpus is not None:
            tasks.append(asyncio.create_task(self._watch_gpus(self._gpus)))
        self._tasks = tasks

    def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        self._tasks = ()

    async def _watch_machine(self, machine: MachineMonitor) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            machine.sample()

    async def _watch_gpus(self, gpus: GpuMonitor) -> None:
        while True:
            await asyncio.to_thread(gpus.sample)
            await asyncio.sleep(self._interval_s)
