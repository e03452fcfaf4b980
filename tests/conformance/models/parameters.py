# SPDX-License-Identifier: Apache-2.0
"""Naiad's built-in `parameters` as a Triton python model; this Triton's cannot send parameters back."""

from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [pb_utils.InferenceResponse([_text(request.parameters() or "{}")]) for request in requests]


def _text(parameters: str) -> Any:
    return pb_utils.Tensor("OUTPUT0", np.array([parameters.encode()], object))
