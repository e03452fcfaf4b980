# SPDX-License-Identifier: Apache-2.0
"""The small interface that every runtime is put behind.

A `Backend` opens a model's files; the `BackendModel` it returns completes the config and makes instances. There are two
kinds of instances, each called by one thread at a time:

- A `ModelInstance` computes arrays from arrays. It is given whole batches, which the engine has checked and merged, and
  splits again. That is the fast way, for runtimes.
- A `RespondingInstance` is given the requests of a batch, unmerged, and answers each by itself: at once or later, from
  any thread, and if its model is decoupled, as often as it likes. That is the way for models that are programs.

May import `config` and what lies below it; knows nothing of engine, repository or server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from naiad.config.proto import ModelConfig
from naiad.errors import NaiadError
from naiad.requests import NO_PARAMETERS, ParameterValue
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


@runtime_checkable
class ModelInstance(Protocol):
    """One copy of a model, ready to compute."""

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        """Compute `outputs` (names) from `inputs`; BYTES arrays hold `bytes` objects, BF16 raw `uint16`.

        Raises:
            NaiadError: the model failed; the text goes to the client.
        """

    def close(self) -> None:
        """Release what the instance holds; called once, after its last `run`."""


class ResponseSender(Protocol):
    """Where the responses to one request go. Every method may be called from any thread, also after `serve` returned.

    A model that is not decoupled sends exactly one response, which is the last whatever `final` says; a decoupled one
    any number, and then the last by `final` or `close`. What is sent after the last is dropped, and logged. A sender
    that is forgotten before its last response fails its request.
    """

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for responses any more; what is sent then is dropped."""

    def send(
        self,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, ParameterValue] = NO_PARAMETERS,
        final: bool = False,
    ) -> None:
        """Send a response; of `outputs`, those that were not asked for are left out.

        Blocks while the client leaves too much of this request unread, until it reads on or nobody waits any more. A
        client that keeps an instance busy in this way, since it is called from within `serve`, is given up when others
        wait for the instance.

        Raises:
            InternalError: an output is none of the model's, or of another datatype or shape; nothing was sent.
        """

    def fail(self, error: NaiadError, final: bool = True) -> None:
        """Send an error in place of a response; unless it is the last, a decoupled model may go on."""

    def close(self) -> None:
        """Send nothing but that the last response was the last one."""


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One request as a `RespondingInstance` sees it.

    `inputs` are the arrays by name (BYTES arrays hold `bytes` objects, BF16 raw `uint16`), `outputs` the names wanted.
    `sequence_id` is 0 or "" without a sequence, `priority` and `timeout_us` 0 where the client gave none.
    """

    inputs: Mapping[str, Array]
    outputs: Sequence[str]
    sender: ResponseSender
    id: str = ""
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict)
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    priority: int = 0
    timeout_us: int = 0

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody waits for an answer any more; may be asked from any thread."""
        return self.sender.is_cancelled


@runtime_checkable
class RespondingInstance(Protocol):
    """One copy of a model that answers request by request."""

    def serve(self, requests: Sequence[ModelRequest]) -> None:
        """Take the requests of a batch; the instance is free for the next one as soon as this returns.

        Raises:
            NaiadError: the model failed; the text goes to the clients of all requests that are not answered yet.
        """

    def close(self) -> None:
        """Release what the instance holds; called once, when every request has had its last response."""


Instance = ModelInstance | RespondingInstance
"""All instances of one model are of the same kind."""


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

    def create_instance(self, config: ModelConfig, placement: Placement) -> Instance:
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
