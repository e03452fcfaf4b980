# SPDX-License-Identifier: Apache-2.0
"""What the tests of checks share."""

from pathlib import Path

import pytest
from tests.deployment.check.repositories import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """An empty repository."""
    path = tmp_path / "models"
    path.mkdir()
    return Repository(path)
