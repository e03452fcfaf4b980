# SPDX-License-Identifier: Apache-2.0
"""Reading a graph's inputs and outputs."""

from typing import NamedTuple

import pytest

from naiad.backends.onnxruntime.signature import artifact_tensor
from naiad.config.signature import ArtifactTensor
from naiad.errors import UnsupportedError


class Described(NamedTuple):
    """A tensor as onnxruntime describes it."""

    name: str
    type: str
    shape: list[int | str | None]


@pytest.mark.parametrize(
    ("element", "datatype"),
    [
        ("float", "FP32"),
        ("double", "FP64"),
        ("float16", "FP16"),
        ("bfloat16", "BF16"),
        ("int8", "INT8"),
        ("uint8", "UINT8"),
        ("int16", "INT16"),
        ("uint16", "UINT16"),
        ("int32", "INT32"),
        ("uint32", "UINT32"),
        ("int64", "INT64"),
        ("uint64", "UINT64"),
        ("bool", "BOOL"),
        ("string", "BYTES"),
    ],
)
def test_element_types_become_kserve_datatypes(element: str, datatype: str) -> None:
    assert artifact_tensor(Described("x", f"tensor({element})", [1])) == ArtifactTensor("x", datatype, (1,))


def test_dimensions_that_are_not_known_become_minus_one() -> None:
    described = Described("x", "tensor(float)", ["batch", 3, None, -1, 640, 0])
    assert artifact_tensor(described).dims == (-1, 3, -1, -1, 640, -1)


@pytest.mark.parametrize(
    "kind", ["seq(tensor(float))", "map(int64,tensor(float))", "optional(tensor(float))", "sparse_tensor(float)"]
)
def test_what_is_no_tensor_is_refused(kind: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        artifact_tensor(Described("x", kind, []))
    assert str(caught.value).startswith(f"Unsupported ONNX Type '{kind}' for I/O 'x', expected 'tensor(...)'; ")


@pytest.mark.parametrize("element", ["float8e4m3fn", "int4", "complex64"])
def test_an_element_type_without_a_datatype_is_refused(element: str) -> None:
    with pytest.raises(UnsupportedError, match=f"^unsupported element type '{element}' for I/O 'x'"):
        artifact_tensor(Described("x", f"tensor({element})", [1]))
