# SPDX-License-Identifier: Apache-2.0
"""Protobuf's wire format, as far as tensors should not be copied or wait for anybody else's parser.

`split_infer_request` leaves the tensors of a `ModelInferRequest` where they are; the writing functions give the bytes
of fields. May import nothing of Naiad.
"""

from collections.abc import Iterable
from typing import NamedTuple

_ID = 0x1A
_RAW_INPUT_CONTENTS = 0x3A
_LENGTH_DELIMITED = 2
_MOST_VARINT_BYTES = 10

MOST_FIELDS = 16_384
"""What a `ModelInferRequest` may have of inputs, outputs, parameters and tensors together. Each takes a microsecond or
two of the loop and an object, and two bytes of a message are enough for one."""


class TooManyFieldsError(Exception):
    """A message has more than `MOST_FIELDS`."""


class SplitRequest(NamedTuple):
    """A `ModelInferRequest` in parts.

    `declaration` is all of it but `id` and `raw_input_contents`, as bytes of a `ModelInferRequest`; `raws` are views.
    """

    declaration: bytes
    id: memoryview
    raws: tuple[memoryview, ...]


def split_infer_request(message: memoryview) -> SplitRequest | None:
    """Take the request id and the tensors out of a `ModelInferRequest`.

    Returns:
        None for what only protobuf can read, or refuse: fields that are unknown, lengths that don't fit, an id that is
        there twice (the last counts, but both must be text). `check_field_count` is for those.

    Raises:
        TooManyFieldsError: it has too many.
    """
    kept: list[memoryview] = []
    raws: list[memoryview] = []
    request_id: memoryview | None = None
    position, end, start = 0, len(message), 0
    fields = 0
    while position < end:
        fields += 1
        if fields > MOST_FIELDS:
            raise TooManyFieldsError
        begin = position
        tag = message[position]
        if tag & 7 != _LENGTH_DELIMITED or tag > _RAW_INPUT_CONTENTS:
            return None
        found = _length(message, position + 1, end)
        if found is None:
            return None
        position, stop = found
        if tag in _TAKEN_OUT:
            if start < begin:
                kept.append(message[start:begin])
            start = stop
            if tag == _ID:
                if request_id is not None:
                    return None
                request_id = message[position:stop]
            else:
                raws.append(message[position:stop])
        position = stop
    if start < end:
        kept.append(message[start:end])
    declaration = kept[0].tobytes() if len(kept) == 1 else b"".join(kept)
    return SplitRequest(declaration, message[:0] if request_id is None else request_id, tuple(raws))


_TAKEN_OUT = frozenset((_ID, _RAW_INPUT_CONTENTS))


def _length(message: memoryview, position: int, end: int) -> tuple[int, int] | None:
    """Read a length at `position`; return where the content begins and ends, None if that is not within `end`."""
    length = shift = 0
    while position < end:
        byte = message[position]
        position += 1
        length |= (byte & 127) << shift
        if byte < 128:
            stop = position + length
            return (position, stop) if stop <= end else None
        shift += 7
        if shift > 28:
            return None
    return None


def check_field_count(message: memoryview) -> None:
    """Count the fields of any message, as far as it is one; what is none is left to protobuf to refuse.

    Raises:
        TooManyFieldsError: there are too many.
    """
    position: int | None = 0
    end, fields = len(message), 0
    while position is not None and position < end:
        fields += 1
        if fields > MOST_FIELDS:
            raise TooManyFieldsError
        position = _behind_field(message, position, end)


def _behind_field(message: memoryview, position: int, end: int) -> int | None:
    """Return where the field at `position` ends, None if it is no field; the ends of a group count as fields."""
    tag = _varint_at(message, position, end)
    if tag is None:
        return None
    kind, position = tag[0] & 7, tag[1]
    if kind in _FIXED_BYTES:
        return position + _FIXED_BYTES[kind]
    if kind > _LENGTH_DELIMITED:
        return None
    value = _varint_at(message, position, end)
    if value is None or kind != _LENGTH_DELIMITED:
        return None if value is None else value[1]
    return value[0] + value[1]


_FIXED_BYTES = {1: 8, 3: 0, 4: 0, 5: 4}
"""Wire type → the size of its content; 3 and 4 begin and end a group."""


def _varint_at(message: memoryview, position: int, end: int) -> tuple[int, int] | None:
    """Read a number of any length at `position`; return it and where it ends."""
    number = 0
    for shift, at in enumerate(range(position, min(position + _MOST_VARINT_BYTES, end))):
        number |= (message[at] & 127) << 7 * shift
        if message[at] < 128:
            return number, at + 1
    return None


def first_tensor_at(beginning: memoryview) -> int:
    """Return where the first tensor of a `ModelInferRequest` begins, given its first bytes; 0 if that isn't told."""
    position, end = 0, len(beginning)
    while position < end:
        tag = beginning[position]
        position += 1
        length = shift = 0
        while position < end and shift <= 28:
            byte = beginning[position]
            position += 1
            length |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        else:
            return 0
        if tag == _RAW_INPUT_CONTENTS:
            return position
        if tag & 7 != _LENGTH_DELIMITED:
            return 0
        position += length
    return 0


def varint(number: int) -> bytes:
    """Write an unsigned number, or a negative one as its two's complement of 64 bits."""
    if 0 <= number < 128:
        return bytes((number,))
    number &= 2**64 - 1
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    written.append(number)
    return bytes(written)


def length_delimited(field: int, content: bytes) -> bytes:
    """Write a field that holds bytes, a string or a message."""
    return field_head(field, len(content)) + content


def field_head(field: int, size_bytes: int) -> bytes:
    """Write what goes before the content of a field of `size_bytes`."""
    return varint(field << 3 | _LENGTH_DELIMITED) + varint(size_bytes)


def packed(field: int, numbers: Iterable[int]) -> bytes:
    """Write a repeated field of integers."""
    return length_delimited(field, b"".join([varint(number) for number in numbers]))
