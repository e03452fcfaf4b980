# SPDX-License-Identifier: Apache-2.0
"""Large JSON requests, parsed in pieces, so that one of 64 MB doesn't keep all other threads from running.

orjson holds the interpreter's lock while it parses, a second for 64 MB. Here the long runs of numbers in such a text,
which are tensors' `data`, are cut at commas into pieces that take less than a millisecond each. What remains of the
text, the skeleton, has a mark in the place of each run, and is parsed as it is.

Only numbers, commas, blanks and square brackets are in a run, and it stands between two commas. So a skeleton that is
JSON shows that the run is elements of arrays: in a string a mark's quotes would end the string, in an object a colon
would be missing. A piece may open and close arrays; it is JSON in its place exactly if it is with the brackets that it
lacks put around it. Whatever is out of the ordinary is left to be parsed whole (`loads` returns None).
May import orjson, numpy and `tensors`.
"""

import secrets
from array import array
from collections.abc import Iterator
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
import orjson

from naiad.tensors import Array

WORTH_BYTES = 1024 * 1024
"""A text that is shorter is soon parsed whole."""

_PIECE_BYTES = 64 * 1024
_LONGEST_NUMBER = 400
_DEEPEST = 50
_ALL_BUT_BRACKETS = b"0123456789+-.eE, \t\r\n"
_OF_RUNS = _ALL_BUT_BRACKETS + b"[]"


class _Piece(NamedTuple):
    """Elements between two commas; `low` and `net` are the depth's lowest point and its end, from 0 at the start."""

    text: bytes
    low: int
    net: int


class OutOfTheOrdinaryError(Exception):
    """The text is to be parsed whole; never told to anyone."""


def loads(text: memoryview) -> dict[str, Any] | None:
    """Parse a request; among the elements of its inputs' `data` stand arrays, int64 or float64, for many numbers each.

    Returns:
        None if there is nothing to be gained, or anything wrong: then it is to be parsed whole, for the exact error.
    """
    try:
        return _loads(text)
    except (OutOfTheOrdinaryError, orjson.JSONDecodeError):
        return None


def _loads(text: memoryview) -> dict[str, Any] | None:
    skeleton = bytearray()
    runs: dict[str, list[Array]] = {}
    done = 0
    for start, end in _runs(text):
        mark, end_mark = secrets.token_hex(16), secrets.token_hex(16)
        low = net = 0
        arrays: list[Array] = []
        for piece in _pieces(text, start, end):
            low, net = min(low, net + piece.low), net + piece.net
            arrays.append(_numbers(piece))
        if max(-low, net - low) > _DEEPEST:
            raise OutOfTheOrdinaryError
        skeleton += text[done:start]
        skeleton += b'"%b"%b,%b"%b"' % (mark.encode(), b"]" * -low, b"[" * (net - low), end_mark.encode())
        runs[mark], runs[end_mark] = arrays, []
        done = end
    if not runs:
        return None
    skeleton += text[done:]
    document = orjson.loads(skeleton)
    _put_in(document, runs)
    return document  # type: ignore[no-any-return]


def _runs(text: memoryview) -> Iterator[tuple[int, int]]:
    """Yield where long runs are, each from behind a comma to before one."""
    start = -1
    for at in range(0, len(text), _PIECE_BYTES):
        window = bytes(text[at : at + _PIECE_BYTES])
        if window.translate(None, _OF_RUNS):
            if start >= 0:
                yield from _trimmed(text, start, at)
            start = -1
        elif start < 0:
            start = at
    if start >= 0:
        yield from _trimmed(text, start, len(text))


def _trimmed(text: memoryview, start: int, end: int) -> Iterator[tuple[int, int]]:
    first = bytes(text[start : start + _LONGEST_NUMBER]).find(b",")
    last_from = max(start, end - _LONGEST_NUMBER)
    last = bytes(text[last_from:end]).rfind(b",")
    if first >= 0 and last >= 0 and start + first + 1 < last_from + last:
        yield start + first + 1, last_from + last


def _pieces(text: memoryview, start: int, end: int) -> Iterator[_Piece]:
    while start < end:
        stop = min(start + _PIECE_BYTES, end)
        if stop < end:
            comma = bytes(text[stop : stop + _LONGEST_NUMBER]).find(b",")
            if comma < 0:
                raise OutOfTheOrdinaryError
            stop = min(stop + comma, end)
        piece = bytes(text[start:stop])
        if piece.lstrip()[:1] == b"]" or piece.rstrip()[-1:] == b"[":  # a comma beside which a value is missing
            raise OutOfTheOrdinaryError
        yield _Piece(piece, *_depths(piece))
        start = stop + 1
    if start == end:  # two commas, one after the other
        raise OutOfTheOrdinaryError


def _depths(piece: bytes) -> tuple[int, int]:
    depth = low = high = 0
    for bracket in piece.translate(None, _ALL_BUT_BRACKETS):
        depth += 92 - bracket  # "[" is 91, "]" is 93
        low, high = min(low, depth), max(high, depth)
    if high - low > _DEEPEST:
        raise OutOfTheOrdinaryError
    return low, depth


def _numbers(piece: _Piece) -> Array:
    elements = orjson.loads(b"[" * (1 - piece.low) + piece.text + b"]" * (1 + piece.net - piece.low))
    kinds = set(map(type, elements))
    while list in kinds:
        if len(kinds) > 1:
            raise OutOfTheOrdinaryError
        elements = list(chain.from_iterable(elements))
        kinds = set(map(type, elements))
    try:
        return np.frombuffer(
            array("q" if kinds == {int} else "d", elements), np.int64 if kinds == {int} else np.float64
        )
    except OverflowError:
        raise OutOfTheOrdinaryError from None


def _put_in(document: object, runs: dict[str, list[Array]]) -> None:
    """Put the arrays in the places of their marks, which must all be in the inputs' `data`."""
    left = set(runs)
    inputs = document.get("inputs") if type(document) is dict else None
    for entry in inputs if type(inputs) is list else ():
        if type(entry) is dict and type(entry.get("data")) is list:
            _replace(entry["data"], runs, left, _DEEPEST)
    if left:
        raise OutOfTheOrdinaryError


def _replace(data: list[Any], runs: dict[str, list[Array]], left: set[str], depth: int) -> None:
    if not depth:
        raise OutOfTheOrdinaryError
    marks = [at for at, element in enumerate(data) if type(element) is str and element in runs]
    for at in reversed(marks):
        left.discard(data[at])
        data[at : at + 1] = runs[data[at]]
    for element in data:
        if type(element) is list:
            _replace(element, runs, left, depth - 1)
