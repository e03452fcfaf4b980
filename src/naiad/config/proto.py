# SPDX-License-Identifier: Apache-2.0
"""Triton's protobuf messages, `ModelConfig` and those of its gRPC service, without paying for gRPC.

`tritonclient` ships the generated `model_config_pb2` and `service_pb2` inside its gRPC package, whose `__init__`
imports grpc. This module runs only those two files, under the names they have there: protobuf allows one copy of a
`.proto` in a process, so a later `import tritonclient.grpc` (or an earlier one) shares the very same modules.
May import protobuf and the standard library, nothing else.
"""

import builtins
import sys
from collections.abc import Mapping
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING

_PACKAGE = "tritonclient.grpc"


def _load(stem: str, siblings: Mapping[str, ModuleType]) -> ModuleType:
    """Import a module of the package from its file, without the package's `__init__`.

    `siblings` are what `from tritonclient.grpc import ...` gives in it. They are handed over by an `__import__` of its
    own, so that nothing that other threads see stands in for the package meanwhile.
    """
    name = f"{_PACKAGE}.{stem}"
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    root, *folders = _PACKAGE.split(".")
    package = find_spec(root)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(f"{root} is not installed, expected at least 2.68; run: pip install '{root}[grpc]'")
    path = Path(package.submodule_search_locations[0], *folders, f"{stem}.py")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported; reinstall {root}")
    module = module_from_spec(spec)
    own = SimpleNamespace(**siblings)

    def import_sibling(name: str, *rest: object) -> object:
        return own if name == _PACKAGE else builtins.__import__(name, *rest)  # type: ignore[arg-type]

    module.__dict__["__builtins__"] = {**vars(builtins), "__import__": import_sibling}
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    module.__dict__["__builtins__"] = builtins
    return module


if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2, service_pb2
else:
    model_config_pb2 = _load("model_config_pb2", {})
    service_pb2 = _load("service_pb2", {"model_config_pb2": model_config_pb2})

ModelConfig = model_config_pb2.ModelConfig

__all__ = ["ModelConfig", "copy_of", "model_config_pb2", "service_pb2"]


def copy_of(config: ModelConfig) -> ModelConfig:
    """Return a config that can be changed without changing `config`."""
    copy = ModelConfig()
    copy.CopyFrom(config)
    return copy
