# SPDX-License-Identifier: Apache-2.0
"""System shared memory: POSIX shared memory objects that clients register under a name.

Mirrors Triton's system shared memory extension. A region is mapped once, when it is registered, and unmapped when it
is unregistered and nothing looks at it any more: every view keeps the mapping it is a view of.

Only clients that are trusted should be allowed this. They may register any object that this process may open, and one
that cuts an object short at the moment when a request reads it ends this process, as it would end Triton.
"""

import mmap
import os
import stat
from typing import Final, NamedTuple

from naiad.errors import AlreadyExistsError, InternalError, InvalidArgumentError, NotFoundError, UnsupportedError
from naiad.requests import SharedMemoryRange
from naiad.snapshots import SharedMemoryRegion

_RESERVED_PREFIX: Final = "triton_python_backend_shm_region_"
"""Triton keeps clients away from what its own worker processes share."""


class _Region(NamedTuple):
    """A registered region: bytes `start` to `start + described.size_bytes` of `mapping` (in bytes)."""

    described: SharedMemoryRegion
    mapping: mmap.mmap
    start: int

    def view(self, offset: int, size_bytes: int) -> memoryview:
        start = self.start + offset
        return memoryview(self.mapping)[start : start + size_bytes]

    def is_whole(self) -> bool:
        """Tell whether the object still is as large as it was; to touch what was cut off would end this process."""
        return self.mapping.size() >= self.described.offset + self.described.size_bytes


class Regions:
    """The regions that clients have registered; `allowed` tells whether they may.

    Regions are registered and unregistered on one thread; views may be taken on any.
    """

    def __init__(self, *, allowed: bool) -> None:
        self._allowed = allowed
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
        """Map `size_bytes` bytes of the shared memory object `key`, from `offset` on, as region `name`.

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
            descriptor = _open(key)
        except (OSError, ValueError):  # ValueError: a zero byte in the key
            raise InternalError(f"Unable to open shared memory region: '{key}'") from None
        try:
            self._regions[name] = _map(described, descriptor)
        finally:
            os.close(descriptor)  # the mapping has its own

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
        """Return the bytes at `place`, not a copy, for reading.

        Raises:
            InternalError: the shared memory object has become smaller.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
        """
        return self.writable(place).toreadonly()

    def writable(self, place: SharedMemoryRange) -> memoryview:
        """Return the bytes at `place` for writing.

        Raises:
            InternalError: the shared memory object has become smaller.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
        """
        name, offset, size_bytes = place
        region = self._regions.get(name)
        if region is None:
            raise NotFoundError(f"Unable to find shared memory region: '{name}'")
        if not 0 <= offset < region.described.size_bytes:
            raise InvalidArgumentError(f"Invalid offset for shared memory region: '{name}'")
        if not 0 < size_bytes <= region.described.size_bytes - offset:
            raise InvalidArgumentError(f"Invalid offset + byte size for shared memory region: '{name}'")
        if not region.is_whole():
            raise InternalError(f"Invalid shared memory region: '{region.described.key}'")
        return region.view(offset, size_bytes)


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


def _map(described: SharedMemoryRegion, descriptor: int) -> _Region:
    name, offset, size_bytes = described.name, described.offset, described.size_bytes
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise InternalError(f"Unable to open shared memory region: '{described.key}'")
    if offset + size_bytes > found.st_size:
        raise InvalidArgumentError(f"failed to register shared memory region '{name}': invalid args")
    if not size_bytes:
        raise InvalidArgumentError(
            f"failed to register shared memory region '{name}': unable to process address spaceInvalid argument"
        )
    start = offset % mmap.ALLOCATIONGRANULARITY  # mappings begin at whole pages only
    return _Region(described, mmap.mmap(descriptor, start + size_bytes, offset=offset - start), start)
