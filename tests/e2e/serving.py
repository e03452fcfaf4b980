# SPDX-License-Identifier: Apache-2.0
"""A `naiad serve` in a process of its own, as a user starts it."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_START_S = 60
_STOP_S = 60


@dataclass(frozen=True, slots=True)
class Serving:
    """A running server process."""

    process: "subprocess.Popen[bytes]"
    log: Path
    http: str
    """`host:port` of the HTTP endpoint, as tritonclient wants it."""
    metrics_url: str
    grpc: str
    """`host:port` of the gRPC endpoint."""

    @property
    def url(self) -> str:
        """The HTTP endpoint as a URL, as Ultralytics wants it."""
        return f"http://{self.http}"

    def said(self) -> str:
        """Return all that it has printed."""
        return self.log.read_text(encoding="utf-8")

    def metrics(self) -> str:
        """Return what Prometheus would scrape."""
        with urllib.request.urlopen(self.metrics_url, timeout=10) as answer:
            return str(answer.read(), "utf-8")


@contextmanager
def serving(
    *repositories: Path, log: Path, flags: tuple[str, ...] = (), python_flags: tuple[str, ...] = ()
) -> Iterator[Serving]:
    """Serve repositories with `python -m naiad serve` until the block ends; begins once the server is ready."""
    with started(*repositories, log=log, flags=flags, python_flags=python_flags) as server:
        wait_ready(server)
        yield server


@contextmanager
def started(
    *repositories: Path, log: Path, flags: tuple[str, ...] = (), python_flags: tuple[str, ...] = ()
) -> Iterator[Serving]:
    """Start `python -m naiad serve`; the block ends it with SIGTERM, and it must end well."""
    http_port, grpc_port, metrics_port = free_ports(3)
    command = [
        *(sys.executable, *python_flags, "-m", "naiad", "serve"),
        *(f"--model-repository={repository}" for repository in repositories),
        *(f"--http-port={http_port}", f"--grpc-port={grpc_port}", f"--metrics-port={metrics_port}", *flags),
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=os.environ | {"COLUMNS": "200"}
        )
    try:
        yield Serving(
            process,
            log,
            f"127.0.0.1:{http_port}",
            f"http://127.0.0.1:{metrics_port}/metrics",
            f"127.0.0.1:{grpc_port}",
        )
    finally:
        exit_code = _stop(process)
    assert exit_code == 0, f"naiad serve ended with {exit_code}:\n{log.read_text(encoding='utf-8')}"


def wait_ready(server: Serving) -> None:
    """Wait until the server says that it is ready."""
    wait_until(server, "ready", lambda: _is("ready", server.url))


def wait_live(server: Serving) -> None:
    """Wait until the server answers, ready or not: one with a model that failed to load never is."""
    wait_until(server, "live", lambda: _is("live", server.url))


def wait_until(server: Serving, what: str, is_so: Callable[[], bool]) -> None:
    """Wait until `is_so`; `what` is it called if that does not come."""
    deadline_s = time.monotonic() + _START_S
    while not is_so():
        try:
            code = server.process.wait(timeout=0.05)  # the pause between two questions
        except subprocess.TimeoutExpired:
            assert time.monotonic() < deadline_s, f"naiad serve was not {what} within {_START_S} s:\n{server.said()}"
        else:
            raise AssertionError(f"naiad serve ended with {code} before it was {what}:\n{server.said()}")


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that were free a moment ago, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _is(health: str, url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/v2/health/{health}", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
        return False
    except OSError:
        return False


def _stop(process: "subprocess.Popen[bytes]") -> int:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(timeout=_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
