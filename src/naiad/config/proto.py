# SPDX-License-Identifier: Apache-2.0
"""Triton's `ModelConfig` message, without paying for gRPC.

`tritonclient` ships the generated `model_config_pb2` inside its gRPC package, whose `__init__` imports grpc. This
module runs only that one file, under the name it has there: protobuf allows one copy of a `.proto` in a process, so
a later `import tritonclient.grpc` (or an earlier one) shares the very same module.
May import protobuf and the standard library, nothing else.
"""

import sys
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING


def _load(name: str) -> ModuleType:
    """Import the module `name` from its file, without its parent packages' `__init__`."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded
    root, *folders, stem = name.split(".")
    package = find_spec(root)
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError(f"{root} is not installed, expected at least 2.68; run: pip install '{root}[grpc]'")
    path = Path(package.submodule_search_locations[0], *folders, f"{stem}.py")
    spec = spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be imported; reinstall {root}")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


if TYPE_CHECKING:
    from tritonclient.grpc import model_config_pb2
else:
    model_config_pb2 = _load("tritonclient.grpc.model_config_pb2")

ModelConfig = model_config_pb2.ModelConfig

__all__ = ["ModelConfig", "model_config_pb2"]
