# SPDX-License-Identifier: Apache-2.0
"""YOLO11 models to serve: the real architectures with random weights, exported by Ultralytics.

Plain random weights see next to nothing: every score is the same tiny number, masks are empty. Three steps make them
lively and well spread, so that a comparison of two runs has much to compare and no ties that rounding could decide:

1. BatchNorm takes its statistics from two real photos.
2. The last layers of the head are scaled, so that what they say varies from place to place.
3. The classes' biases are raised, so that some hundreds of places are above the usual threshold.

Exports take seconds, so they are kept in a folder and made once: for a test session, or for as long as the folder
lives that NAIAD_TEST_CACHE names.
"""

import math
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import torch
import ultralytics
from ultralytics import YOLO  # type: ignore[attr-defined] # it is loaded lazily
from ultralytics.data.augment import LetterBox
from ultralytics.utils import ASSETS

RECIPE = 3
"""Raise it when the models made here change, so that no cache gives old ones."""

TASKS = ("detect", "segment", "pose", "obb", "classify")

_ARCHITECTURES = {
    "detect": "yolo11n.yaml",
    "segment": "yolo11n-seg.yaml",
    "pose": "yolo11n-pose.yaml",
    "obb": "yolo11n-obb.yaml",
    "classify": "yolo11n-cls.yaml",
}

AWKWARD_NAMES = {
    0: "farmer's wife",
    1: 'the "best" dog',
    2: "back\\slash",
    3: "two\nlines",
    4: "東京 café",
    5: "{braces}: %s",
}
"""Class names that a careless writer of config.pbtxt breaks on."""


@dataclass(frozen=True, slots=True)
class Export:
    """An ONNX file made by Ultralytics, and what is known of it."""

    path: Path
    task: str
    size: int
    """Height and width it was exported with, in pixels."""
    is_dynamic: bool
    names: dict[int, str]


@dataclass(frozen=True, slots=True)
class Exports:
    """The exports of one folder, made when they are asked for."""

    folder: Path

    def random(self, task: str, is_dynamic: bool) -> Export:
        """Return a YOLO11n with random but lively weights."""
        size = 224 if task == "classify" else 320
        path = self.folder / f"yolo11n-{task}-{'dynamic' if is_dynamic else 'fixed'}-{size}.onnx"
        if not path.exists():
            model = lively_model(task)
            export_to(model, path, imgsz=size, dynamic=is_dynamic)
        return Export(path, task, size, is_dynamic, names_of(_class_count(path)))

    def trained(self, weights: Path, size: int, is_dynamic: bool) -> Export:
        """Return an export of trained weights."""
        path = self.folder / f"{weights.stem}-{'dynamic' if is_dynamic else 'fixed'}-{size}.onnx"
        model = YOLO(weights)
        if not path.exists():
            export_to(model, path, imgsz=size, dynamic=is_dynamic)
        return Export(path, "detect", size, is_dynamic, dict(model.names))


def cache_folder(session_folder: Path) -> Path:
    """Return the folder for the exports: in NAIAD_TEST_CACHE, or in the session's own."""
    parent = Path(os.environ.get("NAIAD_TEST_CACHE") or session_folder)
    folder = parent / f"exports-{RECIPE}-ultralytics-{ultralytics.__version__}-torch-{torch.__version__}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def names_of(class_count: int) -> dict[int, str]:
    """Return the class names of a random model: some awkward ones, then plain ones."""
    return {index: AWKWARD_NAMES.get(index, f"thing {index}") for index in range(class_count)}


def lively_model(task: str) -> YOLO:
    """Return YOLO11n with seeded random weights that see many and different things in a photo."""
    torch.manual_seed(20251)
    yolo = YOLO(_ARCHITECTURES[task], verbose=False)
    network: Any = yolo.model
    photos = _photos()
    _calibrate(network, photos)
    head = network.model[-1]
    if task == "classify":
        _spread(network, photos, {head.linear: 3.0})
    else:
        scores = [branch[-1] for branch in head.cv3]
        sides = [branch[-1] for branch in head.cv2]
        extras = [branch[-1] for branch in getattr(head, "cv4", ())]  # mask coefficients, keypoints or angles
        deviations = dict.fromkeys(scores, 0.45) | dict.fromkeys(sides, 2.0) | dict.fromkeys(extras, 0.3)
        said = _spread(network, photos, deviations)
        for layer in scores:
            _raise(layer, said[layer])
    network.names = names_of(len(network.names))
    return yolo


def export_to(model: YOLO, path: Path, **options: Any) -> None:
    """Export `model` to ONNX and put the file at `path`, whole or not at all."""
    working_folder = path.parent / f".{path.stem}-{os.getpid()}"
    working_folder.mkdir(exist_ok=True)
    network: Any = model.model
    network.pt_path = str(working_folder / "model.pt")  # the exporter writes beside it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch's exporter warns of is between it and Ultralytics
        exported = Path(model.export(format="onnx", verbose=False, **options))
    exported.replace(path)
    working_folder.rmdir()


def _photos() -> torch.Tensor:
    """Return two photos as the predictor sends them."""
    letterbox = LetterBox((320, 320))
    photos: list[Any] = [letterbox(image=cv2.imread(str(ASSETS / name))) for name in ("bus.jpg", "zidane.jpg")]
    batch = np.stack([photo[..., ::-1].transpose(2, 0, 1) for photo in photos]).astype(np.float32) / 255
    return torch.from_numpy(batch)


def _calibrate(network: torch.nn.Module, photos: torch.Tensor) -> None:
    """Let BatchNorm see photos, so that activations keep their size from layer to layer."""
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # take the average, not a step towards it
    network.train()
    with torch.no_grad():
        network(photos)
    network.eval()


def _spread(network: Any, photos: torch.Tensor, deviations: dict[Any, float]) -> dict[Any, torch.Tensor]:
    """Scale each layer so that what it says of the photos varies by its deviation; return what it says then."""
    said: dict[Any, torch.Tensor] = {}
    hooks = [layer.register_forward_hook(lambda one, _, output: said.update({one: output})) for layer in deviations]
    with torch.no_grad():
        network(photos)
        for hook in hooks:
            hook.remove()
        for layer, deviation in deviations.items():
            factor = deviation / said[layer].std()
            for numbers in (layer.weight, layer.bias, said[layer]):
                numbers.mul_(factor)
    return said


def _raise(layer: Any, said: torch.Tensor) -> None:
    """Shift a layer of class scores so that a tenth of the places is above the usual threshold, 0.25."""
    best = said.amax(1).flatten()
    with torch.no_grad():
        layer.bias.add_(math.log(0.25 / 0.75) - best.quantile(0.9))


def _class_count(path: Path) -> int:
    metadata = {item.key: item.value for item in onnx.load(path, load_external_data=False).metadata_props}
    return metadata["names"].count("thing ") + len(AWKWARD_NAMES)
