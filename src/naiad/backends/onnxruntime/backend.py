# SPDX-License-Identifier: Apache-2.0
"""Finding a model's ONNX file, and the runtime's own package. Imports `model` and what lies below it."""

import logging
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import onnxruntime

from naiad.backends.base import BackendModel, BackendSettings, ModelFiles
from naiad.backends.devices import nvidia_gpus
from naiad.backends.onnxruntime.model import OnnxModel
from naiad.backends.onnxruntime.providers import CUDA
from naiad.config.proto import ModelConfig
from naiad.errors import UnavailableError

_log = logging.getLogger(__name__)

_DEFAULT_FILE = "model.onnx"

_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-openvino",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)
"""Distributions that all install the package folder `onnxruntime`."""


class OnnxRuntimeBackend:
    """The backend `onnxruntime`. Warns when made if two distributions have overwritten each other's files."""

    def __init__(self) -> None:
        installed = _installed()
        self._package = installed[0] if installed else _DISTRIBUTIONS[0]
        if len(installed) > 1:
            _log.warning(
                "%s are all installed, but share one folder: the last one installed has overwritten files of the "
                "others; run: pip uninstall -y %s && pip install PACKAGE, with the one PACKAGE you need",
                " and ".join(installed),
                " ".join(installed),
            )

    def usable_gpus(self) -> Sequence[int]:
        """Return the NVIDIA GPUs if the installed ONNX Runtime can use them."""
        return nvidia_gpus() if CUDA in onnxruntime.get_available_providers() else ()

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        """Open `default_model_filename`, or `model.onnx`, of the version.

        Raises:
            UnavailableError: there is no such file (Triton's text).
            InternalError: ONNX Runtime cannot read it.
            UnsupportedError: its inputs or outputs are no tensors.
            InvalidArgumentError: the config's parameters are wrong.
        """
        return OnnxModel(_model_path(files, config), files, config, settings, self._package)


def _installed() -> list[str]:
    found = []
    for name in _DISTRIBUTIONS:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def _model_path(files: ModelFiles, config: ModelConfig) -> Path:
    path = files.version_directory / (config.default_model_filename or _DEFAULT_FILE)
    if path.is_dir():
        # As in Triton: a folder holds the model with its external data.
        path /= _DEFAULT_FILE
    if path.is_file():
        return path
    wanted = path.relative_to(files.directory.parent)
    others = sorted(item.name for item in files.version_directory.glob("*.onnx"))
    fix = (
        f'rename {others[0]} to {path.name}, or write default_model_filename: "{others[0]}" in config.pbtxt'
        if others
        else "put the ONNX file there"
    )
    raise UnavailableError(
        f"unable to find '{wanted}' for model '{config.name or files.directory.name}', "
        f"got {', '.join(others) or 'no ONNX file'} there; {fix}"
    )
