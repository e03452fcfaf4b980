# SPDX-License-Identifier: Apache-2.0
"""The small interface that every runtime is put behind.

A `Backend` opens a model's files; the `BackendModel` it returns completes the config and makes instances; a
`ModelInstance` computes. An instance is called by one thread at a time, and is given whole batches: the engine has
already checked, merged and will split them.
May import `config` and what lies below it; knows nothing of engine, repository or server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from naiad.config.proto import ModelConfig
from naiad.tensors import Array


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where one version of a model lies: `directory` is the model's, `version_directory` the version's."""

    directory: Path
    version_directory: Path

    @property
    def version(self) -> int:
        """The version's number."""
        return int(self.version_directory.name)


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """What the server tells a backend.

    `options` are the `--backend-config` pairs for it, global ones included; `usable_cores` what the process may use.
    `auto_complete` is false under `--disable-auto-complete-config`.
    """

    options: Mapping[str, str] = field(default_factory=dict)
    usable_cores: int = 1
    auto_complete: bool = True


@dataclass(frozen=True, slots=True)
class Placement:
    """Where one instance runs: its group's name, `kind` CPU, GPU or MODEL, and the GPU's number."""

    name: str
    kind: str = "CPU"
    device_id: int = 0


class ModelInstance(Protocol):
    """One copy of a model, ready to compute."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute `outputs` (names) from `inputs`; BYTES arrays hold `bytes` objects, BF16 raw `uint16`.

        Raises:
            NaiadError: the model failed; the text goes to the client.
        """

    def close(self) -> None:
        """Release what the instance holds; called once, after its last `run`."""


class BackendModel(Protocol):
    """The opened files of one model version."""

    @property
    def metadata(self) -> Mapping[str, str]:
        """The artifact's own metadata (ONNX `metadata_props`), empty where it has none."""

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return a copy of `config` completed from the artifact as Triton's backend of that name does.

        Raises:
            InvalidArgumentError: the config contradicts the artifact.
        """

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        """Make one instance for the completed `config`.

        Raises:
            NaiadError: it cannot be made; the text becomes the reason in the repository index.
        """

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return how many threads each instance of the completed `config` computes with.

        Raises:
            InvalidArgumentError: the config asks for a number that is none.
        """

    def close(self) -> None:
        """Release what the model holds; called once, after its instances are closed."""


class Backend(Protocol):
    """A runtime."""

    def usable_gpus(self) -> Sequence[int]:
        """Return the ids of the GPUs that this runtime, as it is installed, can place instances on."""

    def open(self, files: ModelFiles, config: ModelConfig, settings: BackendSettings) -> BackendModel:
        """Open a model version's files; `config` is the user's, not yet completed.

        Raises:
            NaiadError: the files cannot be opened, with one way to mend it.
        """
