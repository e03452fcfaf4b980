# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a config, told so that it can be mended: file, line, field, expected, got, fix.

May import `errors`, nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from naiad.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in one file.

    `line` counts from 1, 0 where it isn't known; `field` is a path (`input[0].dims`), empty where the text itself
    cannot be read. `message` is Triton's text where Triton has one. `expected`, `got` and `fix` may be empty.
    """

    file: str
    line: int
    field: str
    message: str
    expected: str = ""
    got: str = ""
    fix: str = ""

    def __str__(self) -> str:
        """Return it in one line: `config.pbtxt:4: input[0].dims: what; expected this, got that; do so`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        comparison = ", ".join(
            f"{word} {value}" for word, value in (("expected", self.expected), ("got", self.got)) if value
        )
        told = "; ".join(part for part in (self.message, comparison, self.fix) if part)
        line = ": ".join(part for part in (place, self.field, told) if part)
        if line.isprintable():
            return line
        # Control characters out of a config must not steer the terminal that shows this.
        return "".join(char if char.isprintable() else repr(char)[1:-1] for char in line)


_MOST_TOLD = 20


class ConfigError(InvalidArgumentError):
    """A config that cannot be used; `problems` has at least one entry, and `str()` tells the first, one in a line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:_MOST_TOLD]]
        if len(self.problems) > _MOST_TOLD:
            lines.append(f"and {len(self.problems) - _MOST_TOLD} more problems")
        return "\n".join(lines)
