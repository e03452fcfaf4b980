# SPDX-License-Identifier: Apache-2.0
"""A real server for all the abuse, watched around each test: afterwards it must hold what it held before."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.abuse.victim import HEALTH, Victim, events_request, infer_request, read_response, write_repository
from tests.e2e.serving import serving

READ_TIMEOUT_S = 2
"""How long the server gives a client for a head, and for each KiB of a body."""
MOST_IN_FLIGHT = 60
"""As many requests as the slow model needs six seconds for."""


@pytest.fixture(scope="session")
def descriptor_limit() -> int:
    """How many descriptors this process, and the servers it starts, may have; as many as can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory, descriptor_limit: int) -> Iterator[Victim]:
    """A warm server: all that it makes once, it has made."""
    folder = tmp_path_factory.mktemp("abuse")
    with _served(folder, f"--http-read-timeout-secs={READ_TIMEOUT_S}", "--allow-client-shm=true") as victim:
        yield victim


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    """A server with room for `MOST_IN_FLIGHT` requests."""
    with _served(tmp_path_factory.mktemp("narrow"), f"--max-requests-in-flight={MOST_IN_FLIGHT}") as victim:
        yield victim


@contextmanager
def _served(folder: Path, *flags: str) -> Iterator[Victim]:
    write_repository(folder / "models")
    with serving(folder / "models", log=folder / "log", flags=flags) as server:
        victim = Victim.of(server)
        with victim.connect() as client:
            for request in (HEALTH, infer_request(400_000), infer_request(4, "slow")):
                client.sendall(request)
                assert read_response(client)[0] == 200
            client.sendall(events_request(1, 0))
            while not client.recv(1000).endswith(b"0\r\n\r\n"):
                pass
        yield victim


@pytest.fixture
def victim(running: Victim) -> Iterator[Victim]:
    """The server; when the test is over, it must hold what it held before, and no request."""
    before = running.footprint()
    yield running
    running.check_is_back(before)


@pytest.fixture(scope="session")
def is_soak() -> bool:
    """Whether there is time for more of everything (`make soak`)."""
    return "NAIAD_SOAK" in os.environ
