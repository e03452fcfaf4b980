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


def wait_until_ready(started: Background) -> RunningServer:
    """Wait until a launched server has loaded its models and listens.

    Raises:
        UnavailableError: it ended instead; the text holds the end of its output.
    """
    while True:
        ended = started.process.poll() is not None
        server = find_server(started.process.pid)
        if server is not None:
            return server
        if ended:
            lines = started.log.read_text(encoding="utf-8", errors="replace").rstrip().splitlines()
            output = "\n".join(lines[-_LOG_TAIL_LINES:])
            raise UnavailableError(f"the server did not start (exit code {started.process.returncode}):\n{output}")
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
