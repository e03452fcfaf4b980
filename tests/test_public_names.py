# SPDX-License-Identifier: Apache-2.0
"""What `import naiad` promises, and what it does not bring in."""

import subprocess
import sys

import pytest

import naiad

PUBLIC = ["Client", "InferRequest", "InferResponse", "Server", "__version__", "deploy", "errors"]


def test_the_public_names_are_these() -> None:
    assert naiad.__all__ == PUBLIC
    assert dir(naiad) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_each_of_them_is_there(name: str) -> None:
    assert getattr(naiad, name) is not None


def test_another_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'serve'; it has Client, InferRequest"):
        _ = naiad.serve  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import naiad", ["numpy", "onnxruntime", "grpc", "asyncio", "google.protobuf"]),
        ("import naiad.client", ["onnxruntime", "grpc", "torch", "naiad.engine", "naiad.server"]),
        ("from naiad import Server", ["grpc", "torch", "ultralytics"]),
        ("from naiad import deploy", ["torch", "ultralytics", "grpc"]),
    ],
)
def test_an_import_brings_in_no_more_than_it_needs(statement: str, absent: list[str]) -> None:
    program = f"import sys\n{statement}\nprint(*[name for name in {absent!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
