# SPDX-License-Identifier: Apache-2.0
"""What is asked and what is answered: frozen values, without any protocol in them.

Tuples, because one of each is made for every request. HTTP, gRPC and the in-process API all build an
`InferRequest` and get `InferResponse`s back. May import numpy, `errors` and `tensors`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from naiad.errors import NaiadError
from naiad.tensors import Array

ParameterValue = str | int | bool | float
NO_PARAMETERS: Mapping[str, ParameterValue] = MappingProxyType({})


class InputTensor(NamedTuple):
    """One input as the client declared it; nothing in it has been checked against the model yet.

    `data` is either an array (JSON, in-process) of `shape`'s element count, or the raw little-endian bytes of the
    tensor (KServe v2, binary tensor data extension), which the engine turns into a view once it has checked them.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array | memoryview


class SharedMemoryRange(NamedTuple):
    """Where in a registered shared-memory region a tensor lies; `offset` and size in bytes, from the region's start."""

    region: str
    offset: int
    size_bytes: int


class RequestedOutput(NamedTuple):
    """An output the client asked for; `classification` > 0 asks for its top K classes instead of the tensor."""

    name: str
    classification: int = 0


class OutputTensor(NamedTuple):
    """One output; `data` has `shape`, and `datatype` is KServe's name (BF16 data is raw `uint16`)."""

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Array


class RequestTiming(NamedTuple):
    """Where a request spent its time until a response, in ns; the compute parts are those of its whole batch.

    `request_ns` is from its arrival in the engine to the end of the computation.
    """

    request_ns: int
    queue_ns: int
    compute_input_ns: int
    compute_infer_ns: int
    compute_output_ns: int


class InferRequest(NamedTuple):
    """One inference request. An empty `model_version` lets the server choose, no `outputs` means all of them.

    `timeout_us` and `priority` are the scheduling hints of Triton's schedule-policy extension (0: the model's
    default); `sequence_id` 0 or "" means no sequence. `parameters` are the client's own, handed to the model.
    `wants_timing` asks for the `timing` of each response.
    """

    model_name: str
    inputs: tuple[InputTensor, ...]
    outputs: tuple[RequestedOutput, ...] = ()
    model_version: str = ""
    id: str = ""
    parameters: Mapping[str, ParameterValue] = {}
    priority: int = 0
    timeout_us: int = 0
    sequence_id: int | str = 0
    sequence_start: bool = False
    sequence_end: bool = False
    wants_timing: bool = False


class InferResponse(NamedTuple):
    """One response to a request; a decoupled model gives several, of which the last has `final` set.

    A decoupled model may fail at a response and go on with the next: then `error` is there, and no outputs.
    """

    model_name: str
    model_version: str
    outputs: tuple[OutputTensor, ...]
    id: str = ""
    parameters: Mapping[str, ParameterValue] = {}
    final: bool = True
    timing: RequestTiming | None = None
    error: NaiadError | None = None

    @property
    def says_only_last(self) -> bool:
        """Whether this is no answer of its own: it only says that the one before was the last."""
        return self.final and not self.outputs and self.error is None

    def output(self, name: str) -> Array:
        """Return the data of the output called `name`.

        Raises:
            KeyError: the response has no such output.
        """
        for output in self.outputs:
            if output.name == name:
                return output.data
        raise KeyError(name)


def is_last(response: InferResponse | NaiadError) -> bool:
    """Tell whether no other response follows."""
    return isinstance(response, NaiadError) or response.final


def id_prefix(request_id: str) -> str:
    """Return what Triton's core puts before its own messages about a request: `[request id: X] `."""
    return f"[request id: {request_id or '<id_unknown>'}] "
