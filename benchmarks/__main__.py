# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`: run measurements, print tables, save JSON."""

import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
from rich.console import Console

from benchmarks.contestants import Setting
from benchmarks.measurements import ALL
from benchmarks.processes import ContestantError
from benchmarks.results import Measurement, save, show

_RESULTS = Path(__file__).parent / "results"

# How to come by a tool, by its name in `measurements.ALL`.
_TOOLS = {
    "triton": "a script that starts Triton, as SCRIPT REPOSITORY HTTP_PORT GRPC_PORT METRICS_PORT; name it with "
    "--triton or NAIAD_REFERENCE",
    "perf_analyzer": "NVIDIA's perf_analyzer, or a script that starts it; name it with --perf-analyzer or "
    "NAIAD_PERF_ANALYZER",
    "wrk": "the load generator wrk (on Debian: apt-get install wrk); have it on the PATH, or name it with --wrk",
}
_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


def _epilog() -> str:
    lines = ["\b", "Measurements:"]
    for name, benchmark in ALL.items():
        lines.append(f"  {name:<17} {benchmark.summary}" + ("" if benchmark.by_default else " Only if named."))
    lines += ["\n\b", "Examples:", "  python -m benchmarks"]
    lines += ["  python -m benchmarks small-identity latency --rounds 3 --seconds 2"]
    return "\n".join(lines)


@click.command(epilog=_epilog(), context_settings={"max_content_width": 120})
@click.argument("names", nargs=-1, type=click.Choice(list(ALL)), metavar="[NAMES]...")
@click.option("--rounds", default=5, show_default=True, type=click.IntRange(min=1), help="Rounds that count.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=1), help="One window's length.")
@click.option("--triton", envvar="NAIAD_REFERENCE", show_envvar=True, type=_FILE, help="Script that starts Triton.")
@click.option(
    "--perf-analyzer", envvar="NAIAD_PERF_ANALYZER", show_envvar=True, type=_FILE, help="perf_analyzer, or its script."
)
@click.option("--wrk", default=lambda: shutil.which("wrk"), show_default="on the PATH", type=_FILE, help="wrk.")
@click.option(
    "--cache",
    default=Path.home() / ".cache" / "naiad-benchmarks",
    show_default=True,
    envvar="NAIAD_TEST_CACHE",
    show_envvar=True,
    type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
    help="Where the exported YOLO and the peers' environments are kept.",
)
def main(
    names: tuple[str, ...],
    rounds: int,
    seconds: float,
    triton: Path | None,
    perf_analyzer: Path | None,
    wrk: Path | None,
    cache: Path,
) -> None:
    """Measure NAMES and compare; without NAMES all that need no further downloads.

    Exits with 1 if a goal was missed or a measurement failed.
    """
    chosen = names or tuple(name for name, benchmark in ALL.items() if benchmark.by_default)
    given = {"triton": triton, "perf_analyzer": perf_analyzer, "wrk": wrk}
    tools = {name: path for name, path in given.items() if path is not None}
    _demand(chosen, tools)
    console = Console()
    measured: list[Measurement] = []
    with tempfile.TemporaryDirectory(prefix="naiad-bench-") as scratch:
        setting = Setting(tools, Path(scratch), cache, rounds, seconds)
        for name in chosen:
            console.print(f"measuring {name} …")
            try:
                measured.append(ALL[name].measure(setting))
            except ContestantError as error:
                console.print(f"{name} failed: {error}", style="red", markup=False)
            else:
                show(measured[-1], console)
    if measured:
        console.print(f"saved as {save(measured, _RESULTS)}")
    all_met = all(goal.is_met for one in measured for goal in one.goals)
    sys.exit(0 if all_met and len(measured) == len(chosen) else 1)


def _demand(names: Sequence[str], tools: Mapping[str, Path]) -> None:
    """Look for what the measurements need before the first of them takes its time.

    Raises:
        click.UsageError: a tool is missing; the text says which, for what, and how to come by it.
    """
    for name in names:
        for tool in ALL[name].tools:
            if tool not in tools:
                raise click.UsageError(f"{name} needs {_TOOLS[tool]}")


if __name__ == "__main__":
    main()
