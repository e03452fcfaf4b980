# SPDX-License-Identifier: Apache-2.0
"""Which backends there are, by the name in `config.pbtxt`; a backend is imported when its first model is opened.

Naiad's own are in a table of import strings. Any installed package adds one through the entry-point group
`naiad.backends`: the entry's name is the backend's, its object is called without arguments and returns a `Backend`.
May import `base` and what lies below it.
"""

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from naiad.backends.base import Backend
from naiad.errors import InvalidArgumentError, UnavailableError, UnsupportedError

ENTRY_POINT_GROUP = "naiad.backends"

_OWN: Mapping[str, str] = {
    "builtin": "naiad.backends.builtin:BuiltinBackend",
    "onnxruntime": "naiad.backends.onnxruntime:OnnxRuntimeBackend",
}

_EXPORT_TO_ONNX = "export the model to ONNX and serve it with backend 'onnxruntime'"

_NOT_YET: Mapping[str, str] = {
    "ensemble": "call its models one after the other from the client",
    "openvino": _EXPORT_TO_ONNX,
    "python": "install a package that provides it through the entry-point group 'naiad.backends'",
    "pytorch": _EXPORT_TO_ONNX,
    "tensorflow": _EXPORT_TO_ONNX,
    "tensorrt": "serve the ONNX model it was built from with backend 'onnxruntime' and the tensorrt accelerator",
}
"""Triton backend → what to do until Naiad has it."""


def available_backends() -> tuple[str, ...]:
    """Return the names that `backend_for` knows, sorted; says nothing about whether their runtimes are installed."""
    return tuple(sorted({*_OWN, *(entry.name for entry in entry_points(group=ENTRY_POINT_GROUP))}))


@cache
def backend_for(name: str) -> Backend:
    """Return the backend called `name`, importing its runtime at the first call; the same object every time.

    A package's backend goes before Naiad's own of that name.

    Raises:
        InvalidArgumentError: there is no such backend (Triton's text).
        UnsupportedError: Triton has it, this version of Naiad does not.
        UnavailableError: it is there but its runtime cannot be imported.
    """
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=name):
        return _make(entry)
    if name in _OWN:
        return _make(EntryPoint(name, _OWN[name], ENTRY_POINT_GROUP))
    available = ", ".join(available_backends())
    if name in _NOT_YET:
        raise UnsupportedError(
            f"backend '{name}' is not available in this version of Naiad, expected one of: {available}; "
            f"{_NOT_YET[name]}"
        )
    raise InvalidArgumentError(
        f"unable to find backend library for backend '{name}', try specifying runtime on the model configuration. "
        f"Available backends: {available}; pip install the package that provides '{name}', or mend the name"
    )


def _make(entry: EntryPoint) -> Backend:
    try:
        factory = getattr(import_module(entry.module), entry.attr)
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        fix = f"pip install {missing}" if missing and missing != "naiad" else f"reinstall what provides {entry.value}"
        raise UnavailableError(f"backend '{entry.name}' cannot be imported: {error}; {fix}") from error
    return cast(Backend, factory())
