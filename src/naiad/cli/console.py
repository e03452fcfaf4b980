# SPDX-License-Identifier: Apache-2.0
"""How the commands write to the terminal: tables, steps with their times; plain text where there is no terminal.

Rich drops colours and spinners by itself when the output is not a terminal or NO_COLOR is set.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_STATE_STYLES = {"READY": "green", "LOADING": "yellow", "UNLOADING": "yellow"}
_UNLIMITED = 10_000
"""Characters in a line where nothing is to be wrapped: what reads a pipe looks for whole lines."""


_NARROWEST = 12
"""Characters of a column that gives way: room for the shape of a picture."""


class Reason(NamedTuple):
    """Why a model is in the state it is in."""

    model: str
    version: str
    text: str


def console(*, stderr: bool = False) -> Console:
    """Return a console on standard output or standard error.

    The terminal wraps long lines, so that commands can be copied; print tables with `print_table`. It keeps the
    stream of this moment: what is muted by redirecting standard output must not mute the console.
    """
    file = sys.stderr if stderr else sys.stdout
    made = Console(file=file, highlight=False, soft_wrap=True)
    return made if made.is_terminal else Console(file=file, highlight=False, soft_wrap=True, width=_UNLIMITED)


def table(columns: Sequence[str], wrapped: Sequence[str] = ()) -> Table:
    """Return an empty table in the commands' common form; only `wrapped` columns give way to a narrow terminal."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for column in columns:
        made.add_column(column, no_wrap=True)
    for column in wrapped:
        made.add_column(column, overflow="fold", min_width=_NARROWEST)
    return made


class _Roomy:
    """A table that is not squeezed below its smallest width."""

    def __init__(self, content: Table) -> None:
        self._content = content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        smallest = Measurement.get(console, options.update_width(_UNLIMITED), self._content).minimum
        yield from console.render(self._content, options.update_width(max(options.max_width, smallest)))


def print_block(out: Console, content: RenderableType) -> None:
    """Print lines that are wrapped to the terminal here, without blanks at their ends."""
    with out.capture() as rendered:
        out.print(content, soft_wrap=False, crop=False)
    for line in rendered.get().splitlines():
        out.file.write(f"{line.rstrip()}\n")


def print_table(out: Console, content: Table) -> None:
    """Print a table as wide as the terminal, or, where that is too narrow, as it has to be."""
    print_block(out, _Roomy(content))


def print_reasons(out: Console, reasons: Iterable[Reason]) -> None:
    """Print why models are not served, a paragraph each: a column would be too narrow for them."""
    for reason in reasons:
        name = f"{reason.model} version {reason.version}" if reason.version else reason.model
        out.print(Text.assemble("\n", (name, "bold"), f": {reason.text}"))


def state_text(state: str) -> Text:
    """Return a model's state, coloured."""
    return Text(state or "-", style=_STATE_STYLES.get(state, "red"))


@contextmanager
def step(out: Console, title: str) -> Iterator[None]:
    """Show that something is being done, and, once it is, how long it took."""
    began_s = time.monotonic()
    with out.status(f"{escape(title)} …"):
        yield
    out.print(f"[green]✓[/] {escape(title)} [dim]{time.monotonic() - began_s:.1f} s[/]")
