# SPDX-License-Identifier: Apache-2.0
"""A way to write model repositories in a line."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An empty model repository."""
    path = tmp_path / "models"
    path.mkdir()
    return path


@pytest.fixture
def write_model(repository: Path) -> Callable[..., Path]:
    """Call it with a name and, as keywords, `config` (None: no file), `versions` (by space), `files` (path → text)."""

    def write(
        name: str, config: str | None = None, versions: str = "1", files: Mapping[str, str] | None = None
    ) -> Path:
        directory = repository / name
        directory.mkdir()
        for version in versions.split():
            (directory / version).mkdir()
        texts = {**({} if config is None else {"config.pbtxt": config}), **(files or {})}
        for path, text in texts.items():
            (directory / path).parent.mkdir(parents=True, exist_ok=True)
            (directory / path).write_text(text, encoding="utf-8")
        return directory

    return write
