# SPDX-License-Identifier: Apache-2.0
"""The two servers of the comparison: one real Triton and one Naiad for the whole run."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.conformance.repositories import write_naiad_repository, write_triton_repository
from tests.conformance.wire import Request, converse

import naiad
from naiad.options import RestrictedGroup, flag_name

_START_S = 300
"""The first start installs the reference server."""
_STOP_S = 30
_POLL_S = 0.1
RESTRICTED = RestrictedGroup(
    ("metadata", "inference", "shared-memory", "model-config", "model-repository", "statistics", "trace", "logging"),
    "admin-key",
    "s3cret",
)
"""All categories but health, which the fixtures ask themselves."""
FORWARDED = {
    "http_header_forward_pattern": "x-fw-|(?-i:Exact-Fw)",
    "grpc_header_forward_pattern": "x-fw-|X-UPPER|user-agent",
}


class Ports(NamedTuple):
    """Where a server listens on this machine."""

    http: int
    metrics: int
    grpc: int


class Servers(NamedTuple):
    """The two servers, with the same models."""

    triton: Ports
    naiad: Ports


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers, live and with their models loaded; skips where the real Triton isn't at hand."""
    script = _reference()
    folder = tmp_path_factory.mktemp("conformance")
    repositories = folder / "triton", folder / "naiad"
    for repository, write in zip(repositories, (write_triton_repository, write_naiad_repository), strict=True):
        repository.mkdir()
        write(repository)
    with ExitStack() as stack:
        triton = stack.enter_context(_Triton(script, repositories[0], folder / "triton.log", *_flags(FORWARDED)))
        # One model does not load, on purpose.
        options = {
            "http_port": 0,
            "grpc_port": 0,
            "metrics_port": 0,
            "id": "triton",
            "exit_on_error": False,
            "allow_client_shm": True,
            **FORWARDED,
        }
        ours = stack.enter_context(naiad.Server(repositories[1], **options))
        yield Servers(triton.ports, Ports(*map(_port_of, (ours.http_url, ours.metrics_url, ours.grpc_url))))


@pytest.fixture(scope="session")
def restricted_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Both servers without models, with the categories of `RESTRICTED` closed to those without the header."""
    script = _reference()
    folder = tmp_path_factory.mktemp("restricted")
    repository = folder / "repository"
    repository.mkdir()
    text = f"{','.join(RESTRICTED.categories)}:{RESTRICTED.key}={RESTRICTED.value}"
    flags = f"--http-restricted-api={text}", f"--grpc-restricted-protocol={text}"
    options = {"http_restricted_api": (RESTRICTED,), "grpc_restricted_protocol": (RESTRICTED,), "id": "triton"}
    with (
        _Triton(script, repository, folder / "triton.log", *flags) as triton,
        naiad.Server(repository, http_port=0, grpc_port=0, metrics_port=0, **options) as ours,
    ):
        yield Servers(triton.ports, Ports(*map(_port_of, (ours.http_url, ours.metrics_url, ours.grpc_url))))


@contextmanager
def traced_servers(folder: Path, *trace_configs: Sequence[str]) -> Iterator[Servers]:
    """Start both servers with the same models, each with its own `--trace-config`, in an empty `folder`."""
    script = _reference()
    repositories = folder / "triton-models", folder / "naiad-models"
    for repository, write in zip(repositories, (write_triton_repository, write_naiad_repository), strict=True):
        repository.mkdir()
        write(repository)
    theirs, ours = trace_configs
    flags = [f"--trace-config={one}" for one in theirs]
    options = {"http_port": 0, "grpc_port": 0, "metrics_port": 0, "exit_on_error": False, "trace_config": tuple(ours)}
    with (
        _Triton(script, repositories[0], folder / "triton.log", *flags) as triton,
        naiad.Server(repositories[1], **options) as server,
    ):
        yield Servers(triton.ports, Ports(*map(_port_of, (server.http_url, server.metrics_url, server.grpc_url))))


def _flags(options: Mapping[str, str]) -> list[str]:
    return [f"--{flag_name(name)}={value}" for name, value in options.items()]


def _reference() -> Path:
    named = os.environ.get("NAIAD_REFERENCE")
    if not named:
        pytest.skip("needs the real Triton: set NAIAD_REFERENCE to a script that starts it (CONTRIBUTING.md, Tests)")
    script = Path(named).expanduser().resolve()
    if not script.is_file():
        pytest.fail(f"NAIAD_REFERENCE is {named}, expected an existing script; correct or unset it")
    return script


class _Triton:
    """The real Triton in a process of its own; in a `with` block it runs and is live."""

    def __init__(self, script: Path, repository: Path, log: Path, *flags: str) -> None:
        http, grpc, metrics = _free_ports(3)
        self.ports = Ports(http, metrics, grpc)
        self._command = [str(script), str(repository), *map(str, (http, grpc, metrics)), "--exit-on-error=false"]
        self._command += flags
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "_Triton":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=subprocess.STDOUT)
        deadline_s = time.monotonic() + _START_S
        while not _is_live(self.ports.http):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.__exit__()
                tail = self._log.read_text(errors="replace")[-2000:]
                pytest.skip(f"the real Triton could not be started by {self._command[0]}:\n{tail}")
            time.sleep(_POLL_S)
        return self

    def __exit__(self, *_exception: object) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _is_live(port: int) -> bool:
    try:
        answers = converse(port, Request("GET", "/v2/health/live").encoded()).answers
    except OSError:
        return False
    return bool(answers) and answers[0].status == 200


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago; Triton takes none by itself."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in sockets]


def _port_of(url: str) -> int:
    return int(url.partition("://")[2].partition("/")[0].rpartition(":")[2])
