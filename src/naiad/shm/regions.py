# SPDX-License-Identifier: Apache-2.0
"""The regions that clients have registered, of both kinds: a name means one region, of either.

`system` registers shared memory objects here, `cuda` memory of GPUs. May import `errors`, `requests`, `snapshots` and
its neighbour `cudart`.
"""

from collections.abc import Mapping
from typing import Final, Protocol, TypeVar

from naiad.errors import AlreadyExistsError, InvalidArgumentError, NotFoundError, UnsupportedError
from naiad.requests import SharedMemoryRange
from naiad.shm.cudart import CudaMemory
from naiad.snapshots import CudaSharedMemoryRegion, SharedMemoryRegion

_KINDS: Final[Mapping[type, str]] = {SharedMemoryRegion: "system", CudaSharedMemoryRegion: "CUDA"}
_Described = TypeVar("_Described", SharedMemoryRegion, CudaSharedMemoryRegion)


class Writable(Protocol):
    """Bytes of a region into which an output is copied, and which stay mapped until nothing refers to this any more."""

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

    def writable(self, offset: int, size_bytes: int) -> Writable:
        """Return bytes for writing."""


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
        """Describe the region of that name, or without one all that are described by a `kind`, by name.

        Raises:
            NotFoundError: there is no region of that name, or it is of the other kind (Triton's texts).
        """
        if not name:
            described = (self._regions[known].described for known in sorted(self._regions))
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

    def writable(self, place: SharedMemoryRange) -> Writable:
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
        # Nothing at all is within a region too, but for where it begins: Triton looks for the place's last byte.
        if size_bytes < 0 or not 0 < offset + size_bytes <= registered_bytes:
            raise InvalidArgumentError(f"Invalid offset + byte size for shared memory region: '{name}'")
        return region


def check_name(kind: str, name: str) -> None:
    """Raise Triton's error for a region that is to be registered without a name; `kind` is `system` or `cuda`.

    Raises:
        InvalidArgumentError: there is none.
    """
    if not name:
        raise InvalidArgumentError(f"'region name' is necessary to register {kind} shared memory region")
