# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime's exceptions as Naiad's errors, in the words Triton prints. Imports onnxruntime and `errors`."""

import re
from pathlib import Path

from onnxruntime.capi import onnxruntime_pybind11_state as runtime_state

from naiad.errors import InternalError

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    # Its own exceptions have no common base; the last two come from its Python layer and its type conversions.
    *(kind for kind in vars(runtime_state).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
)
"""What a call into ONNX Runtime may raise."""

_FORMAT = re.compile(r"\[ONNXRuntimeError\] : (?P<code>\d+) : \w+ : (?P<text>.*)", re.DOTALL)
_TOO_NEW = re.compile(r"Unsupported model IR version|is under development and support for this is limited")
_DAMAGED = re.compile(r"Protobuf parsing failed|No graph was found in the protobuf|ModelProto does not have a graph")

_FAIL = 1


def translated(error: Exception, repository: Path, package: str = "onnxruntime") -> InternalError:
    """Return the error to tell a client: `onnx runtime error <code>: <text>`, without where the repository lies.

    `package` is the distribution to upgrade when the model is newer than the runtime.
    """
    match = _FORMAT.match(str(error))
    code, text = (match["code"], match["text"]) if match else (_FAIL, str(error))
    for folder in (repository, repository.resolve()):
        text = text.strip().replace(f"{folder}/", "")
    if _TOO_NEW.search(text):
        text += f"; the model is newer than the runtime, run: pip install -U {package}"
    if _DAMAGED.search(text):
        text += " The file is cut off, damaged or no ONNX model: export it or copy it again"
    return InternalError(f"onnx runtime error {code}: {text}")
