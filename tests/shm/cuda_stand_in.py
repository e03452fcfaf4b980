# SPDX-License-Identifier: Apache-2.0
"""A stand-in for `cuda.bindings.runtime`, which behaves as NVIDIA documents the functions that `Cudart` names."""

import ctypes
import enum
from types import SimpleNamespace
from typing import Any

GPU_BYTES = 1 << 20


class Error(enum.IntEnum):
    """Some values of `cudaError_t`."""

    cudaSuccess = 0  # noqa: N815 - CUDA's names
    cudaErrorInvalidValue = 1  # noqa: N815
    cudaErrorInvalidDevice = 101  # noqa: N815
    cudaErrorInvalidResourceHandle = 400  # noqa: N815


class Handle:
    """A `cudaIpcMemHandle_t`."""

    def __init__(self) -> None:
        self.raw = ctypes.create_string_buffer(64)

    def getPtr(self) -> int:  # noqa: N802 - the bindings' name
        return ctypes.addressof(self.raw)


class CudaStandIn:
    """Two GPUs; what `allocate` makes belongs to another process. `failing` fails the functions of those names."""

    cudaIpcMemLazyEnablePeerAccess = 1  # noqa: N815
    cudaMemcpyKind = SimpleNamespace(cudaMemcpyHostToDevice=1, cudaMemcpyDeviceToHost=2)  # noqa: N815

    def __init__(self) -> None:
        self.failing: dict[str, Error] = {}
        self.opened: dict[int, int] = {}
        """Address → how often it is opened now."""
        self._device = 0
        self._allocated: dict[bytes, tuple[int, Any]] = {}
        self._under_way: list[tuple[int, bytes]] = []

    def allocate(self, content: bytes, device: int = 0) -> tuple[bytes, Any]:
        """Make memory on a GPU; return its handle and the memory."""
        memory = ctypes.create_string_buffer(content, len(content))
        handle = bytes([len(self._allocated)]) * 64
        self._allocated[handle] = device, memory
        return handle, memory

    def cudaIpcMemHandle_t(self) -> Handle:  # noqa: N802
        return Handle()

    def cudaGetDeviceCount(self) -> tuple[Error, int | None]:  # noqa: N802
        failed = self.failing.get("cudaGetDeviceCount")
        return (Error.cudaSuccess, 2) if failed is None else (failed, None)

    def cudaSetDevice(self, device: int) -> tuple[Error]:  # noqa: N802
        if "cudaSetDevice" in self.failing or device not in (0, 1):
            return (self.failing.get("cudaSetDevice", Error.cudaErrorInvalidDevice),)
        self._device = device
        return (Error.cudaSuccess,)

    def cudaMemGetInfo(self) -> tuple[Error, int, int]:  # noqa: N802
        return Error.cudaSuccess, 0, GPU_BYTES

    def cudaIpcOpenMemHandle(self, handle: Handle, flags: int) -> tuple[Error, int | None]:  # noqa: N802
        device, memory = self._allocated.get(handle.raw.raw, (-1, None))
        if device != self._device or flags != 1 or memory is None:
            return Error.cudaErrorInvalidResourceHandle, None
        address = ctypes.addressof(memory)
        self.opened[address] = self.opened.get(address, 0) + 1
        return Error.cudaSuccess, address

    def cudaIpcCloseMemHandle(self, address: int) -> tuple[Error]:  # noqa: N802
        failed = self.failing.get("cudaIpcCloseMemHandle")
        if failed is not None or not self.opened.get(address) or self._device != self._device_of(address):
            return (failed or Error.cudaErrorInvalidValue,)
        self.opened[address] -= 1
        return (Error.cudaSuccess,)

    def cudaMemcpy(self, target: int, source: int, count: int, kind: int) -> tuple[Error]:  # noqa: N802
        """Copy, to a GPU not before `cudaStreamSynchronize`."""
        if not self._is_mapped(target if kind == 1 else source, count):
            return (Error.cudaErrorInvalidValue,)
        if kind == 1:
            self._under_way.append((target, ctypes.string_at(source, count)))
        else:
            ctypes.memmove(target, source, count)
        return (Error.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[Error]:  # noqa: N802
        for target, data in self._under_way:
            ctypes.memmove(target, data, len(data))
        self._under_way.clear()
        return (Error.cudaSuccess,)

    def _is_mapped(self, address: int, count: int) -> bool:
        for _, memory in self._allocated.values():
            start = ctypes.addressof(memory)
            if start <= address and address + count <= start + len(memory):
                return bool(self.opened.get(start))
        return False

    def _device_of(self, address: int) -> int:
        return next(device for device, memory in self._allocated.values() if ctypes.addressof(memory) == address)
