# SPDX-License-Identifier: Apache-2.0
"""Models that give their inputs back, at once or later, or that fail instead.

May import `backends.base` and what lies below it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from naiad.backends.base import ModelInstance, Placement
from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.errors import InternalError, InvalidArgumentError
from naiad.tensors import Array


@dataclass(frozen=True, slots=True)
class IdentityModel:
    """A model whose outputs are its inputs, in order, after `delay_us` microseconds.

    With a `failure` every request fails with that text.
    """

    delay_us: int = 0
    failure: str | None = None
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
        return copy_of(config)

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        """Make an instance; all are the same."""
        sources = {output.name: source.name for source, output in zip(config.input, config.output, strict=True)}
        return _IdentityInstance(self.delay_us, self.failure, sources)

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return 1: an instance computes on the thread that calls it."""
        return 1

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class _IdentityInstance:
    delay_us: int
    failure: str | None
    sources: Mapping[str, str]
    """Output name → the input it repeats."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Return the inputs under the outputs' names, late or never as the config says.

        Raises:
            InternalError: the model is one that fails.
            InvalidArgumentError: an optional input is left out, and the output that repeats it is asked for.
        """
        if self.failure is not None:
            raise InternalError(self.failure)
        if self.delay_us:
            time.sleep(self.delay_us / 1e6)  # without the GIL, as a runtime on an accelerator would be
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
