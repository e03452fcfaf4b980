# SPDX-License-Identifier: Apache-2.0
"""How busy the machine's processors are and how full its memory is, from Linux's `/proc`."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_IDLE = slice(3, 5)
"""Of the times in `/proc/stat`, those in which nothing ran: idle, and waiting for input and output."""
_OWN_TIMES = 8
"""Guests' times, which follow, are part of these already."""


class MachineUsage(NamedTuple):
    """`utilization` is the part (0 to 1) of all processors' time that was spent working since the time before."""

    utilization: float
    memory_total_bytes: int
    memory_used_bytes: int


class MachineMonitor:
    """Reads the figures when it is told to; `usage` is what it read last, None before, or where there is no `/proc`."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._working_ticks = self._all_ticks = 0
        self.usage: MachineUsage | None = None

    def sample(self) -> None:
        """Read the figures; the first time, utilization is that since the machine's start."""
        try:
            working, whole = self._ticks()
            memory = self._memory_bytes()
            total_bytes, available_bytes = memory["MemTotal"], memory["MemAvailable"]
        except (OSError, ValueError, KeyError):  # another system, or a kernel that tells other things
            self.usage = None
            return
        spent = whole - self._all_ticks
        utilization = (working - self._working_ticks) / spent if spent > 0 else 0.0
        self._working_ticks, self._all_ticks = working, whole
        self.usage = MachineUsage(min(max(utilization, 0.0), 1.0), total_bytes, total_bytes - available_bytes)

    def _ticks(self) -> tuple[int, int]:
        """Return the time that all processors worked, and all their time."""
        with (self._proc / "stat").open(encoding="ascii") as file:
            times = [int(one) for one in file.readline().split()[1 : 1 + _OWN_TIMES]]
        return sum(times) - sum(times[_IDLE]), sum(times)

    def _memory_bytes(self) -> Mapping[str, int]:
        rows = (row.split() for row in (self._proc / "meminfo").read_text(encoding="ascii").splitlines())
        return {row[0].rstrip(":"): int(row[1]) * 1024 for row in rows if row[-1] == "kB"}
