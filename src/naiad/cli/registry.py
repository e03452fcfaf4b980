# SPDX-License-Identifier: Apache-2.0
"""The servers of this user on this machine: one small file for each, written when a server is ready.

The files lie in the user's folder for state, or in `NAIAD_STATE_DIR`. A file whose process has gone is stale, and
removed by whoever notices. May import `errors`, click and the standard library.
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import click

from naiad.cli.processes import start_mark
from naiad.errors import UnavailableError

_KEPT_LOGS = 10


@dataclass(frozen=True, slots=True)
class RunningServer:
    """One server: its process, where it listens (empty URL: not at all), what it serves, since when (epoch seconds).

    `exit_timeout_secs` is how long it may take to stop, `log` the file with its output, empty in the foreground.
    `certificate` is the PEM file that an https server shows, empty if it lets in only clients with one of their own.
    """

    pid: int
    mark: str
    http_port: int
    http_url: str
    metrics_url: str
    repositories: tuple[str, ...]
    since: float
    exit_timeout_secs: int
    log: str = ""
    certificate: str = ""
    grpc_url: str = ""

    @property
    def asks_for_certificates(self) -> bool:
        """Whether it lets in, over HTTP, only clients with a certificate, which the commands have not."""
        return self.http_url.startswith("https:") and not self.certificate

    @property
    def is_running(self) -> bool:
        """Whether the process is still there, and still the same."""
        return start_mark(self.pid) == self.mark != ""


def state_directory() -> Path:
    """Return the folder of state files, made if need be; only its user may look into it.

    Raises:
        UnavailableError: it cannot be made.
    """
    directory = Path(os.environ.get("NAIAD_STATE_DIR") or _default_directory())
    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise _unusable(directory, error) from error
    return directory


def _default_directory() -> Path:
    """Return where state goes: on Linux as the XDG Base Directory Specification says, not among what is configured."""
    if sys.platform == "linux":
        return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "naiad" / "servers"
    return Path(click.get_app_dir("naiad")) / "servers"


@contextmanager
def registered(server: RunningServer) -> Iterator[None]:
    """Keep a server listed while the block runs.

    Raises:
        UnavailableError: its file cannot be written.
    """
    path = _path(server.pid)
    draft = path.with_suffix(".new")
    try:
        draft.write_text(json.dumps(asdict(server)), encoding="utf-8")
        draft.replace(path)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def find_server(pid: int) -> RunningServer | None:
    """Return the listed server of that process id; None while there is none."""
    server = _read(_path(pid))
    return server if server is not None and server.is_running else None


def running_servers() -> list[RunningServer]:
    """Return the servers that run, by port; forgets those that do not."""
    found = []
    for path in state_directory().glob("*.json"):
        server = _read(path)
        if server is not None and server.is_running:
            found.append(server)
        else:
            path.unlink(missing_ok=True)
    return sorted(found, key=lambda server: (server.http_port, server.pid))


def new_log_file(port: int) -> Path:
    """Return the path for the output of a server that is about to be started in the background.

    Logs outlive their servers, to be read; here the oldest ones go, but never that of a server that runs.
    """
    in_use = {server.log for server in running_servers()}
    logs = [path for path in sorted(state_directory().glob("*.log")) if str(path) not in in_use]
    for path in logs[:-_KEPT_LOGS]:
        path.unlink(missing_ok=True)
    return state_directory() / f"{time.strftime('%Y%m%d-%H%M%S')}-port{port}-by{os.getpid()}.log"


def _unusable(directory: Path, error: OSError) -> UnavailableError:
    return UnavailableError(
        f"the folder for the list of running servers, '{directory}', cannot be written: {error.strerror}; name another "
        "one in NAIAD_STATE_DIR"
    )


def _path(pid: int) -> Path:
    return state_directory() / f"{pid}.json"


def _read(path: Path) -> RunningServer | None:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        known = {row.name: values[row.name] for row in fields(RunningServer) if row.name in values}
        return RunningServer(**known | {"repositories": tuple(values["repositories"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None  # gone meanwhile, or not one of ours
