# SPDX-License-Identifier: Apache-2.0
"""Triton's trace extension: `TraceSettings` ⇄ JSON and protobuf.

Unlike the settings of the log, those of a request are all read before any is changed. Readers return the changes by the
name of the field, None for a setting that is cleared. May import `errors`, `snapshots`, protobuf and its neighbour
`rest`.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from naiad.config.proto import service_pb2
from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.protocol.rest import json_text
from naiad.protocol.rest.documents import dumps
from naiad.snapshots import TRACE_LEVELS, TraceSettings

Changes = dict[str, tuple[str, ...] | int | None]

_MAX_UNSIGNED = 2**32 - 1
_MAX_INT = 2**31 - 1
_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+)")
"""What C++ reads of a number's text; it does not mind what comes behind."""


def unknown_model(name: str) -> InvalidArgumentError:
    """Return the error for settings of a model that is not there (Triton's text)."""
    return InvalidArgumentError(f"Request for unknown model : {name}")


def document(settings: TraceSettings) -> bytes:
    """Return the JSON of the settings; a setting with several values is a member several times, as Triton has it."""
    members = (b"%s:%s" % (dumps(name), dumps(value)) for name, value in _told(settings))
    return b"{%s}" % b",".join(members)


def message(settings: TraceSettings) -> bytes:
    """Write a `TraceSettingResponse`."""
    response = service_pb2.TraceSettingResponse()
    for name, value in _told(settings):
        response.settings[name].value.extend([value] if isinstance(value, str) else value)
    return response.SerializeToString()


def _told(settings: TraceSettings) -> Iterator[tuple[str, str | Sequence[str]]]:
    yield "trace_level", settings.levels or ("OFF",)
    yield "trace_rate", str(settings.rate)
    yield "trace_count", str(settings.count)
    if settings.mode == "triton":
        yield "log_frequency", str(settings.log_frequency)
        yield "trace_file", settings.file
    yield "trace_mode", settings.mode
    yield from settings.exporter


def changes_in_json(body: bytes | memoryview) -> Changes:
    """Return what the body of a POST asks for; null clears, unknown members and a body that is no object do nothing.

    Raises:
        InternalError: not JSON, or a value of another type.
        UnsupportedError: it names a file.
        InvalidArgumentError: a value that is none (Triton's texts and classes).
    """
    wanted = json_text.loads(body)
    if not isinstance(wanted, dict):
        return {}
    return _changes(wanted, is_cleared=lambda value: value is None, levels_of=_strings, text_of=_string, gap="")


def changes_in_message(settings: Mapping[str, Any]) -> Changes:
    """Return what the settings of a `TraceSettingRequest` ask for; no value clears, unknown settings do nothing.

    Raises:
        UnsupportedError: it names a file.
        InvalidArgumentError: a value that is none, or several for a setting that has one (Triton's texts).
    """
    wanted = {name: list(setting.value) for name, setting in settings.items()}
    return _changes(wanted, is_cleared=lambda value: not value, levels_of=iter, text_of=_only, gap=" ")


def _changes(
    wanted: Mapping[str, Any],
    *,
    is_cleared: Callable[[Any], bool],
    levels_of: Callable[[Any], Iterator[str]],
    text_of: Callable[[Any, str], str],
    gap: str,
) -> Changes:
    """Read the settings in Triton's order; `gap` is where its two protocols spell one text differently."""
    if "trace_file" in wanted:
        raise UnsupportedError("trace file location can not be updated through network protocol")
    changes: Changes = {}
    if "trace_level" in wanted:
        level = wanted["trace_level"]
        if is_cleared(level):
            changes["levels"] = None
        else:
            changes |= _levels(levels_of(level), len(level) if isinstance(level, list) else 0)
    for name, field, least, most in (
        ("trace_rate", "rate", 0, _MAX_UNSIGNED),
        ("trace_count", "count", -1, _MAX_INT),
        ("log_frequency", "log_frequency", 0, _MAX_UNSIGNED),
    ):
        if name in wanted:
            value = wanted[name]
            changes[field] = None if is_cleared(value) else _number(name, text_of(value, name), least, most, gap)
    return changes


def _levels(names: Iterator[str], count: int) -> Changes:
    """Read levels; unknown ones are ignored, and nothing but those changes nothing."""
    found = set()
    for name in names:
        if name == "OFF":
            if count > 1:
                raise InvalidArgumentError("Expect only one trace level 'OFF' is specified")
            return {"levels": ()}
        found.add(name)
    levels = tuple(level for level in TRACE_LEVELS if level in found)
    return {"levels": levels} if levels else {}


def _number(name: str, text: str, least: int, most: int, gap: str) -> int:
    match = _NUMBER.match(text)
    if match is None:
        raise InvalidArgumentError(f"Unable to parse '{name}', got: {text}")
    number = int(match[1]) if len(match[1]) < 32 else most + 1
    if not -_MAX_INT - 1 <= number <= _MAX_INT:  # of a C++ int, whatever the text says; below 0 it wraps around
        raise InvalidArgumentError(f"Unable to parse '{name}', value is out of range [ {least}, {most} ], got: {text}")
    if least < 0:
        if number < least:
            raise InvalidArgumentError(f"Unable to parse '{name}'. Expecting value >= {least}, got:{gap}{text}")
        return number
    return number & _MAX_UNSIGNED


def _strings(value: object) -> Iterator[str]:
    if not isinstance(value, list):
        raise json_text.access_error("", "", value, "array")
    return (_string(element, "") for element in value)


def _string(value: object, _name: str) -> str:
    if not isinstance(value, str):
        raise json_text.access_error("", "", value, "string")
    return value


def _only(values: list[str], name: str) -> str:
    if len(values) != 1:
        raise InvalidArgumentError(f"expect only 1 value for '{name}'")
    return values[0]
