# SPDX-License-Identifier: Apache-2.0
"""A problem reads as one line, a `ConfigError` as one line for each."""

import pytest

from naiad.config.problems import ConfigError, Problem
from naiad.errors import InvalidArgumentError


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (
            Problem("m/config.pbtxt", 4, "input[0].dims", "what is wrong", "this", "that", "do so"),
            "m/config.pbtxt:4: input[0].dims: what is wrong; expected this, got that; do so",
        ),
        (Problem("c", 0, "", "what is wrong"), "c: what is wrong"),
        (Problem("c", 0, "name", "what is wrong", got="that"), "c: name: what is wrong; got that"),
        (Problem("c", 1, "name", "what is wrong", fix="do so"), "c:1: name: what is wrong; do so"),
        (Problem("c", 1, "", "what ist fälsch", got="\x1b[31m\n"), "c:1: what ist fälsch; got \\x1b[31m\\n"),
    ],
)
def test_problem_reads_as_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_error_tells_every_problem_and_is_the_senders_fault() -> None:
    problems = (Problem("c", 1, "a", "first"), Problem("c", 2, "b", "second"))
    error = ConfigError(problems)
    assert str(error) == "c:1: a: first\nc:2: b: second"
    assert error.problems == problems
    assert isinstance(error, InvalidArgumentError)


def test_error_of_very_many_problems_tells_the_first_ones() -> None:
    """It becomes the answer to a client that sent such a config."""
    problems = tuple(Problem("c", line, "a", "wrong") for line in range(1, 206))
    error = ConfigError(problems)
    told = str(error).splitlines()
    assert told[0] == "c:1: a: wrong"
    assert told[-2:] == ["c:20: a: wrong", "and 185 more problems"]
    assert error.problems == problems
