# SPDX-License-Identifier: Apache-2.0
"""Prints how much a plain `pip install naiad` downloads, wheel by wheel, and fails above the limit.

The wheels are those that pip would take on this machine with the versions of constraints.txt. Standard library only.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT_MB = 100.0
MB = 1e6


def main() -> int:
    """Print the table and return 1 when the sum is above the limit."""
    parser = argparse.ArgumentParser(description="Sum the wheels of the base install.")
    parser.add_argument("--limit-mb", type=float, default=LIMIT_MB, help="fail above it (default %(default)s)")
    limit_mb = parser.parse_args().limit_mb
    sizes = download(base_dependencies())
    for name, size in sorted(sizes.items(), key=lambda item: -item[1]):
        print(f"{size / MB:8.1f} MB  {name}")
    total_mb = sum(sizes.values()) / MB
    verdict = "within" if total_mb <= limit_mb else "ABOVE"
    print(f"{total_mb:8.1f} MB  {len(sizes)} wheels of the base install, {verdict} the limit of {limit_mb:g} MB")
    return 0 if total_mb <= limit_mb else 1


def base_dependencies() -> list[str]:
    """Return the requirements of the base install as pyproject.toml lists them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return list(project["dependencies"])


def download(requirements: list[str]) -> dict[str, int]:
    """Have pip fetch (from its cache where it can) and return file name → size in bytes, dependencies included.

    Raises:
        subprocess.CalledProcessError: pip failed, for one where a dependency has no wheel for this machine.
    """
    with tempfile.TemporaryDirectory(prefix="naiad-wheels-") as folder:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--only-binary", ":all:", "--dest", folder]
        subprocess.run([*command, "--constraint", ROOT / "constraints.txt", *requirements], check=True)
        return {file.name: file.stat().st_size for file in Path(folder).iterdir()}


if __name__ == "__main__":
    sys.exit(main())
