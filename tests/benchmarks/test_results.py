# SPDX-License-Identifier: Apache-2.0
"""What a run makes of its rounds: medians, ratios, goals; the table and the file."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.results import Figure, Goal, Measurement, ratio, save, show


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    """Not the ratio of the medians, which would be 2: what slows one round down slows both of its values down."""
    assert ratio([10, 40, 20], [10, 10, 5]) == 4


def test_rounds_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        ratio([1, 2], [1])


@pytest.mark.parametrize(
    ("value", "at_least", "met"),
    [
        (2.1, True, False),
        (2.2, True, True),
        (2.3, True, True),
        (2.1, False, True),
        (2.2, False, True),
        (2.3, False, False),
    ],
)
def test_a_goal_is_met_on_its_limit_and_on_the_right_side_of_it(value: float, at_least: bool, met: bool) -> None:
    assert Goal("ratio", value, 2.2, at_least=at_least).is_met is met


def test_a_figure_has_medians_and_may_lack_processor_time() -> None:
    figure = Figure("Naiad", "/s", (3, 1, 2), (30, 10, 20))
    assert (figure.median, figure.median_cpu_us) == (2, 20)
    assert Figure("loop", "/s", (3, 1)).median_cpu_us is None


MEASUREMENT = Measurement(
    "identity [1,16]",
    (Figure("Naiad", "/s", (9000, 7000, 12345.6), (81, 80, 82)), Figure("loop", "/s", (1.23456,))),
    (Goal("Naiad ÷ loop", 2.0, 2.2, at_least=True), Goal("seconds", 0.5, 1.0, at_least=False)),
)


def test_the_table_shows_medians_rounds_and_goals() -> None:
    output = io.StringIO()
    show(MEASUREMENT, Console(file=output, width=120))
    lines = [" ".join(line.strip("│ ").split()) for line in output.getvalue().splitlines()]
    assert lines[0] == "identity [1,16]"
    assert "Naiad │ 9,000 /s │ 9,000 7,000 12,346 │ 81 µs" in lines
    assert "loop │ 1.235 /s │ 1.235" in lines
    assert lines[-2:] == ["✗ Naiad ÷ loop: 2 (at least 2.2)", "✓ seconds: 0.5 (at most 1)"]


def test_a_saved_run_holds_every_round_and_the_machine(tmp_path: Path) -> None:
    saved = json.loads(save([MEASUREMENT], tmp_path / "results").read_text())
    assert saved["measurements"][0]["figures"][0]["values"] == [9000, 7000, 12345.6]
    assert set(saved["machine"]) == {"naiad", "python", "system", "cores"}
