# SPDX-License-Identifier: Apache-2.0
"""System shared memory: POSIX shared memory objects that clients register under a name.

Mirrors Triton's system shared memory extension. A region is mapped once, when it is registered, and unmapped when it
is unregistered and nothing looks at it any more: every view keeps the mapping it is a view of.

Only clients that are trusted should be allowed this. They may register any object that this process may open, and one
that cuts an object short at the moment when a request reads it ends this process, as it would end Triton.
May import numpy, `errors`, `snapshots` and its neighbour `regions`.
"""

import mmap
import os
import stat
from typing import Final, NamedTuple

import numpy as np

from naiad.errors import InternalError, InvalidArgumentError, UnsupportedError
from naiad.shm.regions import Regions, check_name
from naiad.snapshots import SharedMemoryRegion

_RESERVED_PREFIX: Final = "triton_python_backend_shm_region_"
"""Triton keeps clients away from what its own worker processes share."""


class _Bytes:
    """Bytes of a mapping for an output; keeps it mapped."""

    __slots__ = ("_view",)

    def __init__(self, view: memoryview) -> None:
        self._view = view

    def __len__(self) -> int:
        return len(self._view)

    def write(self, raw: memoryview | bytes, /) -> None:
        # By numpy, which lets other threads run meanwhile.
        np.copyto(np.frombuffer(self._view, np.uint8, len(raw)), np.frombuffer(raw, np.uint8))


class _SystemRegion(NamedTuple):
    """A registered region: bytes `start` to `start + described.size_bytes` of `mapping` (in bytes)."""

    described: SharedMemoryRegion
    mapping: mmap.mmap
    start: int

    def readable(self, offset: int, size_bytes: int) -> memoryview:
        return self._view(offset, size_bytes).toreadonly()

    def writable(self, offset: int, size_bytes: int) -> _Bytes:
        return _Bytes(self._view(offset, size_bytes))

    def _view(self, offset: int, size_bytes: int) -> memoryview:
        described, mapping, start = self
        # An object may have become smaller; to touch what was cut off would end this process.
        if mapping.size() < described.offset + described.size_bytes:
            raise InternalError(f"Invalid shared memory region: '{described.key}'")
        start += offset
        return memoryview(mapping)[start : start + size_bytes]


class SystemRegions:
    """The system regions among `regions`."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def register(self, name: str, key: str, offset: int, size_bytes: int) -> None:
        """Map `size_bytes` bytes of the shared memory object `key`, from `offset` on, as region `name`.

        Raises:
            AlreadyExistsError: the name is taken.
            InternalError: there is no such object.
            InvalidArgumentError: no name, a key that is not for clients, or the object is too small.
            UnsupportedError: shared memory is not allowed.
        """
        self._regions.check_allowed()
        check_name("system", name)
        _check_key(name, key)
        self._regions.check_free(name)
        described = SharedMemoryRegion(name, key, offset, size_bytes)
        try:
            descriptor = _open(key)
        except (OSError, ValueError):  # ValueError: a zero byte in the key
            raise InternalError(f"Unable to open shared memory region: '{key}'") from None
        try:
            self._regions.add(name, _map(described, descriptor))
        finally:
            os.close(descriptor)  # the mapping has its own

    def unregister(self, name: str = "") -> None:
        """Forget a system region, or without a name all of them; harmless if there is none.

        Raises:
            UnsupportedError: shared memory is not allowed.
        """
        self._regions.check_allowed()
        self._regions.forget(SharedMemoryRegion, name)

    def status(self, name: str = "") -> tuple[SharedMemoryRegion, ...]:
        """Describe a system region, or without a name all of them, by name.

        Raises:
            NotFoundError: there is none of that name (Triton's texts).
        """
        return self._regions.registered(SharedMemoryRegion, name)


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


def _map(described: SharedMemoryRegion, descriptor: int) -> _SystemRegion:
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
    return _SystemRegion(described, mmap.mmap(descriptor, start + size_bytes, offset=offset - start), start)
