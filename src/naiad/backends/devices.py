# SPDX-License-Identifier: Apache-2.0
"""Which GPUs this process may use, as the driver shows them. Imports the standard library only."""

import os
from collections.abc import Mapping
from pathlib import Path

_DRIVER = Path("/proc/driver/nvidia/gpus")


def nvidia_gpus(driver: Path = _DRIVER, environment: Mapping[str, str] = os.environ) -> tuple[int, ...]:
    """Return the ids of the NVIDIA GPUs, counted from 0 as CUDA does: those of `CUDA_VISIBLE_DEVICES`, if it is set.

    Never run on a machine with several GPUs.
    """
    count = sum(1 for _ in driver.iterdir()) if driver.is_dir() else 0
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        count = min(count, sum(1 for entry in visible.split(",") if entry.strip() not in ("", "-1")))
    return tuple(range(count))
