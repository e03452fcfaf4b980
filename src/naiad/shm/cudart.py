# SPDX-License-Identifier: Apache-2.0
"""Memory of NVIDIA GPUs that another process owns, through CUDA's interprocess handles.

CUDA is reached through the package cuda-bindings (extra `gpu`), which is imported when a server starts whose clients
may register shared memory. **This has never run on a GPU**: tests use a stand-in for the functions named in `Cudart`
that behaves as NVIDIA documents them. May import numpy and `errors`.
"""

import ctypes
import importlib
import logging
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, cast

import numpy as np

from naiad.errors import InternalError, InvalidArgumentError

HANDLE_BYTES: Final = 64
"""The size of a `cudaIpcMemHandle_t`."""

_FIXES: Final[Mapping[str, str]] = {
    "cudaErrorInvalidDevice": "give the device_id of a GPU that nvidia-smi shows to the server",
    "cudaErrorMapBufferObjectFailed": "register memory of another process than the server's, which still is allocated",
    "cudaErrorInvalidResourceHandle": "register what cudaIpcGetMemHandle gave for memory that still is allocated",
    "cudaErrorInvalidValue": "register what cudaIpcGetMemHandle gave, with no more bytes than were allocated",
    "cudaErrorNotSupported": "use system shared memory, for this GPU or system has no interprocess handles",
}
"""CUDA's name of an error → what mends it."""
_OTHER_FIX: Final = "send the tensors in the request, and see what the kernel's log says of the GPU"

_log = logging.getLogger(__name__)

Allocate = Callable[[int], memoryview]
"""Returns so many bytes to write to; raises `UnavailableError` if there is no room for them now."""


class Cudart(Protocol):
    """What is used of the module `cuda.bindings.runtime`: functions return a `cudaError_t`, then their results."""

    cudaIpcMemLazyEnablePeerAccess: int  # noqa: N815 - CUDA's names
    cudaMemcpyKind: Any  # noqa: N815

    def cudaIpcMemHandle_t(self) -> Any:  # noqa: N802, ANN401 - opaque
        """Make an empty handle; `getPtr()` is the address of its bytes."""

    def cudaGetDeviceCount(self) -> tuple[Any, Any]:  # noqa: N802
        """Return how many GPUs there are."""

    def cudaSetDevice(self, device: int, /) -> tuple[Any]:  # noqa: N802
        """Choose the GPU that this thread uses."""

    def cudaMemGetInfo(self) -> tuple[Any, Any, Any]:  # noqa: N802
        """Return how many bytes the GPU has free, and how many in all."""

    def cudaIpcOpenMemHandle(self, handle: Any, flags: int, /) -> tuple[Any, Any]:  # noqa: N802, ANN401
        """Map another process's memory; return its address."""

    def cudaIpcCloseMemHandle(self, address: int, /) -> tuple[Any]:  # noqa: N802
        """Unmap it, when this was called as often as it was opened."""

    def cudaMemcpy(self, target: int, source: int, count: int, kind: Any, /) -> tuple[Any]:  # noqa: N802, ANN401
        """Copy bytes between addresses."""

    def cudaStreamSynchronize(self, stream: int, /) -> tuple[Any]:  # noqa: N802
        """Wait until what was begun is done."""


def find_cudart() -> Cudart | None:
    """Import cuda-bindings; None without it, or where it finds no GPU."""
    try:
        cudart = cast(Cudart, importlib.import_module("cuda.bindings.runtime"))
    except ImportError:
        return None
    error, count = cudart.cudaGetDeviceCount()
    return cudart if _is_success(error) and count else None


