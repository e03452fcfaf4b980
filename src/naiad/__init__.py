# SPDX-License-Identifier: Apache-2.0
"""Naiad: an inference server that speaks Triton's protocol, reads its model repository, and installs with pip.

The names below are the public ones. They are loaded when they are first used, so that `import naiad.client` brings in
neither gRPC nor a runtime.
"""

import importlib
from typing import TYPE_CHECKING

from naiad._version import __version__

if TYPE_CHECKING:
    from naiad import errors
    from naiad.client import Client
    from naiad.deployment import deploy
    from naiad.requests import InferRequest, InferResponse
    from naiad.server.embedded import Server

__all__ = ["Client", "InferRequest", "InferResponse", "Server", "__version__", "deploy", "errors"]

_HOMES = {
    "Client": "naiad.client",
    "InferRequest": "naiad.requests",
    "InferResponse": "naiad.requests",
    "Server": "naiad.server.embedded",
    "deploy": "naiad.deployment",
}


if not TYPE_CHECKING:  # or a checker would take every misspelt name for an object

    def __getattr__(name: str) -> object:
        if name == "errors":
            return importlib.import_module("naiad.errors")
        if name not in _HOMES:
            raise AttributeError(f"module 'naiad' has no attribute '{name}'; it has {', '.join(__all__)}")
        return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
