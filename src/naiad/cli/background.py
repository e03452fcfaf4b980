# SPDX-License-Identifier: Apache-2.0
"""A server in the background: started, waited for, stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from naiad.cli.registry import RunningServer, find_server, new_log_file
from naiad.errors import UnavailableError

LOG_VARIABLE = "NAIAD_SERVE_DETACHED_LOG"
"""Tells a server in the background where its output goes, so that it can say so."""

_POLL_S = 0.05
_LOG_TAIL_LINES = 40
_READY_LIMIT_S = 600.0
"""Long enough for models that are compiled when they are loaded; else something is stuck."""
STOP_GRACE_S = 5
"""Added to a server's own exit timeout before it counts as stuck."""


class Background(NamedTuple):
    """A started process and the file with its output."""

    process: "subprocess.Popen[bytes]"
    log: Path


def launch(arguments: Sequence[str], port: int) -> Background:
    """Start `naiad serve` with these arguments in a session of its own, so that it outlives this terminal.

    Raises:
        UnavailableError: there is no folder to keep its output in.
    """
    log = new_log_file(port)
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603 - this program itself, without a shell
            [sys.executable, "-m", "naiad", "serve", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {LOG_VARIABLE: str(log), "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    return Background(process, log)


def wait_until_ready(started: Background, limit_s: float = _READY_LIMIT_S) -> RunningServer:
    """Wait until a launched server has loaded its models and listens, at most `limit_s` seconds.

    Raises:
        UnavailableError: it ended instead, and the text holds the end of its output; or it takes longer, and goes on.
    """
    deadline_s = time.monotonic() + limit_s
    while True:
        ended = started.process.poll() is not None
        server = find_server(started.process.pid)
        if server is not None:
            return server
        if ended:
            lines = started.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
            output = "\n".join(lines[-_LOG_TAIL_LINES:])
            raise UnavailableError(f"the server did not start (exit code {started.process.returncode}):\n{output}")
        if time.monotonic() > deadline_s:
            raise UnavailableError(
                f"the server is not ready after {limit_s:g} s, and goes on loading its models in the background as "
                f"process {started.process.pid}; its output, in {started.log}, tells how far it has come; to end it: "
                f"kill {started.process.pid}"
            )
        time.sleep(_POLL_S)


def end(started: Background) -> None:
    """End a process of `launch`, ready or not, and remove its output; it is killed if it does not end by itself."""
    started.process.terminate()
    try:
        started.process.wait(STOP_GRACE_S)
    except subprocess.TimeoutExpired:
        started.process.kill()
        started.process.wait()
    started.log.unlink(missing_ok=True)


def stop(server: RunningServer) -> bool:
    """Ask a server to stop, and wait until its process has gone; False if it has not gone in time."""
    deadline_s = time.monotonic() + server.exit_timeout_secs + STOP_GRACE_S
    try:
        os.kill(server.pid, signal.SIGTERM)
    except ProcessLookupError:
        return True
    while server.is_running:
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True
