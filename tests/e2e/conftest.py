# SPDX-License-Identifier: Apache-2.0
"""What the tests from end to end share: a quiet Ultralytics, exports made once, and repositories."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Ultralytics reads these when it is imported: below, and in the processes that tests start.
os.environ.setdefault("YOLO_CONFIG_DIR", str(Path(tempfile.gettempdir()) / f"naiad-tests-ultralytics-{os.getuid()}"))
os.environ.setdefault("YOLO_VERBOSE", "false")
Path(os.environ["YOLO_CONFIG_DIR"]).mkdir(parents=True, exist_ok=True)

from tests.e2e.exports import Exports, cache_folder  # noqa: E402
from tests.e2e.serving import Serving, serving  # noqa: E402
from tests.e2e.triton_clients import KINDS, connected  # noqa: E402
from tests.e2e.triton_models import write_repository  # noqa: E402
from ultralytics.utils import ASSETS  # noqa: E402 - after the lines above


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Exports:
    """The exported models, in a folder that NAIAD_TEST_CACHE may keep for later sessions."""
    return Exports(cache_folder(tmp_path_factory.mktemp("exports")))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty model repository."""
    folder = tmp_path / "models"
    folder.mkdir()
    return folder


@pytest.fixture(scope="session")
def bus() -> str:
    """The photo with four persons and a bus, 810 × 1080."""
    return str(ASSETS / "bus.jpg")


@pytest.fixture(scope="session")
def zidane() -> str:
    """The photo with two persons and a tie, 1280 × 720."""
    return str(ASSETS / "zidane.jpg")


@pytest.fixture(scope="session")
def triton_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with the small models of `triton_models`."""
    folder = tmp_path_factory.mktemp("triton")
    write_repository(folder / "models")
    with serving(folder / "models", log=folder / "log") as running:
        yield running


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of tritonclient's HTTP clients the test uses."""
    return str(request.param)


@pytest.fixture
def client(kind: str, triton_server: Serving) -> Iterator[Any]:
    """Either of tritonclient's HTTP clients, for `triton_server`."""
    with connected(kind, triton_server.http) as made:
        yield made
