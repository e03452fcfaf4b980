# SPDX-License-Identifier: Apache-2.0
"""A row of the table of options: what is known of a flag, and whether a value is one that it allows.

May import `errors`, nothing else.
"""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Literal, TypeVar

from naiad.errors import InvalidArgumentError, UnsupportedError

T = TypeVar("T")

MAX_PORT = 65535
MAX_INT = 2**31 - 1
"""Triton keeps its numbers in C's int; a row with this maximum is told without one."""

_UNITS = {"bytes": " of bytes", "s": " of seconds", "ms": " of milliseconds"}


@dataclass(frozen=True, slots=True)
class Flag:
    """What the table knows of an option beside its name, type and default.

    `minimum` and `maximum` are inclusive, in `unit`. `choices` lists the values that work, `later_choices` maps those
    Triton knows and this version does not to the feature they need. A `switch` takes no value. `note` is a notice for
    whoever sets the option: it is accepted, but does not do what its name promises, or is to be spelled otherwise.
    `path` is "file" or "folder" where the value is the path of one. `tritons` is false for an option that Triton does
    not have.
    """

    group: str
    help: str
    _: KW_ONLY
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    later_choices: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    repeatable: bool = False
    switch: bool = False
    required: bool = False
    note: str = ""
    path: Literal["file", "folder", ""] = ""
    tritons: bool = True


def option(default: T, row: Flag) -> T:
    """Return a field of a dataclass for the option that `row` describes."""
    return field(default=default, metadata={"flag": row})


def flag_name(field_name: str) -> str:
    """Return the command-line spelling of a field: `http_port` → `http-port`."""
    return field_name.replace("_", "-")


def value_range(row: Flag) -> str:
    """Describe the numbers a row allows: `a number from 0 to 65535`, `a number of bytes of at least 1`."""
    unit = _UNITS.get(row.unit, "")
    if row.maximum is None or row.maximum == MAX_INT:
        return f"a number{unit} of at least {row.minimum}"
    return f"a number{unit} from {row.minimum} to {row.maximum}"


def check_value(field_name: str, row: Flag, value: object) -> None:
    """Check a value against its row; one that isn't a number or a choice only has to be there if it is required.

    Raises:
        InvalidArgumentError: it is missing, or out of the row's range.
        UnsupportedError: it is one of the row's `later_choices`.
    """
    flag = f"--{flag_name(field_name)}"
    if row.required and not value:
        raise InvalidArgumentError(f"{flag} is missing, expected a folder of models: {flag}=FOLDER")
    if isinstance(value, int) and row.minimum is not None and not row.minimum <= value <= (row.maximum or value):
        raise InvalidArgumentError(f"{flag} expects {value_range(row)}, got {value}")
    if row.choices and value not in row.choices:
        feature = row.later_choices.get(str(value))
        if feature is not None:
            raise UnsupportedError(
                f"{flag}={value}: {feature} is not available in this version of Naiad; use {flag}={row.choices[0]}"
            )
        raise InvalidArgumentError(f"{flag} expects one of {', '.join(row.choices)}, got '{value}'")
