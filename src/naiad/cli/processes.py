# SPDX-License-Identifier: Apache-2.0
"""Which process is meant by a number: process ids are used again, so a process is its id and its start time.

Imports the standard library only.
"""

import os
import subprocess
from pathlib import Path


def start_mark(pid: int) -> str:
    """Return what tells this process from a later one of the same id; empty when it does not run.

    On Linux the clock ticks between boot and its start; elsewhere what `ps` says of its start.
    """
    stat = Path(f"/proc/{pid}/stat")
    if Path("/proc/self/stat").exists():
        try:
            # The command, in parentheses, may hold anything; fields are counted from behind it (man 5 proc).
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            return ""
        state, ticks = fields[0], fields[19]
        return "" if state in {"Z", "X"} else ticks
    return _mark_from_ps(pid)


def _mark_from_ps(pid: int) -> str:
    command = ["ps", "-o", "stat=,lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"LC_ALL": "C"})  # noqa: S603 - no shell, numbers only
    except FileNotFoundError:
        return ""
    state, _, started = answer.stdout.strip().partition(" ")
    return "" if state.startswith("Z") else started.strip()
