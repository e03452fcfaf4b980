# SPDX-License-Identifier: Apache-2.0
"""Messages in the body of a gRPC call: a byte that tells whether it is compressed, four that tell its length, itself.

May import its neighbour `call` and the standard library.
"""

import struct
from collections.abc import Callable
from typing import NamedTuple, Protocol

from naiad.protocol.grpc.call import GrpcError, GrpcStatus

MAX_MESSAGE_BYTES = 2**31 - 1
"""Triton's limit, both ways."""

_PREFIX = struct.Struct(">BI")
_SMALL_BYTES = 64 * 1024
"""A message up to this size that comes in one piece is copied out, and not charged to anyone's budget."""


class Message(NamedTuple):
    """One message as it came."""

    data: memoryview
    compressed: bool


class MessageBuffer(Protocol):
    """Where one message is received; exactly one of `finish` and `discard` ends its use."""

    def append(self, data: memoryview, /) -> None:
        """Copy `data` to the end."""

    def room(self) -> memoryview:
        """Return where the next bytes go, at least one."""

    def advance(self, count: int, /) -> None:
        """Count bytes that were written to `room`."""

    def finish(self) -> memoryview:
        """Return the message."""

    def discard(self) -> None:
        """Drop what was received."""


Allocate = Callable[[int, memoryview], MessageBuffer]
"""Makes room for a message of so many bytes; the view holds its first ones, as far as they are here."""


class MessageReader:
    """Joins the messages of one call, however they are cut; each goes to `on_message`.

    `received_bytes` counts the bytes of the message that is not complete yet, None between messages.
    """

    __slots__ = ("_allocate", "_buffer", "_compressed", "_left", "_on_message", "_prefix", "received_bytes")

    def __init__(self, allocate: Allocate, on_message: Callable[[Message], None]) -> None:
        self._allocate = allocate
        self._on_message = on_message
        self._prefix = b""
        self._buffer: MessageBuffer | None = None
        self._left = 0
        self._compressed = False
        self.received_bytes: int | None = None

    def append(self, data: memoryview) -> None:
        """Take bytes of the call's body; `data` is not needed after the call.

        Raises:
            GrpcError: they are no message, or one that is too large.
            NaiadError: there is no memory for it, or what `on_message` raises.
        """
        position, end = 0, len(data)
        while position < end:
            if self._buffer is not None:
                position = self._fill(self._buffer, data, position)
                continue
            if self._prefix or end - position < _PREFIX.size:
                position = self._complete_prefix(data, position)
                if len(self._prefix) < _PREFIX.size:
                    return
                size = self._read_prefix(self._prefix, 0)
                self._prefix = b""
            else:
                size = self._read_prefix(data, position)
                position += _PREFIX.size
            stop = position + size
            if stop <= end and size <= _SMALL_BYTES:
                self.received_bytes = None
                self._on_message(Message(memoryview(bytes(data[position:stop])), self._compressed))
                position = stop
                continue
            self._buffer = self._allocate(size, data[position:stop])
            self._left = size
        if self._buffer is not None and not self._left:
            self._finish(self._buffer)

    def _complete_prefix(self, data: memoryview, position: int) -> int:
        stop = position + _PREFIX.size - len(self._prefix)
        self._prefix += bytes(data[position:stop])
        self.received_bytes = len(self._prefix)
        return min(stop, len(data))

    def _read_prefix(self, data: memoryview | bytes, position: int) -> int:
        flag, size = _PREFIX.unpack_from(data, position)
        if flag > 1:
            raise GrpcError(GrpcStatus.INTERNAL, f"a message begins with {flag}, expected 0 or 1 (compressed)")
        if size > MAX_MESSAGE_BYTES:
            raise GrpcError(
                GrpcStatus.RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {MAX_MESSAGE_BYTES})"
            )
        self._compressed = bool(flag)
        self.received_bytes = 0
        return int(size)

    def _fill(self, buffer: MessageBuffer, data: memoryview, position: int) -> int:
        count = min(self._left, len(data) - position)
        buffer.append(data[position : position + count])
        self._count(buffer, count)
        return position + count

    def _count(self, buffer: MessageBuffer, count: int) -> None:
        self._left -= count
        self.received_bytes = (self.received_bytes or 0) + count
        if not self._left:
            self._finish(buffer)

    def _finish(self, buffer: MessageBuffer) -> None:
        self._buffer = None
        self.received_bytes = None
        self._on_message(Message(buffer.finish(), self._compressed))

    def room(self, most_bytes: int) -> memoryview | None:
        """Return where up to `most_bytes` of a message can be received directly; None between messages."""
        return None if self._buffer is None else self._buffer.room()[: min(most_bytes, self._left)]

    def advance(self, count: int) -> None:
        """Count bytes that were received in `room`.

        Raises:
            NaiadError: as `append`.
        """
        if self._buffer is not None:
            self._buffer.advance(count)
            self._count(self._buffer, count)

    def discard(self) -> None:
        """Drop a message that has begun."""
        buffer, self._buffer = self._buffer, None
        self._prefix = b""
        self.received_bytes = None
        if buffer is not None:
            buffer.discard()


def message_prefix(size_bytes: int, compressed: bool = False) -> bytes:
    """Return what goes before a message of `size_bytes`.

    Raises:
        GrpcError: it is too large.
    """
    if size_bytes > MAX_MESSAGE_BYTES:
        raise GrpcError(
            GrpcStatus.RESOURCE_EXHAUSTED, f"Sent message larger than max ({size_bytes} vs. {MAX_MESSAGE_BYTES})"
        )
    return _PREFIX.pack(compressed, size_bytes)
