# SPDX-License-Identifier: Apache-2.0
"""What a run has measured, as values; as a table for people and as JSON to keep."""

import json
import os
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from naiad._version import __version__


@dataclass(frozen=True, slots=True)
class Load:
    """What one measured window showed: requests per second, latencies, and the processor time a request.

    `cpu_us` is the server's, `client_cpu_us` the load generator's, if known: it computes on the same cores.
    """

    rate: float
    p50_us: float
    p99_us: float
    cpu_us: float
    client_cpu_us: float | None = None


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table: what was measured on whom, round by round, in `unit`; `cpu_us` per request, if known."""

    contestant: str
    unit: str
    values: tuple[float, ...]
    cpu_us: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        """The median over the rounds."""
        return statistics.median(self.values)

    @property
    def median_cpu_us(self) -> float | None:
        """The median processor time per request in µs, None where it is not known."""
        return statistics.median(self.cpu_us) if self.cpu_us else None


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that must be reached: `value` at least, or at most, `limit`."""

    what: str
    value: float
    limit: float
    at_least: bool

    @property
    def is_met(self) -> bool:
        """Whether it is."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything one measurement found."""

    name: str
    figures: tuple[Figure, ...]
    goals: tuple[Goal, ...] = ()


def ratio(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the median of the rounds' ratios; each round's two values were measured one after the other."""
    return statistics.median(a / b for a, b in zip(one, other, strict=True))


def show(measurement: Measurement, console: Console) -> None:
    """Print one measurement as a table, its goals below."""
    table = Table(title=measurement.name, title_justify="left")
    table.add_column("")
    for heading in ("median", "rounds", "server CPU per request"):
        table.add_column(heading, justify="right")
    for figure in measurement.figures:
        cpu_us = figure.median_cpu_us
        rounds = " ".join(_shown(value) for value in figure.values)
        table.add_row(
            figure.contestant,
            f"{_shown(figure.median)} {figure.unit}",
            rounds,
            "" if cpu_us is None else f"{cpu_us:,.0f} µs",
        )
    console.print(table)
    for goal in measurement.goals:
        mark, style = ("✓", "green") if goal.is_met else ("✗", "red")
        direction = "at least" if goal.at_least else "at most"
        console.print(f"  {mark} {goal.what}: {goal.value:.3g} ({direction} {goal.limit:g})", style=style)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def save(measurements: Sequence[Measurement], folder: Path) -> Path:
    """Write a run as JSON, with what it ran on; return the file."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / time.strftime("%Y%m%d-%H%M%S.json")
    run = {"machine": _machine(), "measurements": [asdict(one) for one in measurements]}
    file.write_text(json.dumps(run, indent=2) + "\n")
    return file


def _machine() -> Mapping[str, object]:
    return {
        "naiad": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
    }
