# SPDX-License-Identifier: Apache-2.0
"""What a graph takes and gives, read from an open session. May import `config`, `errors`, `tensors`."""

from collections.abc import Iterable
from typing import Protocol

from naiad.config.signature import ArtifactSignature, ArtifactTensor
from naiad.errors import UnsupportedError

_DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "bfloat16": "BF16",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
}
"""ONNX element type, as ONNX Runtime prints it → KServe datatype."""


class GraphTensor(Protocol):
    """A tensor of a graph, as `InferenceSession` describes it; a symbolic dimension is a `str` or None."""

    @property
    def name(self) -> str:
        """The tensor's name."""

    @property
    def type(self) -> str:
        """The type, such as `tensor(float)` or `seq(tensor(float))`."""

    @property
    def shape(self) -> Iterable[int | str | None]:
        """The dimensions, batch included."""


class Graph(Protocol):
    """The part of `InferenceSession` that describes its graph."""

    def get_inputs(self) -> Iterable[GraphTensor]:
        """Return the inputs that must be given."""

    def get_outputs(self) -> Iterable[GraphTensor]:
        """Return the outputs."""

    def get_overridable_initializers(self) -> Iterable[GraphTensor]:
        """Return the inputs that have a default."""


def signature_of(graph: Graph) -> ArtifactSignature:
    """Return the graph's inputs and outputs.

    Raises:
        UnsupportedError: one is no tensor, or of an element type that KServe has no datatype for.
    """
    return ArtifactSignature(
        inputs=tuple(artifact_tensor(item) for item in graph.get_inputs()),
        outputs=tuple(artifact_tensor(item) for item in graph.get_outputs()),
    )


def artifact_tensor(item: GraphTensor) -> ArtifactTensor:
    """Return one tensor; raises as `signature_of` does."""
    container, _, element = item.type.removesuffix(")").partition("(")
    if container != "tensor":
        raise UnsupportedError(
            f"Unsupported ONNX Type '{item.type}' for I/O '{item.name}', expected 'tensor(...)'; "
            "export the model so that it takes and gives tensors only (for scikit-learn: zipmap=False)"
        )
    if element not in _DATATYPES:
        raise UnsupportedError(
            f"unsupported element type '{element}' for I/O '{item.name}', expected one of: {', '.join(_DATATYPES)}; "
            "add a Cast at the graph's border"
        )
    # ONNX writes an unknown dimension as a name, as nothing, or (some exporters) as a negative or zero number.
    dims = tuple(dim if isinstance(dim, int) and dim > 0 else -1 for dim in item.shape)
    return ArtifactTensor(item.name, _DATATYPES[element], dims)
