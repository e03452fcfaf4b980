# SPDX-License-Identifier: Apache-2.0
"""How many cores the process may use, and how a model's instances share them.

A container's limit is a quota, not an affinity: `os.cpu_count()` of a pod with 2 CPUs on a 64-core node says 64, and
a runtime that believes it starts 64 threads to be throttled. Imports the standard library only.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(cgroup_root: Path = _CGROUP_ROOT, membership: Path = _MEMBERSHIP) -> int:
    """Return how many cores this process may keep busy: its affinity, cut by its cgroup's CPU quota; at least 1.

    A fraction counts as a core, as in Go and Java. The paths are where Linux shows cgroups (v1 and v2).
    """
    cores = _affinity()
    quota = min(_quotas(cgroup_root, membership), default=math.inf)
    return max(1, min(cores, math.ceil(quota))) if quota < cores else cores


def intra_op_threads(usable_cores: int, instances: int) -> int:
    """Return the threads each of a model's `instances` computes with: its share of the cores, at least 1."""
    return max(1, usable_cores // max(1, instances))


def _affinity() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas(root: Path, membership: Path) -> Iterator[float]:
    """Yield the CPU quota, in cores, of each cgroup the process is in; the smallest one binds."""
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for folder in _with_ancestors(root, path):
                yield from _quota(*_read(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            # A container often sees its own cgroup mounted at the hierarchy's root, whatever path it is told.
            for folder in _with_ancestors(root / controllers, path):
                yield from _quota(
                    _read(folder / "cpu.cfs_quota_us").strip(), _read(folder / "cpu.cfs_period_us").strip()
                )


def _with_ancestors(root: Path, path: str) -> Iterator[Path]:
    folder = root / path.strip("/")
    yield folder
    while folder != root and root in folder.parents:
        folder = folder.parent
        yield folder


def _quota(quota_us: str = "", period_us: str = "") -> Iterator[float]:
    """Yield one quota in cores; "max" (v2), "-1" (v1) and an absent file mean there is none."""
    if quota_us.isdecimal() and period_us.isdecimal() and int(period_us) > 0:
        yield int(quota_us) / int(period_us)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""
