# SPDX-License-Identifier: Apache-2.0
"""Naiad's built-in `repeat` as a Triton python model."""

import json
import threading
import time
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        parameters = json.loads(args["model_config"])["parameters"]
        self._fail_value = int(parameters["fail_value"]["string_value"])
        self._message = parameters["message"]["string_value"]

    def execute(self, requests: list[Any]) -> None:
        for request in requests:
            arrays = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
            threading.Thread(target=self._respond, args=(arrays, request.get_response_sender()), daemon=True).start()
            time.sleep(int(arrays["WAIT"][0]) / 1000)

    def _respond(self, arrays: dict[str, Any], sender: Any) -> None:
        indices = arrays["DELAY"] * 0
        for index, delay_ms in enumerate(arrays["DELAY"]):
            time.sleep(int(delay_ms) / 1000)
            here = slice(index, index + 1)
            value = arrays["IN"][here]
            indices[here] = index
            if value[0] == self._fail_value:
                sender.send(pb_utils.InferenceResponse(error=pb_utils.TritonError(self._message)))
            else:
                tensors = [pb_utils.Tensor("OUT", value), pb_utils.Tensor("IDX", indices[here])]
                sender.send(pb_utils.InferenceResponse(tensors))
        sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
