# SPDX-License-Identifier: Apache-2.0
"""Writing a model into a repository so that a running server never sees half of it.

What is written lies in a hidden folder inside the model's first, and becomes a version with one rename.
May import the standard library only.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def staging_folder(model_directory: Path) -> Iterator[Path]:
    """Make a folder, hidden in the model's, for a version in the making; it is gone afterwards.

    The model's folder, and the repository around it, are made when they do not exist, and removed again when nothing
    came to lie in them.
    """
    made = [path for path in (model_directory, model_directory.parent) if not path.exists()]
    model_directory.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".deploying-", dir=model_directory))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        for path in made:
            if not any(path.iterdir()):
                path.rmdir()


def next_version(model_directory: Path) -> int:
    """Return one more than the largest version in the model's folder; 1 for the first."""
    versions = [int(entry.name) for entry in model_directory.iterdir() if entry.is_dir() and entry.name.isdecimal()]
    return max(versions, default=0) + 1


def publish_version(staged: Path, model_directory: Path) -> int:
    """Make the staged folder the model's next version, in one step, and return its number."""
    while True:
        version = next_version(model_directory)
        try:
            staged.rename(model_directory / str(version))
        except OSError:
            if next_version(model_directory) == version:
                raise
            # Somebody deployed the same model in this moment: theirs is that version, ours the one after it.
        else:
            return version


def replace_text(path: Path, text: str) -> None:
    """Write a text file so that a reader sees the old text or the new one."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
