# SPDX-License-Identifier: Apache-2.0
"""The machine's figures are read as Triton reads them."""

from pathlib import Path

import pytest

from naiad.telemetry.machine import MachineMonitor, MachineUsage


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    (tmp_path / "meminfo").write_text("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nHugePages_Total: 0\n")
    return tmp_path


def test_utilization_is_that_since_the_last_time(proc: Path) -> None:
    monitor = MachineMonitor(proc)
    assert monitor.usage is None
    (proc / "stat").write_text("cpu  10 0 10 50 30 0 0 0 7 0\ncpu0 1 1\n")
    monitor.sample()
    assert monitor.usage == MachineUsage(0.2, 1_024_000, 614_400)
    (proc / "stat").write_text("cpu  40 0 10 50 40 0 0 0 9 0\n")
    monitor.sample()
    assert monitor.usage == MachineUsage(0.75, 1_024_000, 614_400)


def test_a_time_too_short_to_measure_counts_as_idle(proc: Path) -> None:
    (proc / "stat").write_text("cpu  10 0 10 50 30 0 0 0\n")
    monitor = MachineMonitor(proc)
    monitor.sample()
    monitor.sample()
    assert monitor.usage is not None
    assert monitor.usage.utilization == 0


@pytest.mark.parametrize("stat", ["", "cpu a b c d e\n"])
def test_a_system_that_does_not_tell_has_no_figures(proc: Path, stat: str) -> None:
    if stat:
        (proc / "stat").write_text(stat)
    monitor = MachineMonitor(proc)
    monitor.sample()
    assert monitor.usage is None


def test_this_machine_tells() -> None:
    if not Path("/proc/meminfo").exists():
        pytest.skip("needs Linux's /proc")
    monitor = MachineMonitor()
    monitor.sample()
    assert monitor.usage is not None
    assert 0 <= monitor.usage.utilization <= 1
    assert 0 < monitor.usage.memory_used_bytes < monitor.usage.memory_total_bytes
