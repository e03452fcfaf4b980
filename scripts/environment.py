# SPDX-License-Identifier: Apache-2.0
"""Makes the virtual environment of `make demo` and `make test`, or brings it up to date. Standard library only.

An environment that this script made gets the versions of constraints.txt. One that was there before
(`NAIAD_VENV=/path/of/yours make test`) keeps what it has, and only what is missing is added. A record in the
environment says for which checkout, extras and requirements it was set up, so that the next run has nothing to do.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ("pyproject.toml", "constraints.txt")
RECORD = "naiad-environment.json"
OLDEST_PYTHON = (3, 11)

# Measured with the versions of constraints.txt, Naiad's own 66 MB included; README.md says the same.
DOWNLOADS = {
    "yolo": "3.3 GB on Linux x86-64, 3.0 GB of it PyTorch built for CUDA (about 0.4 GB on macOS)",
    "dev": "100 MB more for the tools of the tests, 60 MB of it Node.js",
}


@dataclass(frozen=True)
class Record:
    """What an environment was set up for; `made_here` is false for one that was there before."""

    made_here: bool
    checkout: str = ""
    extras: tuple[str, ...] = ()
    requirements: str = ""

    @classmethod
    def read(cls, folder: Path) -> "Record | None":
        """Return the record that `folder` holds, None where it holds none that can be read."""
        try:
            fields = json.loads((folder / RECORD).read_text())
            return cls(**{**fields, "extras": tuple(fields["extras"])})
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write(self, folder: Path) -> None:
        """Keep the record in `folder`."""
        (folder / RECORD).write_text(json.dumps(asdict(self), indent=2) + "\n")


def main() -> int:
    """Set up the environment that the command line names and return the exit code."""
    parser = argparse.ArgumentParser(description="Make Naiad's virtual environment, or bring it up to date.")
    parser.add_argument("folder", type=Path, help="the virtual environment, there already or not")
    parser.add_argument("extras", nargs="+", choices=sorted(DOWNLOADS), help="extras of pyproject.toml to install")
    arguments = parser.parse_args()
    folder = arguments.folder.absolute()
    try:
        set_up(folder, set(arguments.extras))
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"{folder} is not ready: {command} exited {error.returncode}, see above.", file=sys.stderr)
        print("Run the same make again to go on from there.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Interrupted: {folder} is not ready. Run the same make again to go on from there.", file=sys.stderr)
        return 130
    return 0


def set_up(folder: Path, extras: set[str]) -> None:
    """Have `folder` hold this checkout and `extras`, doing nothing when a former run has done it.

    Raises:
        subprocess.CalledProcessError: venv or pip failed; it has said why.
        SystemExit: the environment's Python is too old.
    """
    record = Record.read(folder)
    if record is None:
        record = Record(made_here=not (folder / "bin/python").exists())
    requirements = _digest()
    current = record.checkout == str(ROOT) and record.requirements == requirements
    if current and extras <= set(record.extras) and (folder / "bin/python").exists():
        return
    if not (folder / "bin/python").exists():
        _create(folder)
    _check_version(folder / "bin/python")
    record.write(folder)  # before pip, so that an install that is cut short goes on with the same rule
    _install(folder, extras, pinned=record.made_here)
    installed = extras | set(record.extras) if current else extras
    Record(record.made_here, str(ROOT), tuple(sorted(installed)), requirements).write(folder)


def _digest() -> str:
    """Return a hash of what decides what is installed."""
    return hashlib.sha256(b"\0".join((ROOT / name).read_bytes() for name in REQUIREMENTS)).hexdigest()


def _create(folder: Path) -> None:
    """Make an empty environment, leaving none behind when that fails half-way (no ensurepip, interrupted)."""
    _say(f"Making {folder} with Python {sys.version.split()[0]}")
    was_there = folder.exists()
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    except BaseException:
        if was_there:
            (folder / "bin/python").unlink(missing_ok=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _check_version(python: Path) -> None:
    """Refuse an environment whose Python is older than Naiad can be."""
    code = "import sys; print(*sys.version_info[:2])"
    answer = subprocess.run([python, "-c", code], check=True, capture_output=True, text=True).stdout
    version = tuple(map(int, answer.split()))
    if version < OLDEST_PYTHON:
        found, wanted = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
        sys.exit(f"{python} is Python {found}, expected {wanted} or newer; use a newer one, or leave NAIAD_VENV unset.")


def _install(folder: Path, extras: set[str], *, pinned: bool) -> None:
    """Install this checkout, editable, with `extras`; pip shows each download and its size."""
    names = ",".join(sorted(extras))
    _say(f"Installing naiad[{names}] into {folder}")
    for name in sorted(extras, reverse=True):
        _say(f"  [{name}] downloads up to {DOWNLOADS[name]}; less where pip has it in its cache")
    started = time.monotonic()
    pins = ["--constraint", str(ROOT / "constraints.txt")] if pinned else []
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    subprocess.run(
        [folder / "bin/python", "-m", "pip", "install", *pins, "--editable", f"{ROOT}[{names}]"],
        check=True,
        env={**os.environ, **quiet},
    )
    _say(f"{folder} is ready after {time.monotonic() - started:.0f} s")


def _say(text: str) -> None:
    print(text, flush=True)  # pip writes to the same terminal: keep the order


if __name__ == "__main__":
    sys.exit(main())
