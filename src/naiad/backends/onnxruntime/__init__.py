# SPDX-License-Identifier: Apache-2.0
"""Backend `onnxruntime`: ONNX models on CPU, and on GPU through ONNX Runtime's execution providers.

The only room that may import onnxruntime. It mirrors Triton's onnxruntime_backend: same parameters, same texts.
`backend` opens files, `model` makes sessions and instances, `instance` computes; `session_plan` and `providers` turn
a config into session options, `signature` and `agreement` compare it with the graph. The last four are pure functions.
"""

from naiad.backends.onnxruntime.backend import OnnxRuntimeBackend

__all__ = ["OnnxRuntimeBackend"]
