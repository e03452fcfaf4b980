# SPDX-License-Identifier: Apache-2.0
"""CUDA shared memory: memory of GPUs that clients register under a name, by its interprocess handle.

Mirrors Triton's CUDA shared memory extension. Inputs are copied from the GPU when a request is read, outputs to it when
it is answered. May import `errors`, `snapshots` and its neighbours `cudart` and `regions`.
"""

from typing import NamedTuple

from naiad.errors import InternalError, InvalidArgumentError
from naiad.shm.cudart import HANDLE_BYTES, DeviceMemory
from naiad.shm.regions import Regions, check_name
from naiad.snapshots import CudaSharedMemoryRegion


class _Bytes:
    """Bytes of a GPU for an output; keeps them mapped."""

    __slots__ = ("_memory", "_offset", "_size_bytes")

    def __init__(self, memory: DeviceMemory, offset: int, size_bytes: int) -> None:
        self._memory = memory
        self._offset = offset
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        return self._size_bytes

    def write(self, raw: memoryview | bytes, /) -> None:
        self._memory.write(self._offset, raw)


class _CudaRegion(NamedTuple):
    """A registered region and what it is made of."""

    described: CudaSharedMemoryRegion
    memory: DeviceMemory

    def readable(self, offset: int, size_bytes: int) -> memoryview:
        return self.memory.read(offset, size_bytes)

    def writable(self, offset: int, size_bytes: int) -> _Bytes:
        return _Bytes(self.memory, offset, size_bytes)


class CudaRegions:
    """The CUDA regions among `regions`; none can be registered where those have no `cuda`."""

    def __init__(self, regions: Regions) -> None:
        self._regions = regions

    def register(self, name: str, raw_handle: bytes, device_id: int, size_bytes: int) -> None:
        """Map the memory behind an interprocess handle as region `name`.

        Raises:
            AlreadyExistsError: the name is taken.
            InternalError: CUDA refuses, by its name of the error.
            InvalidArgumentError: no name, a wrong handle, device or size, or no GPU or no bindings here.
            UnsupportedError: shared memory is not allowed.
        """
        self._regions.check_allowed()
        check_name("cuda", name)
        self._regions.check_free(name)
        cuda = self._regions.cuda
        if cuda is None:
            raise InvalidArgumentError(f"failed to register CUDA shared memory region: '{name}', GPUs not supported")
        if len(raw_handle) != HANDLE_BYTES:
            raise InvalidArgumentError(
                f"failed to register CUDA shared memory region '{name}': 'raw_handle' must have {HANDLE_BYTES} bytes, "
                f"got {len(raw_handle)}; send the bytes of a cudaIpcMemHandle_t"
            )
        try:
            memory = cuda.open(raw_handle, device_id, size_bytes)
        except (InternalError, InvalidArgumentError) as error:
            raise type(error)(f"failed to register CUDA shared memory region '{name}': {error}") from None
        self._regions.add(name, _CudaRegion(CudaSharedMemoryRegion(name, device_id, size_bytes), memory))

    def unregister(self, name: str = "") -> None:
        """Forget a CUDA region, or without a name all of them; harmless if there is none.

        Raises:
            UnsupportedError: shared memory is not allowed.
        """
        self._regions.check_allowed()
        self._regions.forget(CudaSharedMemoryRegion, name)

    def status(self, name: str = "") -> tuple[CudaSharedMemoryRegion, ...]:
        """Describe a CUDA region, or without a name all of them.

        Raises:
            NotFoundError: there is none of that name (Triton's texts).
        """
        return self._regions.registered(CudaSharedMemoryRegion, name)
