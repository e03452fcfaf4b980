# SPDX-License-Identifier: Apache-2.0
"""Names of what is deployed: of a model, those that a folder, a URL and Ultralytics' client all take; of its file.

May import `vision` and what lies below it.
"""

import re

from naiad.errors import InvalidArgumentError
from naiad.vision.metadata import client_mistakes_for_file

MODEL_FILENAME = "model.onnx"
"""What the server looks for in a version, where the config names nothing else."""

_ALLOWED = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_RESERVED = frozenset({"stats"})
"""Names that Triton's HTTP routes keep for themselves (`/v2/models/stats`)."""


def check_model_name(name: str) -> None:
    """Check the name of a model that is to be deployed.

    Ultralytics guesses a model's format from the last part of its URL before it looks at the scheme: a model called
    `best.pt` or `yolo_openvino_model` is never asked for on the server.

    Raises:
        InvalidArgumentError: the name cannot be used; the message suggests one that can.
    """
    if not name:
        raise InvalidArgumentError("the model name is empty, expected something like 'yolo'; give one with --name")
    if not _ALLOWED.fullmatch(name):
        raise _refused(name, "expected letters, digits, '_', '-' and '.', not starting with '-' or '.'")
    if name in _RESERVED:
        raise _refused(name, "Triton's protocol keeps that name for the statistics of all models")
    suffix = client_mistakes_for_file(name)
    if suffix:
        raise _refused(name, f"Ultralytics' client takes a name with '{suffix}' in it for a file, and asks no server")


def suggest_model_name(text: str) -> str:
    """Make a name that `check_model_name` accepts out of `text`, which may be anything."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-")
    words = [word for word in re.split(r"([_-])", name) if word]
    while words and (name in _RESERVED or client_mistakes_for_file(name)):
        words.pop()
        name = "".join(words).rstrip("_-")
    return name or "model"


def _refused(name: str, reason: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"model name '{name}' is refused: {reason}; use --name {suggest_model_name(name)}")
