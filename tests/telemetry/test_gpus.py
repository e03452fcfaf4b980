# SPDX-License-Identifier: Apache-2.0
"""The figures of GPUs, told by a stand-in for NVML that behaves as its documentation says."""

import importlib
import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from naiad.telemetry import gpus
from naiad.telemetry.gpus import FIGURES, GpuMonitor, GpuUsage, Nvml
from naiad.telemetry.metrics import render

ALL = {
    "utilization": 0.25,
    "memory_total_bytes": 80,
    "memory_used_bytes": 30,
    "power_usage_w": 120.5,
    "power_limit_w": 350.0,
    "energy_j": 0.0,
}


class NvmlError(Exception):
    """The root of what NVML raises."""


class FakeNvml:
    """Two GPUs; functions named in `broken` raise, as those do that a card does not support."""

    NVMLError = NvmlError

    def __init__(self, *broken: str) -> None:
        self.broken = set(broken)
        self.energy_mj = 7_000_000
        self.is_open = False

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if name in self.broken:
                raise NvmlError("Not Supported")
            assert self.is_open or name == "nvmlInit"
            return getattr(self, f"_{name}")(*arguments)

        return call

    def _nvmlInit(self) -> None:  # noqa: N802
        self.is_open = True

    def _nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return 2

    def _nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return f"handle {index}"

    def _nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return handle.replace("handle ", "GPU-")

    def _nvmlDeviceGetUtilizationRates(self, _handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=25, memory=3)

    def _nvmlDeviceGetMemoryInfo(self, _handle: str) -> Any:  # noqa: N802
        return SimpleNamespace(total=80, free=50, used=30)

    def _nvmlDeviceGetPowerUsage(self, _handle: str) -> int:  # noqa: N802
        return 120_500

    def _nvmlDeviceGetEnforcedPowerLimit(self, _handle: str) -> int:  # noqa: N802
        return 350_000

    def _nvmlDeviceGetTotalEnergyConsumption(self, _handle: str) -> int:  # noqa: N802
        return self.energy_mj


def monitor_of(nvml: FakeNvml | None) -> GpuMonitor:
    as_module: Any = nvml
    return GpuMonitor(lambda: as_module)


@pytest.fixture(autouse=True)
def signs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The path that makes this machine look as if it had a GPU, once it exists."""
    sign = tmp_path / "nvidiactl"
    monkeypatch.setattr(gpus, "_SIGNS_OF_A_GPU", (sign,))
    return sign


def test_every_gpu_tells_its_figures() -> None:
    monitor = monitor_of(FakeNvml())
    assert not monitor.usage
    monitor.sample()
    assert monitor.usage == (GpuUsage("GPU-0", ALL), GpuUsage("GPU-1", ALL))


def test_energy_counts_from_the_first_time_on_and_anew_with_a_new_driver() -> None:
    nvml = FakeNvml()
    monitor = monitor_of(nvml)
    told = []
    for energy_mj in (7_000_000, 7_002_500, 1_000, 3_000):
        nvml.energy_mj = energy_mj
        monitor.sample()
        told.append(monitor.usage[0].figures["energy_j"])
    assert told == [0.0, 2.5, 0.0, 2.0]


def test_what_a_card_does_not_tell_is_left_out_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    monitor = monitor_of(FakeNvml("nvmlDeviceGetPowerUsage"))
    monitor.sample()
    monitor.sample()
    left = {name: value for name, value in ALL.items() if name != "power_usage_w"}
    assert [usage.figures for usage in monitor.usage] == [left, left]
    assert [record.getMessage() for record in caplog.records] == [
        f"GPU GPU-{index} does not tell power_usage_w: NVML says 'Not Supported'; it is left out" for index in (0, 1)
    ]
    text = render([], gpus=monitor.usage).decode()
    assert "nv_gpu_power_usage" not in text
    assert 'nv_gpu_power_limit{gpu_uuid="GPU-1"} 350.0\n' in text


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetCount"])
@pytest.mark.parametrize("seems_there", [False, True])
def test_without_a_driver_there_are_none(
    broken: str, seems_there: bool, signs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if seems_there:
        signs.touch()
    monitor = monitor_of(FakeNvml(broken))
    monitor.sample()
    monitor.sample()
    assert monitor.usage == ()
    texts = [record.getMessage() for record in caplog.records]
    assert texts == ["no metrics of the GPUs: NVML says 'Not Supported'; see whether nvidia-smi works"] * seems_there


def test_a_gpu_that_cannot_be_opened_does_not_hide_the_others(caplog: pytest.LogCaptureFixture) -> None:
    class OneIsLost(FakeNvml):
        def _nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
            if index == 0:
                raise NvmlError("GPU is lost")
            return f"handle {index}"

    monitor = monitor_of(OneIsLost())
    monitor.sample()
    assert [usage.uuid for usage in monitor.usage] == ["GPU-1"]
    assert caplog.messages == ["no metrics of GPU 0: NVML says 'GPU is lost'"]


@pytest.mark.parametrize("seems_there", [False, True])
def test_without_the_package_only_a_machine_with_a_gpu_is_told(
    seems_there: bool, signs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def absent(name: str) -> Nvml:
        raise ModuleNotFoundError(name)

    if seems_there:
        signs.touch()
    monkeypatch.setattr(importlib, "import_module", absent)
    monitor = GpuMonitor()
    with caplog.at_level(logging.WARNING):
        monitor.sample()
        monitor.sample()
    assert monitor.usage == ()
    assert ["pip install 'naiad[gpu]'" in text for text in caplog.messages] == [True] * seems_there


def test_every_family_is_written_in_tritons_words() -> None:
    lines = render([], gpus=(GpuUsage("GPU-1", {**ALL, "energy_j": 2.5}),)).decode().splitlines()
    assert lines[-18:] == [
        "# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)",
        "# TYPE nv_gpu_utilization gauge",
        'nv_gpu_utilization{gpu_uuid="GPU-1"} 0.25',
        "# HELP nv_gpu_memory_total_bytes GPU total memory, in bytes",
        "# TYPE nv_gpu_memory_total_bytes gauge",
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-1"} 80',
        "# HELP nv_gpu_memory_used_bytes GPU used memory, in bytes",
        "# TYPE nv_gpu_memory_used_bytes gauge",
        'nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 30',
        "# HELP nv_gpu_power_usage GPU power usage in watts",
        "# TYPE nv_gpu_power_usage gauge",
        'nv_gpu_power_usage{gpu_uuid="GPU-1"} 120.5',
        "# HELP nv_gpu_power_limit GPU power management limit in watts",
        "# TYPE nv_gpu_power_limit gauge",
        'nv_gpu_power_limit{gpu_uuid="GPU-1"} 350.0',
        "# HELP nv_energy_consumption GPU energy consumption in joules since the Triton Server started",
        "# TYPE nv_energy_consumption counter",
        'nv_energy_consumption{gpu_uuid="GPU-1"} 2.5',
    ]
    assert set(ALL) == set(FIGURES)
