# SPDX-License-Identifier: Apache-2.0
"""Models without a model file, for tests: of Naiad and of whatever talks to it.

A `config.pbtxt` with `backend: "builtin"` and an empty version folder is a model. Its parameter `kind` says which:

- `identity` (the default): the outputs are the inputs, in order.
- `delay`: identity after `delay_us` microseconds, asleep without the GIL, as a runtime on an accelerator would be.
- `fail`: every request fails with the text of `message`.
- `fail_load`: the model does not load; the reason is the text of `message`.

Shapes and datatypes are free; input N and output N must have the same datatype.
May import `base` and what lies below it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from naiad.backends.base import BackendModel, BackendSettings, ModelFiles, ModelInstance, Placement
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.errors import InternalError, InvalidArgumentError
from naiad.tensors import Array

_KINDS = ("identity", "delay", "fail", "fail_load")
_DEFAULT_MESSAGE = "the model failed, as its config says it should"


class BuiltinBackend:
    """The backend `builtin`."""

    def usable_gpus(self) -> Sequence[int]:
        """Return none: these models compute on the CPU."""
        return ()

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        """Read what the model is to do from the parameters of `config`; nothing is read from disk.

        Raises:
            InvalidArgumentError: a parameter is wrong.
            InternalError: the model is of kind `fail_load`.
        """
        behaviour = _Behaviour.of(config)
        if behaviour.kind == "fail_load":
            raise InternalError(behaviour.message)
        return _BuiltinModel(behaviour)


@dataclass(frozen=True, slots=True)
class _Behaviour:
    """What the parameters of a config ask for."""

    kind: str
    delay_us: int
    message: str

    @classmethod
    def of(cls, config: ModelConfig) -> "_Behaviour":
        values = {key: parameter.string_value for key, parameter in config.parameters.items()}
        kind = values.get("kind", "identity")
        if kind not in _KINDS:
            raise InvalidArgumentError(
                f"parameter 'kind' of model '{config.name}' with backend 'builtin' is '{kind}', "
                f"expected one of: {', '.join(_KINDS)}"
            )
        delay_us = values.get("delay_us", "0")
        if not delay_us.isdecimal():
            raise InvalidArgumentError(
                f"parameter 'delay_us' of model '{config.name}' is '{delay_us}', expected microseconds, such as '5000'"
            )
        return cls(kind, int(delay_us), values.get("message", _DEFAULT_MESSAGE))


@dataclass(frozen=True, slots=True)
class _BuiltinModel:
    behaviour: _Behaviour
    metadata: Mapping[str, str] = field(default_factory=dict)

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return a copy of `config`; nothing is there to complete it from.

        Raises:
            InvalidArgumentError: the outputs cannot be the inputs.
        """
        if [item.data_type for item in config.input] != [item.data_type for item in config.output]:
            raise InvalidArgumentError(
                f"model '{config.name}' with backend 'builtin' gives its inputs back, expected as many outputs as "
                f"inputs and of the same datatypes, got inputs {_described(config.input)} and outputs "
                f"{_described(config.output)}; mend them in config.pbtxt"
            )
        completed = ModelConfig()
        completed.CopyFrom(config)
        return completed

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        sources = {output.name: source.name for source, output in zip(config.input, config.output, strict=True)}
        return _BuiltinInstance(self.behaviour, sources)

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return 1: an instance computes on the thread that calls it."""
        return 1

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _BuiltinInstance:
    behaviour: _Behaviour
    sources: Mapping[str, str]
    """Output name → the input it repeats."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Return the inputs under the outputs' names, late or never as the config says.

        Raises:
            InternalError: the model is of kind `fail`.
            InvalidArgumentError: an optional input is left out, and the output that repeats it is asked for.
        """
        if self.behaviour.kind == "fail":
            raise InternalError(self.behaviour.message)
        if self.behaviour.kind == "delay":
            time.sleep(self.behaviour.delay_us / 1e6)
        try:
            return {name: inputs[self.sources[name]] for name in outputs}
        except KeyError as error:
            raise InvalidArgumentError(
                f"the outputs of this model repeat its inputs, and input {error} is not in the request; send it, or "
                "name in 'outputs' only those whose input is there"
            ) from None

    def close(self) -> None:
        """Nothing is held."""


def _described(tensors: Sequence[model_config_pb2.ModelInput] | Sequence[model_config_pb2.ModelOutput]) -> str:
    names = model_config_pb2.DataType
    return f"[{', '.join(f'{item.name} {names.Name(item.data_type)}' for item in tensors)}]"
