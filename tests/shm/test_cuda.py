# SPDX-License-Identifier: Apache-2.0
"""CUDA regions, on a stand-in for CUDA."""

import ctypes
import logging
import sys

import numpy as np
import pytest
from tests.shm.conftest import Shared
from tests.shm.cuda_stand_in import GPU_BYTES, CudaStandIn, Error

from naiad.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)
from naiad.requests import InferResponse, OutputTensor, SharedMemoryRange
from naiad.shm.cuda import CudaRegions
from naiad.shm.cudart import HANDLE_BYTES, CudaMemory, Cudart, find_cudart
from naiad.shm.outputs import SharedOutputs
from naiad.shm.regions import Regions
from naiad.shm.system import SystemRegions
from naiad.snapshots import CudaSharedMemoryRegion

CONTENT = bytes(range(64))


def allocate(size_bytes: int) -> memoryview:
    if size_bytes > 32:
        raise UnavailableError("full")
    return memoryview(bytearray(size_bytes))


@pytest.fixture
def cudart() -> CudaStandIn:
    return CudaStandIn()


@pytest.fixture
def regions(cudart: CudaStandIn) -> Regions:
    return Regions(allowed=True, cuda=CudaMemory(cudart, allocate))


@pytest.fixture
def cuda(regions: Regions) -> CudaRegions:
    return CudaRegions(regions)


def response(*values: int) -> InferResponse:
    data = np.array(values, np.int32)
    return InferResponse("m", "1", (OutputTensor("OUT", "INT32", data.shape, data),))


def test_an_input_is_copied_from_the_gpu(cudart: CudaStandIn, regions: Regions, cuda: CudaRegions) -> None:
    handle, memory = cudart.allocate(CONTENT, device=1)
    cuda.register("r", handle, 1, 64)
    read = regions.readable(SharedMemoryRange("r", 4, 8))
    assert (bytes(read), read.readonly) == (CONTENT[4:12], True)
    memory[4] = b"\xff"
    assert bytes(read) == CONTENT[4:12]
    assert regions.readable(SharedMemoryRange("r", 4, 1))[0] == 0xFF


def test_an_output_is_on_the_gpu_when_it_is_written(cudart: CudaStandIn, regions: Regions, cuda: CudaRegions) -> None:
    handle, memory = cudart.allocate(CONTENT)
    cuda.register("r", handle, 0, 64)
    SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 8, 32)}).write(response(1, 2))
    assert memory.raw == CONTENT[:8] + b"\x01\0\0\0\x02\0\0\0" + CONTENT[16:]


def test_an_output_larger_than_its_place_is_refused(cudart: CudaStandIn, regions: Regions, cuda: CudaRegions) -> None:
    handle, memory = cudart.allocate(CONTENT)
    cuda.register("r", handle, 0, 64)
    with pytest.raises(InternalError, match=r"output 'OUT' \(4 bytes\) should be at least 8 bytes to hold the results"):
        SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 0, 4)}).write(response(1, 2))
    assert memory.raw == CONTENT


@pytest.mark.parametrize(
    ("offset", "size_bytes", "text"),
    [(16, 1, "Invalid offset for"), (-1, 1, "Invalid offset for"), (15, 2, r"\+ byte")],
)
def test_nothing_outside_what_was_registered_is_reached(
    cudart: CudaStandIn, regions: Regions, cuda: CudaRegions, offset: int, size_bytes: int, text: str
) -> None:
    cuda.register("r", cudart.allocate(CONTENT)[0], 0, 16)
    for find in (regions.readable, regions.writable):
        with pytest.raises(InvalidArgumentError, match=text):
            find(SharedMemoryRange("r", offset, size_bytes))


def test_a_copy_for_which_there_is_no_room_is_refused(cudart: CudaStandIn, regions: Regions, cuda: CudaRegions) -> None:
    cuda.register("r", cudart.allocate(CONTENT)[0], 0, 64)
    with pytest.raises(UnavailableError, match="full"):
        regions.readable(SharedMemoryRange("r", 0, 33))


