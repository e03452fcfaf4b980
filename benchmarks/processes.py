# SPDX-License-Identifier: Apache-2.0
"""Server processes under measurement: start, readiness, processor time and memory from `/proc`, the end of them all."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_POLL_S = 0.01
_STOP_S = 30


class ContestantError(Exception):
    """A server or a load generator did not do its part. The text says which, and holds the end of its output."""


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """A running server: its pid, its HTTP port, how long it took from start to ready; its gRPC port, if it has one."""

    pid: int
    port: int
    ready_s: float
    grpc_port: int | None = None

    @property
    def address(self) -> str:
        """Host and port of its HTTP endpoint."""
        return f"127.0.0.1:{self.port}"

    @property
    def grpc_address(self) -> str:
        """Host and port of its gRPC endpoint.

        Raises:
            ContestantError: it has none.
        """
        if self.grpc_port is None:
            raise ContestantError(f"the server on port {self.port} has no gRPC endpoint")
        return f"127.0.0.1:{self.grpc_port}"

    def cpu_s(self) -> float:
        """Return the processor time that the process and its children have used so far."""
        return sum(_cpu_s(pid) for pid in _tree(self.pid))

    def resident_bytes(self) -> int:
        """Return the resident memory of the process and its children."""
        return sum(int(_read(f"/proc/{pid}/statm").split()[1]) * _PAGE_BYTES for pid in _tree(self.pid))


def free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


@contextmanager
def running(
    command: Sequence[str],
    port: int,
    ready_path: str,
    folder: Path,
    *,
    grpc_port: int | None = None,
    timeout_s: float = 120,
) -> Iterator[ServerProcess]:
    """Start a server in `folder`, wait until `ready_path` answers 200, and stop it and its children at the end.

    What it prints goes to `server-PORT.log` in the folder. The ports are those that the command names.

    Raises:
        ContestantError: it exited or was not ready in time; the log's end is in the text.
    """
    log = folder / f"server-{port}.log"
    with log.open("wb") as output:
        started_s = time.monotonic()
        # A session of its own is a process group of its own: children that outlive the server can be found by it.
        process = subprocess.Popen(  # noqa: S603 - ours
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            if not _is_ready(process, f"http://127.0.0.1:{port}{ready_path}", started_s + timeout_s):
                end = log.read_text(errors="replace")[-2000:]
                raise ContestantError(
                    f"{' '.join(command)} was not ready within {timeout_s} s, its output ends:\n{end}"
                )
            yield ServerProcess(process.pid, port, time.monotonic() - started_s, grpc_port)
        finally:
            _stop(process)


def _is_ready(process: "subprocess.Popen[bytes]", url: str, deadline_s: float) -> bool:
    while process.poll() is None and time.monotonic() < deadline_s:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - http to this machine
                if answer.status == 200:
                    return True
        except (URLError, ConnectionError, TimeoutError):
            pass
        time.sleep(_POLL_S)
    return False


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(_STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _tree(pid: int) -> list[int]:
    found = [pid]
    for parent in found:
        for task in Path(f"/proc/{parent}/task").iterdir():
            found += [int(child) for child in _read(f"{task}/children").split()]
    return found


def _cpu_s(pid: int) -> float:
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def _read(path: str) -> str:
    return Path(path).read_text(encoding="ascii")
