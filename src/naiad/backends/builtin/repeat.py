# SPDX-License-Identifier: Apache-2.0
"""A decoupled model: it gives each element of its input as a response of its own.

Does what Triton's example `repeat_int32` does. May import `backends.base` and what lies below it.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from naiad.backends.base import ModelRequest, Placement, RespondingInstance
from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.errors import InternalError, InvalidArgumentError

_INT32, _UINT32 = model_config_pb2.TYPE_INT32, model_config_pb2.TYPE_UINT32
_INPUTS = (("IN", _INT32, -1), ("DELAY", _UINT32, -1), ("WAIT", _UINT32, 1))
_OUTPUTS = (("OUT", _INT32, 1), ("IDX", _UINT32, 1))
_DESCRIPTION = (
    "inputs IN TYPE_INT32 [ -1 ], DELAY TYPE_UINT32 [ -1 ], WAIT TYPE_UINT32 [ 1 ], outputs OUT TYPE_INT32 [ 1 ], "
    "IDX TYPE_UINT32 [ 1 ], max_batch_size: 0 and model_transaction_policy { decoupled: true }"
)

_GLANCE_S = 0.02
"""How long a delay may last on after its client has gone."""


@dataclass(frozen=True, slots=True)
class RepeatModel:
    """For each element of IN, after DELAY milliseconds of the same index: OUT, the element, and IDX, its index.

    The instance is busy for WAIT milliseconds; responses come independently of that, so that those of several requests
    come between each other. With `fail_value`, elements of that value are answered by an error, `message`, instead.
    """

    fail_value: int | None = None
    message: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return a copy of `config` with inputs, outputs and transaction policy.

        Raises:
            InvalidArgumentError: it says otherwise.
        """
        completed = copy_of(config)
        if not completed.input:
            for name, data_type, dim in _INPUTS:
                completed.input.add(name=name, data_type=data_type, dims=[dim])
        if not completed.output:
            for name, data_type, dim in _OUTPUTS:
                completed.output.add(name=name, data_type=data_type, dims=[dim])
        completed.model_transaction_policy.decoupled = True
        _check(completed)
        return completed

    def create_instance(self, config: ModelConfig, placement: Placement) -> RespondingInstance:
        """Make an instance; all are the same.

        Raises:
            InvalidArgumentError: the config, which was not completed, is not that of such a model.
        """
        _check(config)
        return _RepeatInstance(config.name, self.fail_value, self.message)

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return 1: nothing is computed."""
        return 1

    def close(self) -> None:
        """Nothing is held."""


def _check(config: ModelConfig) -> None:
    inputs = tuple((item.name, item.data_type, *item.dims) for item in config.input)
    outputs = tuple((item.name, item.data_type, *item.dims) for item in config.output)
    is_decoupled = config.model_transaction_policy.decoupled
    if (inputs, outputs, config.max_batch_size, is_decoupled) != (_INPUTS, _OUTPUTS, 0, True):
        raise InvalidArgumentError(
            f"model '{config.name}' of kind 'repeat' has inputs, outputs or policies of its own, expected "
            f"{_DESCRIPTION}; leave them out of config.pbtxt, and they are filled in"
        )


@dataclass(frozen=True, slots=True)
class _RepeatInstance:
    name: str
    fail_value: int | None
    message: str

    def serve(self, requests: Sequence[ModelRequest]) -> None:
        """Let each request be answered on a thread of its own, and be busy as long as it asks."""
        for request in requests:
            if request.inputs["IN"].size != request.inputs["DELAY"].size:
                request.sender.fail(_sizes_differ(request))
                continue
            threading.Thread(target=self._respond, args=(request,), name=self.name, daemon=True).start()
            _sleep_ms(int(request.inputs["WAIT"][0]), request)

    def _respond(self, request: ModelRequest) -> None:
        values, delays_ms = request.inputs["IN"], request.inputs["DELAY"]
        for index, (value, delay_ms) in enumerate(zip(values.tolist(), delays_ms.tolist(), strict=True)):
            _sleep_ms(delay_ms, request)
            if request.is_cancelled:
                break
            if value == self.fail_value:
                request.sender.fail(InternalError(self.message), final=False)
            else:
                request.sender.send({"OUT": np.array([value], np.int32), "IDX": np.array([index], np.uint32)})
        request.sender.close()

    def close(self) -> None:
        """Nothing is held."""


def _sizes_differ(request: ModelRequest) -> InvalidArgumentError:
    sizes = {name: request.inputs[name].size for name in ("IN", "DELAY")}
    return InvalidArgumentError(
        f"expected IN and DELAY to have the same number of elements, got {sizes['IN']} and {sizes['DELAY']}; give each "
        "element a delay in milliseconds"
    )


def _sleep_ms(duration_ms: int, request: ModelRequest) -> None:
    """Sleep, but not long beyond the request."""
    until_s = time.monotonic() + duration_ms / 1000
    while (left_s := until_s - time.monotonic()) > 0 and not request.is_cancelled:
        time.sleep(min(left_s, _GLANCE_S))