def test_memory_is_unmapped_when_it_is_unregistered_and_unused(
    cudart: CudaStandIn, regions: Regions, cuda: CudaRegions
) -> None:
    handle, memory = cudart.allocate(CONTENT, device=1)
    address = ctypes.addressof(memory)
    for name in ("r", "twin"):
        cuda.register(name, handle, 1, 64)
    outputs = SharedOutputs(regions, {"OUT": SharedMemoryRange("r", 0, 4)})
    cudart.cudaSetDevice(0)
    cuda.unregister("twin")
    assert cudart.opened == {address: 1}
    cuda.unregister("r")
    assert cudart.opened == {address: 1}
    outputs.write(response(9))
    assert memory.raw[:4] == b"\x09\0\0\0"
    del outputs
    assert cudart.opened == {address: 0}


def test_what_can_not_be_unmapped_is_logged(
    cudart: CudaStandIn, cuda: CudaRegions, caplog: pytest.LogCaptureFixture
) -> None:
    cuda.register("r", cudart.allocate(CONTENT)[0], 0, 64)
    cudart.failing["cudaIpcCloseMemHandle"] = Error.cudaErrorInvalidValue
    with caplog.at_level(logging.WARNING):
        cuda.unregister()
    assert "a CUDA shared memory region stays mapped: cudaIpcCloseMemHandle failed with" in caplog.text


def test_a_name_means_one_region_of_either_kind(
    cudart: CudaStandIn, regions: Regions, cuda: CudaRegions, shared: Shared
) -> None:
    system = SystemRegions(regions)
    handle, _ = cudart.allocate(CONTENT)
    system.register("system", shared.name, 0, 64)
    cuda.register("cuda", handle, 0, 64)
    with pytest.raises(AlreadyExistsError, match="shared memory region 'system' already in manager"):
        cuda.register("system", handle, 0, 64)
    with pytest.raises(AlreadyExistsError, match="shared memory region 'cuda' already in manager"):
        system.register("cuda", shared.name, 0, 64)
    assert cuda.status() == cuda.status("cuda") == (CudaSharedMemoryRegion("cuda", 0, 64),)
    assert [region.name for region in system.status()] == ["system"]
    with pytest.raises(NotFoundError, match="'system' is registered as system shared memory, not CUDA shared memory"):
        cuda.status("system")
    with pytest.raises(NotFoundError, match="'cuda' is registered as CUDA shared memory, not system shared memory"):
        system.status("cuda")
    for unregister in (cuda.unregister, system.unregister):
        unregister("system" if unregister == cuda.unregister else "cuda")
    assert len(cuda.status() + system.status()) == 2
    cuda.unregister()
    assert (cuda.status(), len(system.status())) == ((), 1)
    system.unregister()
    assert system.status() == ()


@pytest.mark.parametrize(
    ("handle", "device", "size_bytes", "kind", "text"),
    [
        (b"short", 0, 4, InvalidArgumentError, "'raw_handle' must have 64 bytes, got 5; send"),
        (None, 2, 4, InvalidArgumentError, "no GPU 2, got 2, numbered from 0; give"),
        (None, -1, 4, InvalidArgumentError, "no GPU -1, got 2"),
        (None, 2**64 - 1, 4, InvalidArgumentError, "no GPU 18446744073709551615"),
        (None, 0, GPU_BYTES + 1, InvalidArgumentError, "byte_size 1048577 is over the 1048576 bytes of GPU 0; give"),
        (b"?" * 64, 0, 4, InternalError, "cudaIpcOpenMemHandle failed with cudaErrorInvalidResourceHandle; register"),
        (None, 1, 4, InternalError, "cudaIpcOpenMemHandle failed with cudaErrorInvalidResourceHandle; register"),
    ],
)
def test_what_can_not_be_registered_is_told_with_a_fix(
    cudart: CudaStandIn, cuda: CudaRegions, handle: bytes | None, device: int, size_bytes: int, kind: type, text: str
) -> None:
    good, _ = cudart.allocate(CONTENT)
    with pytest.raises((InternalError, InvalidArgumentError)) as caught:
        cuda.register("r", handle or good, device, size_bytes)
    assert type(caught.value) is kind
    assert str(caught.value).startswith(f"failed to register CUDA shared memory region 'r': {text}")
    assert cuda.status() == ()
    assert not any(cudart.opened.values())


