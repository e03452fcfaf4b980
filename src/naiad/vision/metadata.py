# SPDX-License-Identifier: Apache-2.0
"""What an Ultralytics export says of itself, and how its client wants to be told.

The client reads class names, task settings and strides from `parameters.metadata` of the served config, as a Python
literal for `ast.literal_eval`; exports carry the same facts as strings in the artifact. May import `config`.
"""

import ast
import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import singledispatch
from types import NoneType

from naiad.config.proto import ModelConfig, copy_of

METADATA_PARAMETER = "metadata"
"""The key in `parameters` under which the Ultralytics client looks."""

_PROSE_KEYS = frozenset({"author", "date", "description", "docs", "head", "license", "task", "version"})

_FILE_SUFFIXES = (
    ".aimodel",
    ".engine",
    ".mlmodel",
    ".mlpackage",
    ".mnn",
    ".onnx",
    ".pb",
    ".pt",
    ".tflite",
    ".torchscript",
    "_ascend_model",
    "_axelera_model",
    "_deepx_model",
    "_edgetpu.tflite",
    "_executorch_model",
    "_hailo_model",
    "_imx_model",
    "_ncnn_model",
    "_openvino_model",
    "_paddle_model",
    "_qnn.onnx",
    "_rknn_model",
    "_saved_model",
    "_web_model",  # clients before 8.4
    "_xilinx_model",
)


def read_metadata(artifact_metadata: Mapping[str, str]) -> dict[str, object] | None:
    """Return the metadata of an Ultralytics export with its values as Python objects; None for any other artifact.

    Args:
        artifact_metadata: what the file says of itself, all strings: `{"names": "{0: 'person'}", "stride": "32", …}`.
    """
    if "names" not in artifact_metadata or not {"task", "stride"} & artifact_metadata.keys():
        return None
    return {key: text if key in _PROSE_KEYS else _from_literal(text) for key, text in artifact_metadata.items()}


def to_literal(metadata: Mapping[str, object]) -> str:
    """Return `metadata` as the text of a Python literal on one line, which `ast.literal_eval` reads back.

    Values without a literal are made plain: arrays and sets become lists, NumPy scalars numbers, paths and dates
    text, NaN None.
    """
    return _literal(metadata)


def metadata_text(config: ModelConfig) -> str | None:
    """Return the literal in `parameters.metadata`; None where the config has none."""
    # Looking a key up with [] would add it: the map is protobuf's.
    return config.parameters[METADATA_PARAMETER].string_value if METADATA_PARAMETER in config.parameters else None


def inject_metadata(config: ModelConfig, artifact_metadata: Mapping[str, str]) -> ModelConfig:
    """Return `config` with the artifact's metadata in `parameters.metadata`, unless the user wrote some.

    Registered with the loader as a config completer. A config that needs no change is returned itself.
    """
    if METADATA_PARAMETER in config.parameters:
        return config
    metadata = read_metadata(artifact_metadata)
    if metadata is None:
        return config
    completed = copy_of(config)
    completed.parameters[METADATA_PARAMETER].string_value = to_literal(metadata)
    return completed


def client_mistakes_for_file(name: str) -> str | None:
    """Return the part of a model's `name` that makes the Ultralytics client take `http://host/name` for a file.

    The client looks for the suffixes of its export formats anywhere in the last part of a path, in any case, before
    it considers that the path may be a server's URL. None means that the name is safe.
    """
    folded = name.lower()
    found = [(folded.rfind(suffix) + len(suffix), len(suffix), suffix) for suffix in _FILE_SUFFIXES if suffix in folded]
    return max(found)[2] if found else None


def _from_literal(text: str) -> object:
    """Return what the literal `text` stands for, or `text` itself where it is none."""
    # RecursionError and MemoryError are how the compiler refuses text that is nested too deeply.
    with suppress(ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        value: object = ast.literal_eval(text)
        return value
    return text


@singledispatch
def _literal(value: object) -> str:
    tolist = getattr(value, "tolist", None)  # arrays and scalars of NumPy and of torch
    return _literal(tolist()) if callable(tolist) else repr(str(value))


@_literal.register(bool | bytes | NoneType)
def _of_constant(value: bool | bytes | None) -> str:
    return repr(value)


@_literal.register
def _of_text(value: str) -> str:
    return repr(str(value))  # a subclass may print itself in its own way; so may one of int or float


@_literal.register
def _of_integer(value: int) -> str:
    return repr(int(value))


@_literal.register
def _of_float(value: float) -> str:
    if math.isnan(value):
        return repr(None)
    if math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # Python has no other literal for it
    return repr(float(value))


@_literal.register(Mapping)
def _of_mapping(value: Mapping[object, object]) -> str:
    return "{" + ", ".join(f"{_literal(key)}: {_literal(item)}" for key, item in value.items()) + "}"


@_literal.register(tuple)
def _of_tuple(value: tuple[object, ...]) -> str:
    return "(" + "".join(f"{_literal(item)}, " for item in value).rstrip(" ") + ")"


@_literal.register(list | set | frozenset)
def _of_collection(value: Iterable[object]) -> str:
    return "[" + ", ".join(map(_literal, value)) + "]"
