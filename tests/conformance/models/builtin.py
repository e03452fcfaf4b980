# SPDX-License-Identifier: Apache-2.0
"""Naiad's backend `builtin` as a Triton python model: identity, late or failing as the config's parameters say."""

import json
import time
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self._settings = {key: value["string_value"] for key, value in config["parameters"].items()}
        self._sources = {
            output["name"]: source["name"] for source, output in zip(config["input"], config["output"], strict=True)
        }
        if self._settings.get("kind") == "fail_load":
            raise pb_utils.TritonModelException(self._settings["message"])

    def execute(self, requests: list[Any]) -> list[Any]:
        kind = self._settings.get("kind", "identity")
        if kind == "fail":
            error = pb_utils.TritonError(self._settings["message"])
            return [pb_utils.InferenceResponse(error=error) for _ in requests]
        if kind == "delay":
            time.sleep(int(self._settings["delay_us"]) / 1e6)
        return [pb_utils.InferenceResponse(self._outputs(request)) for request in requests]

    def _outputs(self, request: Any) -> list[Any]:
        inputs = {tensor.name(): tensor for tensor in request.inputs()}
        wanted = request.requested_output_names()
        return [
            _renamed(inputs[source], output)
            for output, source in self._sources.items()
            if output in wanted and source in inputs
        ]


def _renamed(tensor: Any, name: str) -> Any:
    try:
        return pb_utils.Tensor(name, tensor.as_numpy())
    except pb_utils.TritonModelException:  # numpy has no bfloat16
        return pb_utils.Tensor.from_dlpack(name, tensor.to_dlpack())
