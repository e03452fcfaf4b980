# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`: run measurements, print tables, save JSON."""

import os
import sys
import tempfile
from pathlib import Path

import click
from rich.console import Console

from benchmarks.measurements import ALL, Setting
from benchmarks.results import save, show

_HERE = Path(__file__).parent
_EXAMPLES = "\b\npython -m benchmarks\npython -m benchmarks small-identity latency --rounds 3 --seconds 2"


@click.command(epilog=_EXAMPLES)
@click.argument("names", nargs=-1, type=click.Choice(list(ALL)))
@click.option("--rounds", default=5, show_default=True, help="Counted rounds; medians are over these.")
@click.option("--seconds", default=5.0, show_default=True, help="Length of one measured window.")
@click.option("--triton", envvar="NAIAD_REFERENCE", type=click.Path(path_type=Path), help="Script that runs Triton.")
@click.option(
    "--perf-analyzer", envvar="NAIAD_PERF_ANALYZER", type=click.Path(path_type=Path), help="Script that loads servers."
)
def main(names: tuple[str, ...], rounds: int, seconds: float, triton: Path | None, perf_analyzer: Path | None) -> None:
    """Measure NAMES, or everything, and compare."""
    if triton is None or perf_analyzer is None:
        raise click.UsageError("--triton and --perf-analyzer (NAIAD_REFERENCE, NAIAD_PERF_ANALYZER) are needed")
    console = Console()
    cache = Path(os.environ.get("NAIAD_TEST_CACHE", Path.home() / ".cache" / "naiad-benchmarks"))
    measurements = []
    with tempfile.TemporaryDirectory(prefix="naiad-bench-") as scratch:
        setting = Setting(triton, perf_analyzer, Path(scratch), cache, rounds, seconds)
        for name in names or ALL:
            with console.status(f"measuring {name} …"):
                measurements.append(ALL[name](setting))
            show(measurements[-1], console)
    console.print(f"saved as {save(measurements, _HERE / 'results')}")
    sys.exit(0 if all(goal.is_met for one in measurements for goal in one.goals) else 1)


if __name__ == "__main__":
    main()
