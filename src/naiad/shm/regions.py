# SPDX-License-Identifier: Apache-2.0
"""The regions of all clients, and system shared memory: POSIX shared memory objects registered under a name.

Mirrors Triton's system shared memory extension. A region is mapped once, when it is registered, and unmapped when it
is unregistered and nothing looks at it any more: every view keeps the mapping it is a view of. Regions of CUDA memory,
which `cuda` registers, have names here too: a name means one region, of either kind.

Only clients that are trusted should be allowed this. They may register any object that this process may open, and one
that cuts an object short at the moment when a request reads it ends this process, as it would end Triton.
"""

import mmap
import os
import stat
from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol, TypeVar

from naiad.errors import AlreadyExistsError, InternalError, InvalidArgumentError, NotFoundError, UnsupportedError
from naiad.requests import SharedMemoryRange
from naiad.shm.cudart import CudaMemory
from naiad.snapshots import CudaSharedMemoryRegion, SharedMemoryRegion

_RESERVED_PREFIX: Final = "triton_python_backend_shm_region_"
"""Triton keeps clients away from what its own worker processes share."""


_KINDS: Final[Mapping[type, str]] = {SharedMemoryRegion: "system", CudaSharedMemoryRegion: "CUDA"}
_Described = TypeVar("_Described", SharedMemoryRegion, CudaSharedMemoryRegion)


class RemotePlace(Protocol):
    """Bytes of a region that this process can't look at, but have an output copied into."""

    def __len__(self) -> int:
        """Return how many bytes there are."""

    def write(self, raw: memoryview | bytes, /) -> None:
        """Copy `raw` to their beginning; it is not longer than they are."""


class Region(Protocol):
    """A registered region; who asks for bytes of it has seen that they are within `described.size_bytes`."""

    @property
    def described(self) -> SharedMemoryRegion | CudaSharedMemoryRegion:
        """What was registered."""

    def readable(self, offset: int, size_bytes: int) -> memoryview:
        """Return bytes for reading."""

    def writable(self, offset: int, size_bytes: int) -> memoryview | RemotePlace:
        """Return where bytes can be written."""


class _SystemRegion(NamedTuple):
    """A registered region: bytes `start` to `start + described.size_bytes` of `mapping` (in bytes)."""

    described: SharedMemoryRegion
    mapping: mmap.mmap
    start: int

    def readable(self, offset: int, size_bytes: int) -> memoryview:
        return self.writable(offset, size_bytes).toreadonly()

    def writable(self, offset: int, size_bytes: int) -> memoryview:
        described, mapping, start = self
        # An object may have become smaller; to touch what was cut off would end this process.
        if mapping.size() < described.offset + described.size_bytes:
            raise InternalError(f"Invalid shared memory region: '{described.key}'")
        start += offset
        return memoryview(mapping)[start : start + size_bytes]


class Regions:
    """The regions that clients have registered, of both kinds; `allowed` tells whether they may.

    `cuda` reaches the memory of GPUs, None where that can't be. Regions are registered and unregistered on one thread;
    views may be taken on any.
    """

    def __init__(self, *, allowed: bool, cuda: CudaMemory | None = None) -> None:
        self.cuda = cuda
        self.allowed = allowed
        self._regions: dict[str, Region] = {}

    def check_allowed(self) -> None:
        """Raise Triton's error if clients may not register shared memory.

        Raises:
            UnsupportedError: they may not.
        """
        if not self.allowed:
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
        self.check_free(name)
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
        self.forget(SharedMemoryRegion, name)

    def status(self, name: str = "") -> tuple[SharedMemoryRegion, ...]:
        """Describe a system region, or without a name all of them.

        Raises:
            NotFoundError: as `registered`.
        """
        return self.registered(SharedMemoryRegion, name)

    def check_free(self, name: str) -> None:
        """Raise Triton's error if a region has that name.

        Raises:
            AlreadyExistsError: one has.
        """
        if name in self._regions:
            raise AlreadyExistsError(f"shared memory region '{name}' already in manager")

    def add(self, name: str, region: Region) -> None:
        """Take a region under a name that is free."""
        self._regions[name] = region

    def forget(self, kind: type[_Described], name: str) -> None:
        """Drop the region of that name, or without one all, but none that is not described by a `kind`."""
        for known in (name,) if name else tuple(self._regions):
            region = self._regions.get(known)
            if region is not None and isinstance(region.described, kind):
                del self._regions[known]

    def registered(self, kind: type[_Described], name: str) -> tuple[_Described, ...]:
        """Describe the region of that name, or without one all that are described by a `kind`.

        Raises:
            NotFoundError: there is no region of that name, or it is of the other kind (Triton's texts).
        """
        if not name:
            described = (region.described for region in self._regions.values())
            return tuple(one for one in described if isinstance(one, kind))
        region = self._regions.get(name)
        if region is None:
            raise NotFoundError(f"Unable to find {_KINDS[kind].lower()} shared memory region: '{name}'")
        if not isinstance(region.described, kind):
            wanted, other = _KINDS[kind], _KINDS[type(region.described)]
            raise NotFoundError(
                f"The region named '{name}' is registered as {other} shared memory, not {wanted} shared memory"
            )
        return (region.described,)

    def readable(self, place: SharedMemoryRange) -> memoryview:
        """Return the bytes at `place` for reading; not a copy, unless they are a GPU's.

        Raises:
            InternalError: the shared memory object has become smaller, or the GPU's memory can't be read.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
            UnavailableError: there is no room for a copy now.
        """
        return self._find(place).readable(place.offset, place.size_bytes)

    def writable(self, place: SharedMemoryRange) -> memoryview | RemotePlace:
        """Return the bytes at `place` for writing.

        Raises:
            InternalError: the shared memory object has become smaller.
            InvalidArgumentError: they are not all within the region (Triton's texts).
            NotFoundError: there is no such region (Triton's text).
        """
        return self._find(place).writable(place.offset, place.size_bytes)

    def _find(self, place: SharedMemoryRange) -> Region:
        """Return the region that `place` is within."""
        name, offset, size_bytes = place
        region = self._regions.get(name)
        if region is None:
            raise NotFoundError(f"Unable to find shared memory region: '{name}'")
        registered_bytes = region.described.size_bytes
        if not 0 <= offset < registered_bytes:
            raise InvalidArgumentError(f"Invalid offset for shared memory region: '{name}'")
        if not 0 < size_bytes <= registered_bytes - offset:
            raise InvalidArgumentError(f"Invalid offset + byte size for shared memory region: '{name}'")
        return region


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
