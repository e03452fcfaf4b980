# SPDX-License-Identifier: Apache-2.0
"""Ultralytics checkpoints to ONNX, quietly.

The only module of the base package that imports Ultralytics, and only when a checkpoint must be exported: importing
it takes seconds and needs the `yolo` extra.
"""

import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from naiad.errors import InvalidArgumentError, NotFoundError, UnsupportedError

INSTALL_HINT = 'pip install "naiad[yolo]"'

_NOISY_LOGGERS = ("ultralytics", "torch.onnx", "onnxscript", "onnxslim")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How Ultralytics exports a checkpoint; the names are its own.

    `imgsz` is the side of the square image in pixels, or (height, width); None takes the one it was trained with.
    `dynamic` leaves batch, height and width open, as Ultralytics' guide for Triton does; without it `batch` is fixed.
    `half` stores the weights in FP16, `simplify` None simplifies the graph when onnxslim is installed, `opset` None
    takes the newest that works, `nms` puts the suppression of overlapping boxes into the model.
    """

    imgsz: int | tuple[int, int] | None = None
    dynamic: bool = True
    half: bool = False
    batch: int = 1
    simplify: bool | None = None
    opset: int | None = None
    nms: bool = False


def import_ultralytics() -> Any:  # noqa: ANN401 - the package has no types of its own
    """Import Ultralytics and return the package; it is kept from installing packages by itself.

    Raises:
        UnsupportedError: it is not installed.
    """
    os.environ.setdefault("YOLO_AUTOINSTALL", "false")
    if find_spec("ultralytics") is None:
        raise UnsupportedError(
            f"Ultralytics is not installed; .pt files and the demo need it. Run: {INSTALL_HINT}, or deploy a .onnx"
        )
    with _muted_loggers():
        import ultralytics  # noqa: PLC0415 - takes seconds, and is optional

    return ultralytics


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Ultralytics and PyTorch's exporter from writing to the terminal.

    Not around the import of Ultralytics: its log would keep writing to where standard output goes meanwhile.
    """
    with _muted_loggers(), warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _muted_loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _NOISY_LOGGERS]
    before = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled


def export_onnx(weights: Path, folder: Path, options: ExportOptions) -> Path:
    """Export a checkpoint to an ONNX file in `folder`; the checkpoint's own folder is left alone.

    The ONNX file carries Ultralytics' metadata (task, class names, stride, …) in its `metadata_props`.

    Raises:
        InvalidArgumentError: Ultralytics cannot export it so.
        UnsupportedError: Ultralytics is not installed.
    """
    ultralytics = import_ultralytics()
    # Ultralytics writes the export beside the checkpoint, under the same stem.
    copy = Path(shutil.copy(weights, folder / weights.name))
    try:
        with quiet():
            return Path(ultralytics.YOLO(copy).export(**_arguments(options)))
    except Exception as error:  # a boundary: Ultralytics and PyTorch raise anything
        reason = _first_line(error).replace(str(copy), weights.name)
        raise InvalidArgumentError(
            f"Ultralytics {ultralytics.__version__} cannot export '{weights}': {reason}; check that it is a YOLO "
            "checkpoint and that the export options suit it"
        ) from error
    finally:
        copy.unlink(missing_ok=True)


def fetch_weights(name: str) -> Path:
    """Find one of Ultralytics' published checkpoints (`yolo11n.pt`), or download it to where Ultralytics keeps them.

    Raises:
        NotFoundError: it publishes none of that name, or it cannot be reached.
        UnsupportedError: Ultralytics is not installed.
    """
    import_ultralytics()
    from ultralytics.utils import SETTINGS, is_online  # noqa: PLC0415
    from ultralytics.utils.downloads import GITHUB_ASSETS_NAMES, attempt_download_asset  # noqa: PLC0415

    if name not in GITHUB_ASSETS_NAMES:
        raise NotFoundError(f"'{name}' does not exist, expected a file, or a model that Ultralytics publishes")
    kept = Path(SETTINGS["weights_dir"], name)
    if kept.is_file():
        return kept
    advice = "download it elsewhere and copy it here"
    if not is_online():
        raise NotFoundError(f"'{name}' is not here, and this machine is offline; {advice}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        with quiet():
            attempt_download_asset(kept, retry=0, progress=False)
    except Exception as error:  # a boundary: the download raises anything
        raise NotFoundError(
            f"'{name}' is not here, and cannot be downloaded: {_first_line(error)}; {advice}"
        ) from error
    if not kept.is_file():
        raise NotFoundError(f"'{name}' is not here, and cannot be downloaded; {advice}")
    return kept


def _arguments(options: ExportOptions) -> dict[str, object]:
    from ultralytics.utils import DEFAULT_CFG_DICT  # noqa: PLC0415

    simplify = options.simplify if options.simplify is not None else find_spec("onnxslim") is not None
    arguments: dict[str, object] = {
        "format": "onnx",
        "dynamic": options.dynamic,
        "batch": options.batch,
        "simplify": simplify,
        "opset": options.opset,
    }
    if options.imgsz is not None:
        arguments["imgsz"] = options.imgsz if isinstance(options.imgsz, int) else list(options.imgsz)
    if options.nms:
        arguments["nms"] = True
    if options.half:
        # Ultralytics 8.4 renamed half=True to quantize=16.
        arguments |= {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}
    return arguments


def _first_line(error: Exception) -> str:
    line = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return line.removeprefix("ERROR ❌️ ")  # Ultralytics decorates some
