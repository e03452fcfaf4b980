# SPDX-License-Identifier: Apache-2.0
"""`deploy`: from a weights file to a model version in a repository.

May import `vision`, `repository`, `backends`, `config` and what lies below them.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

from naiad.backends.base import BackendSettings, ModelFiles
from naiad.backends.registry import backend_for
from naiad.config import pbtxt
from naiad.config.proto import ModelConfig
from naiad.deployment import description
from naiad.deployment.export import ExportOptions, export_onnx, fetch_weights
from naiad.deployment.names import MODEL_FILENAME, check_model_name, suggest_model_name
from naiad.deployment.writer import publish_version, replace_text, staging_folder
from naiad.errors import InvalidArgumentError, NaiadError, NotFoundError, UnsupportedError
from naiad.repository.scan import CONFIG_FILENAME

DEFAULT_MAX_BATCH_SIZE = 4
"""Of a model with a batch dimension: what Triton's ONNX Runtime backend chooses itself."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """What `deploy` has written: `path` is the model file, `config` what config.pbtxt says now."""

    model: str
    version: int
    path: Path
    config: ModelConfig

    @property
    def task(self) -> str:
        """The YOLO task (`detect`, `segment`, …) that the model's metadata names; empty where they name none."""
        return description.task(self.config)


def deploy(
    weights: str | Path,
    name: str | None = None,
    repository: str | Path = "models",
    *,
    export: ExportOptions | None = None,
    max_batch_size: int | None = None,
    tensorrt: bool = False,
    on_step: Callable[[str], object] = lambda _: None,
) -> Deployment:
    """Put a model into a repository, as its next version.

    A `.pt` checkpoint is exported by Ultralytics first; a `.onnx` file is taken as it is. config.pbtxt gets the
    model's inputs and outputs with their dims, dynamic batching where the model has a batch dimension, and the
    metadata that the file carries (class names, task, stride), where Ultralytics' client looks for it.

    Where the model has a config.pbtxt already, only what describes the file is brought up to date; what the user
    wrote beside that stays (see `description.next_config`). Comments survive as long as nothing needs to change.

    A running server never sees half a version: it is made aside, and becomes visible with one rename.

    Args:
        weights: a `.pt` or `.onnx` file; the name of a checkpoint that Ultralytics publishes is downloaded.
        name: the model's name; by default that of the file.
        repository: the folder of models; made when it does not exist.
        export: how a checkpoint is exported; an `.onnx` file has been already.
        max_batch_size: most rows in a batch; by default 4, as Triton chooses, or what config.pbtxt says already.
        tensorrt: ask for TensorRT on GPUs, as Ultralytics' guide does.
        on_step: told, in a few words, what is being done; for progress displays.

    Raises:
        InvalidArgumentError: a name, file or option that cannot be used, or a broken config.pbtxt.
        NotFoundError: there are no such weights.
        UnsupportedError: a format that this version does not take, or Ultralytics is not installed.
    """
    weights = Path(weights)
    name = suggest_model_name(weights.stem) if name is None else name
    check_model_name(name)
    _check_format(weights)
    export = export or ExportOptions()
    if weights.suffix == ".onnx":
        _check_nothing_to_export(weights, export)
    model_directory = Path(repository) / name
    existing = _existing_config(model_directory)
    with staging_folder(model_directory) as staged:
        version_directory = staged / "1"
        version_directory.mkdir()
        _place_model(weights, version_directory, export, on_step)
        on_step("Reading the model")
        try:
            fresh = _describe(name, staged, max_batch_size)
        except NaiadError as error:
            reason = str(error).replace(f"{staged.name}/1/{MODEL_FILENAME}", weights.name)
            raise type(error)(f"'{weights}' cannot be deployed: {reason}") from error
        config = fresh if existing is None else description.next_config(existing, fresh)
        if max_batch_size and config.max_batch_size:
            config.max_batch_size = max_batch_size
        if tensorrt:
            description.add_tensorrt(config, f"/models/{name}/1")
        on_step("Writing the repository")
        if config != existing:
            replace_text(model_directory / CONFIG_FILENAME, pbtxt.dump(config))
        version = publish_version(version_directory, model_directory)
    return Deployment(name, version, model_directory / str(version) / MODEL_FILENAME, config)


def _check_format(weights: Path) -> None:
    if weights.suffix in {".pt", ".onnx"} and not weights.is_dir():
        return
    if weights.suffix in {".engine", ".plan", ".torchscript", ".xml", ".pb", ".tflite", ".pth"} or weights.is_dir():
        kind = "a folder" if weights.is_dir() else f"'{weights.suffix}'"
        raise UnsupportedError(
            f"'{weights}': {kind} cannot be deployed in this version of Naiad, expected a .pt or .onnx file; export "
            "the model with format=onnx"
        )
    raise InvalidArgumentError(f"'{weights}' is not a model that Naiad knows, expected a .pt or .onnx file")


def _check_nothing_to_export(weights: Path, options: ExportOptions) -> None:
    plain = ExportOptions()
    given = [row.name for row in fields(options) if getattr(options, row.name) != getattr(plain, row.name)]
    if given:
        raise InvalidArgumentError(
            f"'{weights}' is taken as it is, so it cannot be given {', '.join(given)}: those are for exporting a .pt "
            "file; deploy that one, or leave them out"
        )


def _existing_config(model_directory: Path) -> ModelConfig | None:
    path = model_directory / CONFIG_FILENAME
    return pbtxt.parse(path.read_text(encoding="utf-8"), str(path)) if path.is_file() else None


def _place_model(weights: Path, folder: Path, options: ExportOptions, on_step: Callable[[str], object]) -> None:
    """Put the ONNX file into `folder`, exporting the checkpoint if it is one."""
    target = folder / MODEL_FILENAME
    if weights.suffix == ".onnx":
        if not weights.is_file():
            raise NotFoundError(f"'{weights}' does not exist, expected an .onnx file; check the path")
        on_step("Copying the model")
        shutil.copyfile(weights, target)
        _copy_external_data(weights, folder)
        return
    if not weights.is_file():
        on_step(f"Fetching {weights.name}")
        weights = fetch_weights(str(weights))
    on_step(f"Exporting {weights.name} to ONNX")
    export_onnx(weights, folder, options).rename(target)


def _copy_external_data(weights: Path, folder: Path) -> None:
    """Copy the weights that exporters of large models keep beside the .onnx, under the name it knows them by."""
    for suffix in (".data", "_data"):
        data = weights.with_name(weights.name + suffix)
        if data.is_file():
            shutil.copyfile(data, folder / data.name)


def _describe(name: str, directory: Path, max_batch_size: int | None) -> ModelConfig:
    """Read the model in `directory`/1 with its runtime, and say in a config what it is."""
    settings = BackendSettings(options={"default-max-batch-size": str(max_batch_size or DEFAULT_MAX_BATCH_SIZE)})
    bare = ModelConfig(name=name, backend="onnxruntime", default_model_filename=MODEL_FILENAME)
    model = backend_for("onnxruntime").open(ModelFiles(directory, directory / "1"), bare, settings)
    try:
        config = description.first_config(name, model.complete(bare), model.metadata)
    finally:
        model.close()
    description.check_max_batch_size(config, max_batch_size)
    return config
