# SPDX-License-Identifier: Apache-2.0
"""The sum and the difference of two tensors, as in Triton's own examples."""

from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [pb_utils.InferenceResponse(_outputs(request)) for request in requests]


def _outputs(request: Any) -> list[Any]:
    left, right = (pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in ("INPUT0", "INPUT1"))
    results = {"OUTPUT0": left + right, "OUTPUT1": left - right}
    return [pb_utils.Tensor(name, results[name]) for name in results if name in request.requested_output_names()]
