# SPDX-License-Identifier: Apache-2.0
"""JSON text ⇄ values, and Triton's words for JSON that is not what was expected.

orjson does the work. Text that it refuses goes to RapidJSON, the library inside Triton, which accepts NaN and
Infinity, and whose reasons and offsets Triton tells its clients. All these errors are INTERNAL in Triton, so the
client sees status 500.
A zero byte ends the text, as in Triton's C++.
Where this differs from Triton: text that is not UTF-8 is refused, and of a key that is given twice the last value
counts (Triton: the first).
May import `errors`, orjson and rapidjson, nothing else.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import orjson
import rapidjson

from naiad.errors import InternalError, InvalidArgumentError, NaiadError

MAX_DEPTH: Final = 100
"""How deep arrays and objects may nest (Triton's limit)."""

MISSING: Final = object()
"""Stands for the value of a member that is not there; see `access_error`."""

_NUMBERS: Final = rapidjson.NM_NATIVE | rapidjson.NM_NAN
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_WITHOUT_ENCODING: Final = bytes(range(128)) + b"?" * 128
_REASON: Final = re.compile(r"Parse error at offset (\d+): (.*)", re.DOTALL)
# Possessive, so that a long string takes no memory for ways back.
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)

# Triton is built with an older RapidJSON, which calls a raw control character in a string this.
_CONTROL_CHARACTER: Final = ("Invalid encoding in string.", "Invalid escape character in string.")


def loads(text: bytes | memoryview) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse a JSON text; bare NaN, Infinity and -Infinity are numbers, integers beyond 64 bits are floats.

    Raises:
        InternalError: not JSON, with RapidJSON's reason and the offset in bytes (Triton's text).
        InvalidArgumentError: text that only RapidJSON could read nests deeper than `MAX_DEPTH`.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _loads_slowly(bytes(text).partition(b"\0")[0].removeprefix(_BYTE_ORDER_MARK))


class Members(dict[str, Any]):
    """A JSON object of which `items` tells every member, a key that is given twice with both its values."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self._pairs = pairs

    def items(self) -> Any:  # noqa: ANN401 - a list where dict has a view
        """Return all members, in their order."""
        return self._pairs


class _Decoder(rapidjson.Decoder):
    def start_object(self) -> list[tuple[str, Any]]:
        return []

    def end_object(self, pairs: list[tuple[str, Any]]) -> Members:
        return Members(pairs)


_all_members = _Decoder(number_mode=_NUMBERS)


def loads_all_members(text: bytes | memoryview) -> Any:  # noqa: ANN401 - JSON is anything
    """Parse a JSON text that `loads` has accepted; objects are `Members`.

    Raises:
        InvalidArgumentError: it nests deeper than `MAX_DEPTH`.
    """
    plain = bytes(text).partition(b"\0")[0].removeprefix(_BYTE_ORDER_MARK)
    if _depth(plain) > MAX_DEPTH:
        raise nesting_error()
    return _all_members(plain)


def _loads_slowly(text: bytes) -> Any:  # noqa: ANN401 - JSON is anything
    if _depth(text) > MAX_DEPTH:  # RapidJSON would use up the thread's stack
        raise nesting_error()
    try:
        return rapidjson.loads(text, number_mode=_NUMBERS)
    except rapidjson.JSONDecodeError as error:
        match = _REASON.fullmatch(str(error))
        offset, reason = match.groups() if match else ("0", str(error))
        raise _parse_error(reason.replace(*_CONTROL_CHARACTER), offset) from None
    except UnicodeDecodeError as error:
        _loads_slowly(text.translate(_WITHOUT_ENCODING))  # Triton would tell of bad grammar, so that comes first
        raise _parse_error("Invalid encoding in string.", error.start) from None


def _depth(text: bytes) -> int:
    """Return how deep brackets nest, outside strings; good for any bytes."""
    deepest = depth = 0
    for match in _BRACKETS.finditer(text):
        mark = match[0]
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark in b"]}":
            depth -= 1
    return deepest


def _parse_error(reason: str, offset: int | str) -> InternalError:
    return InternalError(f"failed to parse the request JSON buffer: {reason} at {offset}")


def nesting_error(prefix: str = "") -> InvalidArgumentError:
    """Return Triton's error for JSON that nests too deep."""
    return InvalidArgumentError(f"{prefix}JSON nesting depth exceeds maximum allowed limit ({MAX_DEPTH})")


def access_error(prefix: str, member: str, value: object, wanted: str) -> NaiadError:
    """Return Triton's error for a member that is `MISSING` or not of the kind `wanted`.

    `prefix` is what the reader puts before it (`Unable to parse 'shape'`), if anything; `wanted` is Triton's name of
    the kind: string, boolean, unsigned-integer, signed-integer, array or object.
    """
    lead = f"{prefix}: " if prefix else ""
    if value is MISSING:
        return InternalError(f"{lead}attempt to access non-existing object member '{member}'")
    return InternalError(f"{lead}attempt to access JSON non-{wanted} as {wanted}")


def string(document: Mapping[str, Any], member: str) -> str:
    """Return a member that must be a string.

    Raises:
        InternalError: it is missing or something else (Triton's texts).
    """
    value = document.get(member, MISSING)
    if type(value) is not str:
        raise access_error(f"Unable to parse '{member}'", member, value, "string")
    return value


def array(document: Mapping[str, Any], member: str) -> list[Any]:
    """Return a member that must be an array.

    Raises:
        InternalError: it is missing or something else (Triton's texts).
    """
    value = document.get(member, MISSING)
    if type(value) is not list:
        raise access_error(f"Unable to parse '{member}'", member, value, "array")
    return value


def boolean(value: object, member: str, verb: str = "parse") -> bool:
    """Return `value` if it is true or false.

    Raises:
        InternalError: it is something else (Triton's text).
    """
    if type(value) is not bool:
        raise access_error(f"Unable to {verb} '{member}'", member, value, "boolean")
    return value


def unsigned(value: object, member: str, verb: str = "parse") -> int:
    """Return `value` if it is an integer from 0 to 2**64 - 1.

    Raises:
        InternalError: it is something else (Triton's text).
    """
    if type(value) is not int or value < 0:
        raise access_error(f"Unable to {verb} '{member}'", member, value, "unsigned-integer")
    return value


def dumps(document: object) -> bytes:
    """Write a document as compact UTF-8 JSON; it must hold no NaN, and no integer beyond 64 bits."""
    return orjson.dumps(document)
