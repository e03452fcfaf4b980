# SPDX-License-Identifier: Apache-2.0
"""What a model file says of its own inputs and outputs, neutral of the runtime that reads it.

May import nothing of Naiad.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArtifactTensor:
    """A tensor as the model file declares it.

    `datatype` is KServe's name ("FP32"); `dims` is the whole shape, batch dimension included, -1 where it varies.
    """

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ArtifactSignature:
    """The inputs and outputs of a model file, in the file's order."""

    inputs: tuple[ArtifactTensor, ...]
    outputs: tuple[ArtifactTensor, ...]

    @property
    def can_batch(self) -> bool:
        """Whether the first dimension of every input and output varies, which is when Triton takes it for a batch."""
        return all(tensor.dims[:1] == (-1,) for tensor in (*self.inputs, *self.outputs))


def dims_fit(dims: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    """Tell whether two shapes agree; -1 in either stands for any size."""
    return len(dims) == len(expected) and all(
        -1 in pair or pair[0] == pair[1] for pair in zip(dims, expected, strict=True)
    )
