# SPDX-License-Identifier: Apache-2.0
"""System shared memory: POSIX shared memory objects that clients register under a name.

Mirrors Triton's system shared memory extension. An object is opened once, when it is registered, and closed when it is
unregistered and no request needs it any more. It is read and written through its descriptor, never mapped: a client
may cut its object short at any moment, and to touch what was cut off a mapping would end this process, as it ends
Triton. So the kernel copies, and tells how far it came. That is one copy of each input, which a mapping would save.
Systems whose shared memory can only be mapped, such as macOS, get an error.

Only clients that are trusted should be allowed this: they may register any object that this process may open.
"""

import os
import stat
from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from naiad.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    NaiadError,
    NotFoundError,
    UnsupportedError,
)
from naiad.requests import SharedMemoryRange
from naiad.snapshots import SharedMemoryRegion

_RESERVED_PREFIX: Final = "triton_python_backend_shm_region_"
"""Triton keeps clients away from what its own worker processes share."""


class Receiver(Protocol):
    """Memory of a known size that is filled from front to back; `server.bodies.BodyBuffer` is one."""

    def room(self) -> memoryview:
        """Return where the next bytes go: at least one byte, and none behind the end."""

    def advance(self, count: int, /) -> None:
        """Count `count` bytes that were written there; may refuse with an `UnavailableError`."""

    def finish(self) -> memoryview:
        """Return all of it, to be read only."""

    def discard(self) -> None:
        """Drop it."""


class _Object:
    """An open shared memory object, called `key`; it is closed when nobody refers to it any more."""

    __slots__ = ("descriptor", "key")

    def __init__(self, key: str, descriptor: int) -> None:
        self.key = key
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)

    def check_size(self, end: int) -> None:
        """Raise an error if the object ends before byte `end`.

        Raises:
            InternalError: it does.
        """
        if os.fstat(self.descriptor).st_size < end:
            raise self.too_small()

    def too_small(self) -> InternalError:
        return InternalError(f"Invalid shared memory region: '{self.key}'")


class Place(NamedTuple):
    """Where an output goes: `size_bytes` bytes from byte `at` of an object, which stays open for it."""

    opened: _Object
    at: int
    size_bytes: int

    def write(self, data: memoryview | bytes) -> None:
        """Copy `data`, no longer than the place, to its beginning.

        Raises:
            InternalError: the object has become smaller, or the system has no memory for it.
        """
        # Writing beyond the end would make the object grow.
        self.opened.check_size(self.at + len(data))
        view, at = memoryview(data), self.at
        try:
            while view:
                count = os.pwrite(self.opened.descriptor, view, at)
                view, at = view[count:], at + count
        except OSError as error:
            raise InternalError(
                f"unable to write into shared memory region: '{self.opened.key}': {error.strerror}"
            ) from error


class _Region(NamedTuple):
    """A registered region of an object."""

    described: SharedMemoryRegion
    opened: _Object


