# SPDX-License-Identifier: Apache-2.0
"""From the text of a flag or an environment variable, or what a program gives, to the value of a field.

May import `errors` and, of this room, all but `later`.
"""

import os
from collections.abc import Sequence

from naiad.errors import InvalidArgumentError
from naiad.options.flags import check_value, flag_name
from naiad.options.table import DEFAULTS, FIELD_FLAGS
from naiad.options.values import (
    BOOLEANS,
    RESTRICTED_FEATURES,
    OptionValue,
    parse_backend_option,
    parse_restricted_group,
)

ENVIRONMENT_LIST_SEPARATOR = ";"
"""Separates the values of a repeatable option in its environment variable."""

_KINDS = {bool: "true or false", int: "a whole number", str: "a text"}

_ENVIRONMENT_PREFIX = "NAIAD_SERVE_"


def environment_name(field_name: str) -> str:
    """Return the environment variable of a field: `http_port` → `NAIAD_SERVE_HTTP_PORT`."""
    return _ENVIRONMENT_PREFIX + field_name.upper()


def parse_value(field_name: str, text: str) -> OptionValue:
    """Read one value of a field from the text of a flag or an environment variable.

    Returns:
        The value in the field's type; of a repeatable field, one element.

    Raises:
        InvalidArgumentError: the text is not a value of that field.
        UnsupportedError: it asks for something that this version does not have.
    """
    default = DEFAULTS[field_name]
    value: OptionValue = text
    if field_name == "backend_config":
        value = parse_backend_option(text)
    elif field_name in RESTRICTED_FEATURES:
        value = parse_restricted_group(field_name, text)
    elif isinstance(default, bool):
        value = _parse_boolean(field_name, text)
    elif isinstance(default, int):
        value = _parse_integer(field_name, text)
    check_value(field_name, FIELD_FLAGS[field_name], value)
    return value


def given_value(field_name: str, given: object) -> object:
    """Return what a program gave for a field in the field's type.

    Texts are read as those of flags, paths are taken as texts, and of a repeatable field one value is enough.

    Raises:
        InvalidArgumentError: it is not a value of that field.
        UnsupportedError: it asks for something that this version does not have.
    """
    if not FIELD_FLAGS[field_name].repeatable:
        return _given_element(field_name, given, type(DEFAULTS[field_name]))
    several = given if isinstance(given, Sequence) and not isinstance(given, str) else (given,)
    return tuple(_given_element(field_name, one) for one in several)


def _given_element(field_name: str, given: object, wanted: type = object) -> object:
    if isinstance(given, os.PathLike):
        given = os.fspath(given)
    if isinstance(given, str):
        return parse_value(field_name, given)
    if type(given) is not wanted and wanted is not object:
        raise InvalidArgumentError(f"--{flag_name(field_name)} expects {_KINDS[wanted]}, got {given!r}")
    return given


def _parse_boolean(field_name: str, text: str) -> bool:
    value = BOOLEANS.get(text.lower())
    if value is None:
        raise InvalidArgumentError(f"--{flag_name(field_name)} expects true, false, 1 or 0, got '{text}'")
    return value


def _parse_integer(field_name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArgumentError(f"--{flag_name(field_name)} expects a whole number, got '{text}'") from None
