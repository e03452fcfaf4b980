# SPDX-License-Identifier: Apache-2.0
"""What pip installs: the dependencies and their reasons, the extras, the version, what the wheel holds."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import metadata, requires, version
from pathlib import Path
from zipfile import ZipFile

import pytest
from hatchling.builders.wheel import WheelBuilder

from naiad._version import __version__

ROOT = Path(__file__).resolve().parent.parent

BASE = {
    "click",
    "hpack",
    "httptools",
    "numpy",
    "onnxruntime",
    "orjson",
    "protobuf",
    "python-rapidjson",
    "rich",
    "tritonclient",
    "uvloop",
}
EXTRAS = {"yolo", "opentelemetry", "gpu", "dev"}
COPYLEFT = {"ultralytics", "ultralytics-thop", "ultralytics-platform"}


def _name(requirement: str) -> str:
    """Return the distribution a requirement is for: `tritonclient[grpc]>=2.68` → `tritonclient`."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return name[0].lower()


def _requirements(extra: str | None) -> set[str]:
    """Return the names that the installed package requires, for one extra or for the base."""
    marker = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
    return {
        _name(line)
        for line in requires("naiad") or []
        if (found[1] if (found := marker.search(line)) else None) == extra
    }


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    """The `[project]` table of pyproject.toml."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def test_the_base_install_is_what_it_is_said_to_be() -> None:
    assert _requirements(None) == BASE


def test_every_base_dependency_has_its_reason_in_the_architecture_page() -> None:
    section = (ROOT / "docs/architecture.md").read_text().split("\n## Dependencies\n")[1].split("\n## ")[0]
    rows = dict(re.findall(r"^\| `([a-z-]+)[^`]*` \| (.+) \|$", section, flags=re.MULTILINE))
    assert set(rows) == BASE
    assert all(len(reason) > 30 for reason in rows.values())


def test_copyleft_packages_come_with_an_extra_only() -> None:
    assert not BASE & COPYLEFT
    assert "ultralytics" in _requirements("yolo")
    assert not _requirements("dev") & COPYLEFT


def test_the_extras_are_these() -> None:
    assert set(metadata("naiad").get_all("Provides-Extra") or ()) == EXTRAS


def test_all_dependencies_have_a_pin_for_the_tests(project: dict[str, object]) -> None:
    pins = {_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")}
    wanted = BASE.union(*(_requirements(extra) for extra in EXTRAS))
    assert wanted <= pins
    assert project["requires-python"] == ">=3.11"


def test_constraints_name_no_index() -> None:
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not [line for line in text.splitlines() if line.startswith("-")]


def test_the_version_has_one_source() -> None:
    assert version("naiad") == __version__


def test_the_changelog_knows_the_version() -> None:
    heading = "Unreleased" if "dev" in __version__ else __version__
    assert f"\n## [{heading}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_wheel_holds_the_package_the_license_and_the_mark_of_types(tmp_path: Path) -> None:
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path)))
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "naiad/py.typed" in names
    assert "naiad/errors.py" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"naiad"}


def test_the_license_is_the_one_that_the_metadata_names(project: dict[str, object]) -> None:
    assert project["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (ROOT / "LICENSE").read_text()


def test_importing_naiad_brings_in_no_runtime_and_no_grpc() -> None:
    heavy = {"grpc", "onnxruntime", "tritonclient", "torch", "ultralytics", "numpy"}
    code = "import sys, naiad; print(*{name.split('.')[0] for name in sys.modules})"
    modules = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert "naiad" in modules
    assert not heavy & set(modules)
