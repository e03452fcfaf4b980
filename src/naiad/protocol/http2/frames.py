# SPDX-License-Identifier: Apache-2.0
"""Frames as they are on the wire (RFC 9113 §4, §6): their types, flags and settings, and how to write them."""

import struct
from collections.abc import Iterable
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9

END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113 §3.4)."""

DEFAULT_WINDOW_BYTES: Final = 65_535
DEFAULT_FRAME_BYTES: Final = 16_384
DEFAULT_HEADER_TABLE_BYTES: Final = 4096
MAX_WINDOW_BYTES: Final = 2**31 - 1
MAX_STREAM_ID: Final = 2**31 - 1
HEADER_BYTES: Final = 9

HEADER: Final = struct.Struct(">BHBBI")
"""A frame's header: length (its highest byte apart), type, flags, stream id (whose highest bit is reserved)."""

_CONTROL: Final = struct.Struct(">BHBBII")
_SETTING: Final = struct.Struct(">HI")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return a whole frame."""
    size = len(payload)
    return HEADER.pack(size >> 16, size & 0xFFFF, kind, flags, stream_id) + payload


def data_header(size: int, flags: int, stream_id: int) -> bytes:
    """Return the header of a DATA frame of `size` bytes."""
    return HEADER.pack(size >> 16, size & 0xFFFF, DATA, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return _CONTROL.pack(0, 4, WINDOW_UPDATE, 0, stream_id, increment)


def rst_stream(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame."""
    return _CONTROL.pack(0, 4, RST_STREAM, 0, stream_id, code)


def settings(pairs: Iterable[tuple[int, int]]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(*pair) for pair in pairs))


def read_settings(payload: memoryview) -> Iterable[tuple[int, int]]:
    """Return the settings in a SETTINGS frame, whose size must be a multiple of 6."""
    return _SETTING.iter_unpack(payload)


SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)


def goaway(last_stream_id: int, code: int, text: str = "") -> bytes:
    """Return a GOAWAY frame; `text` is its debug data."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last_stream_id, code) + text.encode())