class Regions:
    """The regions that clients have registered; `allowed` tells whether they may.

    What is read of them goes into what `receive` makes for so many bytes. Regions are registered and unregistered on
    one thread; they may be read and written on any.
    """

    def __init__(self, *, allowed: bool, receive: Callable[[int], Receiver]) -> None:
        self._allowed = allowed
        self._receive = receive
        self._regions: dict[str, _Region] = {}

    def check_allowed(self) -> None:
        """Raise Triton's error if clients may not register shared memory.

        Raises:
            UnsupportedError: they may not.
        """
        if not self._allowed:
            raise UnsupportedError(
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
            )

    def register(self, name: str, key: str, offset: int, size_bytes: int) -> None:
        """Open `size_bytes` bytes of the shared memory object `key`, from `offset` on, as region `name`.

        Raises:
            AlreadyExistsError: the name is taken.
            InternalError: there is no such object.
            InvalidArgumentError: no name, a key that is not for clients, or the object is too small.
            UnsupportedError: shared memory is not allowed.
        """
        self.check_allowed()
        if not name:
            raise InvalidArgumentError("'region name' is necessary to register system shared memory region")
        _check_key(name, key)
        if name in self._regions:
            raise AlreadyExistsError(f"shared memory region '{name}' already in manager")
        described = SharedMemoryRegion(name, key, offset, size_bytes)
        try:
            opened = _Object(key, _open(key))
        except (OSError, ValueError):  # ValueError: a zero byte in the key
            raise InternalError(f"Unable to open shared memory region: '{key}'") from None
        _check_object(described, opened)
        self._regions[name] = _Region(described, opened)

    def unregister(self, name: str = "") -> None:
        """Forget a region, or without a name all of them; harmless if there is none.

        Raises:
            UnsupportedError: shared memory is not allowed.
        """
        self.check_allowed()
        if name:
            self._regions.pop(name, None)
        else:
            self._regions.clear()

    def status(self, name: str = "") -> tuple[SharedMemoryRegion, ...]:
        """Describe a region, or without a name all of them.

        Raises:
            NotFoundError: there is no region of that name (Triton's text).
        """
        if not name:
            return tuple(region.described for region in self._regions.values())
        region = self._regions.get(name)
        if region is None:
            raise NotFoundError(f"Unable to find system shared memory region: '{name}'")
        return (region.described,)

    def readable(self, place: SharedMemoryRange) -> memoryview:
        """Return a copy of the bytes at `place`, for reading.

        Raises:
            InternalError: the shared memory object has become smaller.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
            UnavailableError: there is no memory for the copy now.
        """
        opened, at, size_bytes = self._find(place)
        receiver = self._receive(size_bytes)
        try:
            end = at + size_bytes
            while at < end:
                count = os.preadv(opened.descriptor, (receiver.room(),), at)
                if not count:
                    raise opened.too_small()
                receiver.advance(count)
                at += count
        except OSError as error:
            receiver.discard()
            raise InternalError(
                f"unable to read shared memory region: '{opened.key}': {error.strerror}; send the tensor in the request"
            ) from error
        except NaiadError:
            receiver.discard()
            raise
        return receiver.finish()

    def writable(self, place: SharedMemoryRange) -> Place:
        """Return where the bytes at `place` are, for writing.

        Raises:
            InternalError: the shared memory object has become smaller.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
        """
        found = self._find(place)
        found.opened.check_size(found.at + found.size_bytes)
        return found

    def _find(self, place: SharedMemoryRange) -> Place:
        name, offset, size_bytes = place
        region = self._regions.get(name)
        if region is None:
            raise NotFoundError(f"Unable to find shared memory region: '{name}'")
        described = region.described
        if not 0 <= offset < described.size_bytes:
            raise InvalidArgumentError(f"Invalid offset for shared memory region: '{name}'")
        if not 0 < size_bytes <= described.size_bytes - offset:
            raise InvalidArgumentError(f"Invalid offset + byte size for shared memory region: '{name}'")
        return Place(region.opened, described.offset + offset, size_bytes)


def _check_key(name: str, key: str) -> None:
    own = key.lstrip("/")
    if key and not own:
        raise InvalidArgumentError(
            f"failed to register shared memory region '{name}': invalid shared memory key '{key}'"
        )
    if own.startswith(_RESERVED_PREFIX):
        raise InvalidArgumentError(
            f"cannot register shared memory region '{name}' with key '{key}' as the key contains the reserved prefix "
            f"'{_RESERVED_PREFIX}'"
        )


def _open(key: str) -> int:
    """Open a shared memory object; return its descriptor.

    It takes a name, not a path: the C library refuses those with a slash within and follows no links, so that nothing
    but shared memory objects can be reached.
    """
    try:
        # What `multiprocessing.shared_memory` is made of; typeshed has no stub.
        from _posixshmem import shm_open  # type: ignore[import-not-found]  # noqa: PLC0415 - not on every platform
    except ImportError:
        raise UnsupportedError("system shared memory needs a POSIX system; send tensors in the request") from None
    return int(shm_open(key, os.O_RDWR, 0))


def _check_object(described: SharedMemoryRegion, opened: _Object) -> None:
    """Refuse what is no shared memory object, or too small for the region; the texts are Triton's."""
    found = os.fstat(opened.descriptor)
    refused = f"failed to register shared memory region '{described.name}'"
    if not stat.S_ISREG(found.st_mode):
        raise InternalError(f"Unable to open shared memory region: '{described.key}'")
    if described.offset + described.size_bytes > found.st_size:
        raise InvalidArgumentError(f"{refused}: invalid args")
    if not described.size_bytes:
        raise InvalidArgumentError(f"{refused}: unable to process address spaceInvalid argument")