class CudaMemory:
    """Opens other processes' memory through `cudart`; what is read of it is copied to memory that `allocate` gives."""

    def __init__(self, cudart: Cudart, allocate: Allocate) -> None:
        self._cudart = cudart
        self._allocate = allocate

    def open(self, raw_handle: bytes, device_id: int, size_bytes: int) -> "DeviceMemory":
        """Map the `size_bytes` bytes that a process has made `raw_handle` for, on the GPU `device_id`.

        Raises:
            InternalError: CUDA refuses.
            InvalidArgumentError: no such GPU, or it has fewer bytes than that.
        """
        cudart = self._cudart
        count = _checked("cudaGetDeviceCount", cudart.cudaGetDeviceCount())
        if not 0 <= device_id < count:
            raise InvalidArgumentError(
                f"no GPU {device_id}, got {count}, numbered from 0; give the device_id of the GPU with the memory"
            )
        _checked("cudaSetDevice", cudart.cudaSetDevice(device_id))
        error, _, total_bytes = cudart.cudaMemGetInfo()
        _checked("cudaMemGetInfo", (error,))
        if size_bytes > total_bytes:
            raise InvalidArgumentError(
                f"byte_size {size_bytes} is over the {total_bytes} bytes of GPU {device_id}; give what was allocated"
            )
        handle = cudart.cudaIpcMemHandle_t()
        ctypes.memmove(handle.getPtr(), raw_handle, HANDLE_BYTES)
        opened = cudart.cudaIpcOpenMemHandle(handle, cudart.cudaIpcMemLazyEnablePeerAccess)
        return DeviceMemory(cudart, self._allocate, device_id, int(_checked("cudaIpcOpenMemHandle", opened)))


class DeviceMemory:
    """Another process's memory, mapped at `address`; unmapped when nothing refers to this any more. For any thread."""

    def __init__(self, cudart: Cudart, allocate: Allocate, device_id: int, address: int) -> None:
        self._cudart = cudart
        self._allocate = allocate
        self._device_id = device_id
        self._address = address
        weakref.finalize(self, _close, cudart, device_id, address).atexit = False

    def read(self, offset: int, size_bytes: int) -> memoryview:
        """Return a copy of bytes, read-only.

        Raises:
            InternalError: CUDA refuses.
            UnavailableError: there is no room for the copy.
        """
        copy = self._allocate(size_bytes)
        kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._copy(_address_of(copy), self._address + offset, size_bytes, kind)
        return copy.toreadonly()

    def write(self, offset: int, raw: memoryview | bytes) -> None:
        """Copy `raw` to `offset`.

        Raises:
            InternalError: CUDA refuses.
        """
        if raw:
            kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._copy(self._address + offset, _address_of(raw), len(raw), kind)

    def _copy(self, target: int, source: int, count: int, kind: Any) -> None:  # noqa: ANN401 - CUDA's enumeration
        cudart = self._cudart
        _checked("cudaSetDevice", cudart.cudaSetDevice(self._device_id))
        _checked("cudaMemcpy", cudart.cudaMemcpy(target, source, count, kind))
        # A copy to the device may return while its last bytes are still under way, and the client may look at once.
        _checked("cudaStreamSynchronize", cudart.cudaStreamSynchronize(0))


def _close(cudart: Cudart, device_id: int, address: int) -> None:
    try:
        _checked("cudaSetDevice", cudart.cudaSetDevice(device_id))
        _checked("cudaIpcCloseMemHandle", cudart.cudaIpcCloseMemHandle(address))
    except InternalError as error:
        _log.warning("a CUDA shared memory region stays mapped: %s", error)


def _checked(function: str, returned: tuple[Any, ...]) -> Any:  # noqa: ANN401 - whatever CUDA returns
    """Return the last result of a function, or raise InternalError with CUDA's name of what went wrong."""
    error = returned[0]
    if not _is_success(error):
        raise InternalError(f"{function} failed with {error.name}; {_FIXES.get(error.name, _OTHER_FIX)}")
    return returned[-1]


def _is_success(error: Any) -> bool:  # noqa: ANN401 - cudaError_t
    return bool(error.name == "cudaSuccess")


def _address_of(data: memoryview | bytes) -> int:
    return int(np.frombuffer(data, np.uint8).__array_interface__["data"][0])
