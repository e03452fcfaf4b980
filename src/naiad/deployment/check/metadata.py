# SPDX-License-Identifier: Apache-2.0
"""`parameters.metadata` as Ultralytics' client reads it, and what may be wrong with its text. May import `vision`."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from naiad.config import pbtxt
from naiad.config.proto import ModelConfig
from naiad.vision.metadata import METADATA_PARAMETER, to_literal

_REFUSALS = (ValueError, SyntaxError, TypeError, RecursionError, MemoryError)
"""What `ast.literal_eval` raises for a text that is no literal; the last two where it is nested too deeply."""


class Reading(NamedTuple):
    """What came of reading a metadata text: its values, or else what it is instead and why it cannot be read."""

    values: Mapping[str, object] | None
    is_json: bool = False
    reason: str = ""


def read(text: str) -> Reading:
    """Read a metadata text as the client does, with `ast.literal_eval`; where it fails, try it as JSON."""
    try:
        values = ast.literal_eval(text)
    except _REFUSALS as error:
        reason = error.msg if isinstance(error, SyntaxError) else str(error).partition(": <")[0]
        where = f" at character {error.offset}" if isinstance(error, SyntaxError) and error.offset else ""
        values = _from_json(text)
        return Reading(values, is_json=values is not None, reason=f"{reason}{where}")
    if not isinstance(values, dict):
        return Reading(None, reason=f"a {type(values).__name__}, not a dict")
    return Reading(_unpacked(values))


def block(values: Mapping[str, object]) -> str:
    """Return the block of config.pbtxt that holds `values` as the client reads them."""
    config = ModelConfig()
    config.parameters[METADATA_PARAMETER].string_value = to_literal(values)
    # Within double quotes a single one needs no backslash, and is easier to read without.
    return re.sub(r"\\(.)", lambda escape: "'" if escape[1] == "'" else escape[0], pbtxt.dump(config))


def is_dynamic(values: Mapping[str, object]) -> bool:
    """Tell whether the client sends pictures in sizes of their own, as it does for dynamic exports."""
    arguments = values.get("args")
    return bool(isinstance(arguments, Mapping) and arguments.get("dynamic"))


def image_size(values: Mapping[str, object]) -> tuple[int, int] | None:
    """Return height and width of the pictures that the client sends to a model that is not dynamic."""
    match values.get("imgsz"):
        case int(side):
            return side, side
        case [int(height), int(width)] | (int(height), int(width)):
            return height, width
        case _:
            return None


def objection_to_names(names: object) -> str:
    """Return why the client cannot use class names; empty if it can."""
    if isinstance(names, list):
        return "" if names else "no names"
    if not isinstance(names, Mapping):
        return f"a {type(names).__name__}"
    try:
        numbers = {int(key) for key in names}
    except (TypeError, ValueError):
        wrong = next(key for key in names if not str(key).isdecimal())
        return f"the key {wrong!r}"
    return "" if numbers == set(range(len(names))) and names else f"{len(names)} names, numbered {_range(numbers)}"


def class_names(values: Mapping[str, object]) -> tuple[str, ...]:
    """Return the class names in the order of their numbers; empty where the client cannot use them."""
    names = values.get("names")
    if objection_to_names(names):
        return ()
    if isinstance(names, Mapping):
        return tuple(str(name) for _, name in sorted((int(key), name) for key, name in names.items()))
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _range(numbers: set[int]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else "not at all"


def _unpacked(values: Mapping[str, object]) -> dict[str, object]:
    """Return values whose members the client reads once more are read: exports hold everything as text."""
    return dict(_members(values))


def _members(values: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if key in _READ_TWICE and isinstance(value, str):
            try:
                yield key, ast.literal_eval(value)
            except _REFUSALS:
                yield key, value
        else:
            yield key, value


_READ_TWICE = frozenset({"imgsz", "names", "kpt_shape", "kpt_names", "args", "end2end"})


def _from_json(text: str) -> dict[str, object] | None:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, dict):
        return None
    names = values.get("names")
    if isinstance(names, dict) and all(key.isdecimal() for key in names):
        values["names"] = {int(key): name for key, name in names.items()}  # JSON has no other keys than strings
    return values
