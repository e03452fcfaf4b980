# SPDX-License-Identifier: Apache-2.0
"""How busy the machine's NVIDIA GPUs are, as the driver's library NVML tells it.

NVML is reached through the package nvidia-ml-py (extra `gpu`), which is imported when a server first asks. No test of
Naiad's has run on a GPU: they use a stand-in for the functions named in `Nvml`. Imports the standard library only.
"""

import importlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

_SIGNS_OF_A_GPU = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/gpus"))

_log = logging.getLogger(__name__)


class Nvml(Protocol):
    """What is used of the module `pynvml`; its functions raise `NVMLError`."""

    NVMLError: type[Exception]

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        """Open the library."""

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        """Return how many GPUs there are."""

    def nvmlDeviceGetHandleByIndex(self, index: int, /) -> Any:  # noqa: N802, ANN401 - opaque
        """Return what stands for a GPU."""

    def nvmlDeviceGetUUID(self, handle: Any, /) -> str:  # noqa: N802, ANN401
        """Return a GPU's name in the world."""

    def nvmlDeviceGetUtilizationRates(self, handle: Any, /) -> Any:  # noqa: N802, ANN401
        """Return `gpu`, the percentage of the last period in which a kernel ran."""

    def nvmlDeviceGetMemoryInfo(self, handle: Any, /) -> Any:  # noqa: N802, ANN401
        """Return `total` and `used`, in bytes."""

    def nvmlDeviceGetPowerUsage(self, handle: Any, /) -> int:  # noqa: N802, ANN401
        """Return milliwatts."""

    def nvmlDeviceGetEnforcedPowerLimit(self, handle: Any, /) -> int:  # noqa: N802, ANN401
        """Return milliwatts."""

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any, /) -> int:  # noqa: N802, ANN401
        """Return millijoules since the driver was loaded."""


class GpuUsage(NamedTuple):
    """The figures of one GPU by name, those of `FIGURES` that it can tell."""

    uuid: str
    figures: Mapping[str, float]


FIGURES: Mapping[str, Callable[[Nvml, Any], float]] = {
    "utilization": lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu / 100,
    "memory_total_bytes": lambda nvml, gpu: int(nvml.nvmlDeviceGetMemoryInfo(gpu).total),
    "memory_used_bytes": lambda nvml, gpu: int(nvml.nvmlDeviceGetMemoryInfo(gpu).used),
    "power_usage_w": lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "power_limit_w": lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1000,
    "energy_j": lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000,
}
"""Name → how it is asked for: a rate from 0 to 1, bytes, watts, joules."""


@dataclass(slots=True)
class _Gpu:
    handle: Any
    uuid: str
    silent: set[str] = field(default_factory=set)
    """Figures that it has refused to tell; warned of once."""
    first_energy_j: float | None = None


class GpuMonitor:
    """Reads the figures when it is told to; `usage` is what it read last, empty before or without GPUs.

    NVML may take milliseconds, and to be opened a second: `sample` is for a thread, one at a time. NVML stays open, for
    others in this process may use it too.
    """

    def __init__(self, find: Callable[[], Nvml | None] | None = None) -> None:
        self.usage: Sequence[GpuUsage] = ()
        self._find = find or find_nvml
        self._nvml: Nvml | None = None
        self._gpus: Sequence[_Gpu] | None = None

    def sample(self) -> None:
        """Read the figures; the first time, look for GPUs. Energy is counted from the first time on."""
        if self._gpus is None:
            self._nvml = self._find()
            self._gpus = () if self._nvml is None else _open(self._nvml)
        nvml = self._nvml
        if nvml is not None:
            self.usage = tuple(GpuUsage(gpu.uuid, _figures(nvml, gpu)) for gpu in self._gpus)


def find_nvml() -> Nvml | None:
    """Import nvidia-ml-py; None without it, with a line in the log if there seems to be a GPU."""
    try:
        return cast(Nvml, importlib.import_module("pynvml"))
    except ImportError:
        if _seems_to_be_there():
            _log.warning(
                "no metrics of the GPUs: the package nvidia-ml-py is missing; install it with pip install "
                "'naiad[gpu]', or leave them out with --allow-gpu-metrics=false"
            )
        return None


def _seems_to_be_there() -> bool:
    return any(sign.exists() for sign in _SIGNS_OF_A_GPU)


def _open(nvml: Nvml) -> Sequence[_Gpu]:
    try:
        nvml.nvmlInit()
        count = nvml.nvmlDeviceGetCount()
    except nvml.NVMLError as error:  # mostly: no driver
        if _seems_to_be_there():
            _log.warning("no metrics of the GPUs: NVML says '%s'; see whether nvidia-smi works", error)
        return ()
    gpus = []
    for index in range(count):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            gpus.append(_Gpu(handle, nvml.nvmlDeviceGetUUID(handle)))
        except nvml.NVMLError as error:
            _log.warning("no metrics of GPU %d: NVML says '%s'", index, error)
    return gpus


def _figures(nvml: Nvml, gpu: _Gpu) -> Mapping[str, float]:
    told: dict[str, float] = {}
    for name, ask in FIGURES.items():
        try:
            told[name] = ask(nvml, gpu.handle)
        except nvml.NVMLError as error:
            if name not in gpu.silent:
                gpu.silent.add(name)
                _log.warning("GPU %s does not tell %s: NVML says '%s'; it is left out", gpu.uuid, name, error)
    if "energy_j" in told:
        # A driver that was loaded anew has begun at 0, and so does the counter.
        if gpu.first_energy_j is None or told["energy_j"] < gpu.first_energy_j:
            gpu.first_energy_j = told["energy_j"]
        told["energy_j"] -= gpu.first_energy_j
    return told