def test_what_cuda_refuses_later_is_told_by_its_name(cudart: CudaStandIn, regions: Regions, cuda: CudaRegions) -> None:
    cuda.register("r", cudart.allocate(CONTENT)[0], 0, 128)  # more than there is, as CUDA finds when it copies
    with pytest.raises(InternalError, match=r"^cudaMemcpy failed with cudaErrorInvalidValue; register"):
        regions.readable(SharedMemoryRange("r", 60, 8))
    cudart.failing["cudaSetDevice"] = Error.cudaErrorInvalidDevice
    with pytest.raises(InternalError, match=r"^cudaSetDevice failed with cudaErrorInvalidDevice; give"):
        regions.readable(SharedMemoryRange("r", 0, 8))
    cudart.failing.clear()


def test_without_cuda_there_are_none_and_none_can_be_registered() -> None:
    cuda = CudaRegions(Regions(allowed=True))
    assert cuda.status() == ()
    cuda.unregister()
    with pytest.raises(NotFoundError, match="Unable to find cuda shared memory region: 'r'"):
        cuda.status("r")
    with pytest.raises(InvalidArgumentError) as caught:
        cuda.register("r", bytes(64), 0, 4)
    assert str(caught.value) == "failed to register CUDA shared memory region: 'r', GPUs not supported"
    with pytest.raises(InvalidArgumentError, match="'region name' is necessary to register cuda shared memory region"):
        cuda.register("", bytes(64), 0, 4)


def test_whether_shared_memory_is_allowed_is_asked_first() -> None:
    cuda = CudaRegions(Regions(allowed=False))
    with pytest.raises(UnsupportedError, match="Client shared memory is disabled"):
        cuda.register("r", b"", 0, 0)
    with pytest.raises(UnsupportedError, match="Client shared memory is disabled"):
        cuda.unregister()


@pytest.mark.parametrize(("error", "found"), [(None, True), (Error.cudaErrorInvalidDevice, False)])
def test_cuda_is_there_with_bindings_and_a_gpu(
    monkeypatch: pytest.MonkeyPatch, cudart: CudaStandIn, error: Error | None, found: bool
) -> None:
    if error is not None:
        cudart.failing["cudaGetDeviceCount"] = error
    monkeypatch.setattr("importlib.import_module", lambda name: {"cuda.bindings.runtime": cudart}[name])
    assert (find_cudart() is not None) is found


def test_cuda_is_not_there_without_bindings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda.bindings.runtime", None)
    assert find_cudart() is None


def test_the_stand_in_has_what_the_bindings_have() -> None:
    bindings = pytest.importorskip("cuda.bindings.runtime")
    used = {name for name in vars(Cudart) if name.startswith("cuda")} | set(Cudart.__annotations__)
    assert len(used) == 10
    for cudart in (bindings, CudaStandIn()):
        assert used - set(dir(cudart)) == set()
        handle = cudart.cudaIpcMemHandle_t()
        ctypes.memmove(handle.getPtr(), CONTENT, HANDLE_BYTES)
        assert ctypes.string_at(handle.getPtr(), HANDLE_BYTES) == CONTENT
        error, *_ = cudart.cudaGetDeviceCount()
        assert error.name.startswith("cuda")
    assert bindings.cudaIpcMemLazyEnablePeerAccess == CudaStandIn.cudaIpcMemLazyEnablePeerAccess
    assert {"cudaMemcpyHostToDevice", "cudaMemcpyDeviceToHost"} <= set(dir(bindings.cudaMemcpyKind))
