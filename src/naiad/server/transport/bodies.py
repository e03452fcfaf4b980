# SPDX-License-Identifier: Apache-2.0
"""Where request bodies are received: memory that grows as bytes arrive, and a cap on all of it together.

A client's declared length is believed only as far as address space goes: memory becomes resident, and is charged,
when bytes arrive. May import numpy, `errors` and `protocol.http1`.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable

import numpy as np

from naiad.errors import NaiadError, UnavailableError
from naiad.protocol.http1.head import HttpError

_FIRST_BLOCK_BYTES = 64 * 1024 * 1024  # address space; moving so much later would hold up the event loop for 20 ms
_SMALL_BLOCK_BYTES = 64 * 1024
_HERE_BYTES = 16 * 1024
"""With so much of it here, a body is believed to be as long as it says."""
_ALIGNMENT_BYTES = 64


class BodyBudget:
    """The cap on the bytes of all request bodies that are being received or used, over all connections.

    Charged from the event loop and from threads that decompress; released from whichever thread drops the last view of
    a body, possibly inside the garbage collector, so `release` must take no lock. `received_bytes` is all that was
    ever charged.
    """

    __slots__ = ("_in_flight_bytes", "_lock", "_released", "limit_bytes", "received_bytes")

    def __init__(self, limit_bytes: int = 1 << 30) -> None:
        self.limit_bytes = limit_bytes
        self.received_bytes = 0
        self._in_flight_bytes = 0
        self._lock = threading.Lock()
        self._released: deque[int] = deque()

    @property
    def in_flight_bytes(self) -> int:
        """What is charged now."""
        with self._lock:
            return self._settle()

    def _settle(self) -> int:
        while self._released:
            self._in_flight_bytes -= self._released.popleft()
        return self._in_flight_bytes

    def admit(self, count: int) -> None:
        """Refuse a body of `count` bytes that would not fit now; nothing is set aside for one that does.

        Raises:
            HttpError: it could never fit (413).
            UnavailableError: it doesn't fit beside the others.
        """
        if count > self.limit_bytes:
            raise HttpError(
                413,
                f"request body of {count} bytes exceeds the {self.limit_bytes} bytes this server holds at a time; "
                "send a smaller batch, or start the server with a larger --http-max-bytes-in-flight",
            )
        if self.in_flight_bytes + count > self.limit_bytes:
            raise self._exceeded()

    def charge(self, count: int) -> None:
        """Count `count` bytes that have arrived.

        Raises:
            UnavailableError: they are too many.
        """
        with self._lock:
            if self._settle() + count > self.limit_bytes:
                raise self._exceeded()
            self._in_flight_bytes += count
            self.received_bytes += count

    def _exceeded(self) -> UnavailableError:
        return UnavailableError(
            f"request bodies in flight would exceed {self.limit_bytes} bytes over all connections; "
            "retry later, or send fewer large requests at once"
        )

    def release(self, count: int) -> None:
        """Give back `count` charged bytes; may be called from any thread."""
        self._released.append(count)


class BodyBuffer:
    """One request body as it arrives.

    A body of known length (`expected_bytes`) is received right here, through `room` and `advance`. Its byte number
    `align_at` (the first one behind the JSON part) lies on a multiple of 64, so that a tensor that starts there can be
    used in place. Address space for a long one is taken at once only if `here_bytes`, to be appended next, show that it
    comes: a process has 65,530 mappings. Exactly one of `finish` and `discard` ends the use of the object.
    """

    __slots__ = ("_align_at", "_array", "_budget", "_expected_bytes", "_view", "length")

    def __init__(
        self, budget: BodyBudget, expected_bytes: int | None, align_at: int = 0, here_bytes: int = _HERE_BYTES
    ) -> None:
        self.length = 0
        self._budget = budget
        self._expected_bytes = expected_bytes
        self._align_at = align_at
        first = _SMALL_BLOCK_BYTES if expected_bytes is None or here_bytes < _HERE_BYTES else _FIRST_BLOCK_BYTES
        self._array, self._view = _allocate(first if expected_bytes is None else min(first, expected_bytes), align_at)

    def room(self) -> memoryview:
        """Return where the next bytes go: at least one byte, and none behind the expected end."""
        if self.length == len(self._view):
            self._grow(self.length + 1)
        return self._view[self.length :]

    def advance(self, count: int) -> None:
        """Count `count` bytes that were written to `room`.

        Raises:
            UnavailableError: the server's budget is exceeded.
        """
        self._budget.charge(count)
        self.length += count

    def append(self, data: memoryview) -> None:
        """Copy `data` to the end.

        Raises:
            UnavailableError: the server's budget is exceeded.
        """
        end = self.length + len(data)
        self._budget.charge(len(data))
        if end > len(self._view):
            self._grow(end)
        self._view[self.length : end] = data
        self.length = end

    def finish(self) -> memoryview:
        """Return the body; its charge is given back when the last view of it is gone."""
        weakref.finalize(self._array, self._budget.release, self.length).atexit = False
        return self._view[: self.length].toreadonly()

    def discard(self) -> None:
        """Drop what was received, now: an error's traceback may keep this object for a while."""
        self._budget.release(self.length)
        self.length = 0
        self._array, self._view = _allocate(0, 0)

    def _grow(self, least_bytes: int) -> None:
        capacity = max(least_bytes, 2 * len(self._view))
        if self._expected_bytes is not None:
            capacity = min(max(capacity, _FIRST_BLOCK_BYTES), self._expected_bytes)
        array, view = _allocate(capacity, self._align_at)
        view[: self.length] = self._view[: self.length]
        self._array, self._view = array, view


def filled(budget: BodyBudget, fill: Callable[[BodyBuffer], None]) -> memoryview:
    """Return a body of what `fill` appends to it; nothing of it stays charged if that fails.

    Raises:
        NaiadError: as `fill`.
    """
    body = BodyBuffer(budget, None)
    try:
        fill(body)
    except NaiadError:
        body.discard()
        raise
    return body.finish()


def charged(budget: BodyBudget, size_bytes: int) -> memoryview:
    """Return memory to write to that counts as a request body does, until the last view of it is gone.

    Raises:
        UnavailableError: the server's budget is exceeded.
    """
    budget.charge(size_bytes)
    array, view = _allocate(size_bytes, 0)
    weakref.finalize(array, budget.release, size_bytes).atexit = False
    return view


def _allocate(size_bytes: int, align_at: int) -> tuple[np.ndarray[tuple[int], np.dtype[np.uint8]], memoryview]:
    """Return untouched memory, and the view of `size_bytes` of it whose byte `align_at` is aligned."""
    array = np.empty(size_bytes + _ALIGNMENT_BYTES, np.uint8)
    address: int = array.__array_interface__["data"][0]
    offset = -(address + align_at) % _ALIGNMENT_BYTES
    return array, array.data[offset : offset + size_bytes]
