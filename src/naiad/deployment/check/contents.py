# SPDX-License-Identifier: Apache-2.0
"""What a file is that should be an ONNX model, told by its first bytes. Imports the standard library only."""

import zipfile
from pathlib import Path
from typing import NamedTuple

_HEAD_BYTES = 512
_LENGTH_BYTES = 4
_LONGEST_METADATA_BYTES = 1 << 24


class Content(NamedTuple):
    """What a file is, in words, and what to do about it.

    In `fix`, `{file}`, `{name}` and `{repository}` stand for the file, the model and where that lies.
    """

    what: str
    fix: str


_RENAMED = (
    "it was renamed, and has to be exported, run: mv {file} {name}.pt && naiad deploy {name}.pt --name {name} "
    "--repository {repository}"
)
_FROM_WEIGHTS = (
    "put the ONNX file there that it was made from, or export the weights, run: naiad deploy WEIGHTS.pt --name {name} "
    "--repository {repository}"
)

_BEGINNINGS = (
    (0, b"version https://git-lfs", Content("a Git LFS pointer, not the file it points to", "run: git lfs pull")),
    (0, b"<!DOCTYPE", Content("a web page", "download the file itself, not the page that shows it")),
    (0, b"<html", Content("a web page", "download the file itself, not the page that shows it")),
    (0, b"<?xml", Content("an XML file, such as OpenVINO's", _FROM_WEIGHTS)),
    (0, b"ptrt", Content("a TensorRT engine", _FROM_WEIGHTS)),
    (0, b"ftrt", Content("a TensorRT engine", _FROM_WEIGHTS)),
    (0, b"\x89HDF", Content("a Keras file (HDF5)", _FROM_WEIGHTS)),
    (4, b"TFL3", Content("a TensorFlow Lite model", _FROM_WEIGHTS)),
    (0, b"\x80\x02", Content("a PyTorch checkpoint (pickle)", _RENAMED)),
)
"""Offset, bytes that stand there, and what they tell."""

_ENGINE = Content(
    "a TensorRT engine with Ultralytics' header, which begins with the length of its metadata and not with the "
    "engine's magic tag",
    _FROM_WEIGHTS,
)


def foreign_content(path: Path) -> Content | None:
    """Return what the file is, if it is certainly no ONNX model; None for one that may be.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return Content("an empty file", "put the model there; was it copied to its end?")
    for offset, beginning, content in _BEGINNINGS:
        if head[offset:].startswith(beginning):
            return content
    if zipfile.is_zipfile(path):
        return _of_archive(path)
    return _ENGINE if _has_ultralytics_header(head) else None


def _of_archive(path: Path) -> Content:
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if any("/code/" in name for name in names):
        return Content("a TorchScript model", _FROM_WEIGHTS)
    if any(name.endswith("data.pkl") for name in names):
        return Content("a PyTorch checkpoint", _RENAMED)
    return Content("a zip archive", "unpack it, and put the ONNX file it holds there")


def _has_ultralytics_header(head: bytes) -> bool:
    length = int.from_bytes(head[:_LENGTH_BYTES], "little")
    return 0 < length < _LONGEST_METADATA_BYTES and head[_LENGTH_BYTES : _LENGTH_BYTES + 2] == b'{"'
