# SPDX-License-Identifier: Apache-2.0
"""Backends by name: Naiad's own, those of other packages, and those that are not there."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from naiad.backends import registry
from naiad.backends.builtin import BuiltinBackend
from naiad.errors import InvalidArgumentError, UnavailableError, UnsupportedError


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    registry.backend_for.cache_clear()
    yield
    registry.backend_for.cache_clear()


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with the metadata of a package whose entry points the test writes."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "naiad_other-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: naiad-other\nVersion: 1.0\n")
    return folder / "entry_points.txt"


def test_a_backend_is_made_once() -> None:
    backend = registry.backend_for("builtin")
    assert isinstance(backend, BuiltinBackend)
    assert registry.backend_for("builtin") is backend


def test_no_runtime_is_imported_before_its_backend_is_asked_for() -> None:
    program = (
        "import sys; from naiad.backends.registry import available_backends, backend_for; available_backends(); "
        "backend_for('builtin'); assert 'onnxruntime' not in sys.modules; "
        "backend_for('onnxruntime'); assert 'onnxruntime' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_another_package_adds_a_backend(install: Path) -> None:
    install.write_text("[naiad.backends]\nother = naiad.backends.builtin:BuiltinBackend\n")
    assert registry.available_backends() == ("builtin", "onnxruntime", "other")
    assert isinstance(registry.backend_for("other"), BuiltinBackend)


def test_another_package_may_take_the_place_of_an_own_backend(install: Path) -> None:
    install.write_text("[naiad.backends]\nonnxruntime = naiad.backends.builtin:BuiltinBackend\n")
    assert isinstance(registry.backend_for("onnxruntime"), BuiltinBackend)


def test_a_runtime_that_is_not_installed_is_named_with_the_command_that_installs_it(install: Path) -> None:
    install.write_text("[naiad.backends]\nother = absent_runtime.backend:Backend\n")
    with pytest.raises(UnavailableError) as caught:
        registry.backend_for("other")
    assert str(caught.value) == (
        "backend 'other' cannot be imported: No module named 'absent_runtime'; pip install absent_runtime"
    )


def test_an_unknown_backend_is_refused_in_tritons_words() -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        registry.backend_for("oracle")
    assert str(caught.value) == (
        "unable to find backend library for backend 'oracle', try specifying runtime on the model configuration. "
        "Available backends: builtin, onnxruntime; pip install the package that provides 'oracle', or mend the name"
    )


@pytest.mark.parametrize("name", ["tensorrt", "pytorch", "tensorflow", "openvino", "python", "ensemble"])
def test_a_backend_of_tritons_that_is_not_here_yet_says_so(name: str) -> None:
    with pytest.raises(
        UnsupportedError, match=f"^backend '{name}' is not available in this version of Naiad"
    ) as caught:
        registry.backend_for(name)
    assert "expected one of: builtin, onnxruntime; " in str(caught.value)
