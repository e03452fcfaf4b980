# SPDX-License-Identifier: Apache-2.0
"""`python -m benchmarks`: what is run without names, what is asked for first, and what a failure leaves."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from benchmarks import __main__ as command
from benchmarks.contestants import Setting
from benchmarks.measurements import ALL, Benchmark
from benchmarks.processes import ContestantError
from benchmarks.results import Figure, Goal, Measurement


def _measure(setting: Setting) -> Measurement:
    """Say how many rounds there are."""
    return Measurement("rounds", (Figure("nobody", "", (setting.rounds,)),))


def _miss(setting: Setting) -> Measurement:
    """Miss a goal."""
    return Measurement("missed", (), (Goal("never", 1, 2, at_least=True),))


def _fail(setting: Setting) -> Measurement:
    """Fail."""
    raise ContestantError("nobody was [there]")


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    known = {"good": Benchmark(_measure), "missed": Benchmark(_miss, by_default=False)}
    known |= {"failing": Benchmark(_fail, by_default=False), "tooled": Benchmark(_measure, ("triton",), False)}
    monkeypatch.setattr(command, "ALL", known)
    monkeypatch.setattr(command.main.params[0], "type", click.Choice(list(known)))
    monkeypatch.setattr(command, "_RESULTS", tmp_path / "results")
    monkeypatch.delenv("NAIAD_REFERENCE", raising=False)


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(command.main, arguments)


def test_peers_are_measured_only_when_they_are_named() -> None:
    """Measuring them downloads them."""
    assert [name for name, benchmark in ALL.items() if not benchmark.by_default] == ["peers"]


def test_without_names_what_is_not_by_default_is_left_out(tmp_path: Path) -> None:
    result = _run("--rounds", "3")
    assert result.exit_code == 0
    assert "measuring good" in result.output
    assert "missed" not in result.output
    assert len(list((tmp_path / "results").iterdir())) == 1


def test_a_missing_tool_is_named_before_anything_is_measured() -> None:
    result = _run("good", "tooled")
    assert result.exit_code == 2
    assert "tooled needs a script that starts Triton" in result.output
    assert "NAIAD_REFERENCE" in result.output
    assert "measuring" not in result.output


def test_a_missed_goal_is_an_exit_code() -> None:
    assert _run("missed").exit_code == 1


def test_a_failure_does_not_lose_the_other_measurements(tmp_path: Path) -> None:
    result = _run("failing", "good")
    assert result.exit_code == 1
    assert "failing failed: nobody was [there]" in result.output
    assert "measuring good" in result.output
    assert len(list((tmp_path / "results").iterdir())) == 1
