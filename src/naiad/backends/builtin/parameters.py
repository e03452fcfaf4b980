# SPDX-License-Identifier: Apache-2.0
"""A model that tells what parameters its requests came with. May import `backends.base` and what lies below it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from naiad.backends.base import ModelRequest, Placement, RespondingInstance
from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class ParametersModel:
    """Answers with the request's parameters: as the response's own, and as JSON in every output.

    Its inputs say nothing to it. A config that names none gets an optional INPUT0 and an OUTPUT0, strings of shape [1].
    """

    metadata: Mapping[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return a copy of `config` with inputs and outputs.

        Raises:
            InvalidArgumentError: an output is not of strings, or of another shape than one element.
        """
        completed = copy_of(config)
        if not completed.input:
            completed.input.add(name="INPUT0", data_type=model_config_pb2.TYPE_STRING, dims=[1], optional=True)
        if not completed.output:
            completed.output.add(name="OUTPUT0", data_type=model_config_pb2.TYPE_STRING, dims=[1])
        for output in completed.output:
            if output.data_type != model_config_pb2.TYPE_STRING or any(dim != 1 for dim in output.dims):
                raise InvalidArgumentError(
                    f"output '{output.name}' of model '{config.name}' with backend 'builtin' is to hold its parameters "
                    "as JSON, expected data_type TYPE_STRING and dims [ 1 ]; mend it in config.pbtxt, or leave inputs "
                    "and outputs out"
                )
        return completed

    def create_instance(self, config: ModelConfig, placement: Placement) -> RespondingInstance:
        """Make an instance; all are the same."""
        shapes = {output.name: tuple(output.dims) for output in config.output}
        return _ParametersInstance(shapes, is_batched=config.max_batch_size > 0)

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return 1: an instance computes on the thread that calls it."""
        return 1

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _ParametersInstance:
    shapes: Mapping[str, tuple[int, ...]]
    is_batched: bool

    def serve(self, requests: Sequence[ModelRequest]) -> None:
        """Answer each request."""
        for request in requests:
            text = json.dumps(dict(request.parameters), separators=(",", ":"), ensure_ascii=False).encode(
                errors="replace"
            )
            rows = (_rows(request),) if self.is_batched else ()
            outputs = {name: np.full(rows + self.shapes[name], text, dtype=object) for name in request.outputs}
            request.sender.send(outputs, request.parameters, final=True)

    def close(self) -> None:
        """Nothing is held."""


def _rows(request: ModelRequest) -> int:
    return next((array.shape[0] for array in request.inputs.values()), 1)
