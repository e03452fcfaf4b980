# SPDX-License-Identifier: Apache-2.0
"""Whether a client takes what its transport holds for it. Imports nothing of the other rooms."""

from typing import Protocol


class WriteBuffer(Protocol):
    """The part of an `asyncio` transport that is watched."""

    def get_write_buffer_size(self) -> int:
        """Return how many bytes were written to it and not sent yet."""


class UnsentWatch:
    """Notes when a client has last taken some of what is unsent, so that one that takes nothing can be cut.

    Looked at from time to time, not when bytes go. Once nothing is unsent there is nothing to take: what is waited for
    then, the client's goodbye, has no more time than the last bytes left it.
    """

    __slots__ = ("_since_s", "_unsent_bytes")

    def __init__(self) -> None:
        self._unsent_bytes = 0
        self._since_s = 0.0

    def begin(self, buffer: WriteBuffer, now_s: float) -> None:
        """Begin to watch, at `now_s`."""
        self._unsent_bytes = buffer.get_write_buffer_size()
        self._since_s = now_s

    def is_stuck(self, buffer: WriteBuffer, now_s: float, limit_s: float) -> bool:
        """Tell whether, by `now_s`, the client has taken nothing for longer than `limit_s`."""
        unsent_bytes = buffer.get_write_buffer_size()
        if 0 < unsent_bytes < self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self._since_s = now_s
            return False
        return now_s - self._since_s > limit_s
