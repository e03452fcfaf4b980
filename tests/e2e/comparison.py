# SPDX-License-Identifier: Apache-2.0
"""Compares what a served model says with what the same file says here, number by number."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ultralytics import YOLO  # type: ignore[attr-defined] # it is loaded lazily
from ultralytics.engine.results import Results

TOLERANCE = 1e-3

_PARTS = ("boxes", "masks", "keypoints", "probs", "obb")


@dataclass(frozen=True, slots=True)
class Compared:
    """How much was compared."""

    boxes: int
    numbers: int
    mask_share: float
    """Of all mask pixels, those that belong to an object."""


def predict(source: str, task: str, photos: Sequence[Any], size: int) -> list[Results]:
    """Return what an unmodified Ultralytics makes of `photos`, all in one call; `source` is a URL or a file."""
    return list(YOLO(source, task=task).predict(list(photos), imgsz=size, save=False, verbose=False))


def assert_same(served: Sequence[Results], local: Sequence[Results]) -> Compared:
    """Assert that both say the same of every photo, within the tolerance; return how much that was."""
    assert len(served) == len(local) > 0
    boxes = numbers = 0
    shares: list[float] = []
    for one, other in zip(served, local, strict=True):
        assert one.names == other.names
        assert one.orig_shape == other.orig_shape
        for part in _PARTS:
            left, right = getattr(one, part), getattr(other, part)
            assert (left is None) == (right is None), part
            if left is None:
                continue
            assert_close(left.data, right.data, part)
            numbers += left.data.numel()
            boxes += len(left) if part in ("boxes", "obb") else 0
            if part == "probs":
                assert left.top5 == right.top5
            if part == "masks":
                shares.append(float(left.data.float().mean()))
    return Compared(boxes, numbers, float(np.mean(shares)) if shares else 0.0)


def assert_close(served: Any, local: Any, what: str) -> None:
    """Assert that two tensors have one shape and the same numbers."""
    assert served.shape == local.shape, f"{what}: served {tuple(served.shape)}, local {tuple(local.shape)}"
    np.testing.assert_allclose(np.asarray(served), np.asarray(local), rtol=0, atol=TOLERANCE, err_msg=what)


def counts(result: Results) -> dict[str, int]:
    """Return how many of each class were found."""
    boxes: Any = result.boxes
    found = [result.names[int(index)] for index in boxes.cls.tolist()]
    return {name: found.count(name) for name in sorted(set(found))}


def add_model(repository: Path, name: str, artifact: Path, config: str | None = None, version: int = 1) -> Path:
    """Put a model into a repository, bare or with a config.pbtxt; return its folder."""
    folder = repository / name
    (folder / str(version)).mkdir(parents=True)
    (folder / str(version) / "model.onnx").symlink_to(artifact.resolve())
    if config is not None:
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    return folder
