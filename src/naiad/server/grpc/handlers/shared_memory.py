# SPDX-License-Identifier: Apache-2.0
"""Registering shared memory, system and CUDA."""

from naiad.config.proto import service_pb2
from naiad.protocol.grpc import documents
from naiad.server.grpc.call import Call
from naiad.shm.cuda import CudaRegions
from naiad.shm.regions import Regions
from naiad.shm.system import SystemRegions


class SharedMemoryMethods:
    """Answers about `regions`."""

    def __init__(self, regions: Regions) -> None:
        self._system_regions = SystemRegions(regions)
        self._cuda_regions = CudaRegions(regions)

    def status(self, call: Call, message: memoryview) -> None:
        """`SystemSharedMemoryStatus`: of one region, or without a name, of all."""
        request = documents.parse(service_pb2.SystemSharedMemoryStatusRequest, message)
        call.answer(documents.regions(self._system_regions.status(request.name)))

    def register(self, call: Call, message: memoryview) -> None:
        """`SystemSharedMemoryRegister`."""
        request = documents.parse(service_pb2.SystemSharedMemoryRegisterRequest, message)
        self._system_regions.register(request.name, request.key, request.offset, request.byte_size)
        call.answer()

    def unregister(self, call: Call, message: memoryview) -> None:
        """`SystemSharedMemoryUnregister`: one region, or without a name, all."""
        request = documents.parse(service_pb2.SystemSharedMemoryUnregisterRequest, message)
        self._system_regions.unregister(request.name)
        call.answer()

    def cuda_status(self, call: Call, message: memoryview) -> None:
        """`CudaSharedMemoryStatus`: of one region, or without a name, of all."""
        request = documents.parse(service_pb2.CudaSharedMemoryStatusRequest, message)
        call.answer(documents.cuda_regions(self._cuda_regions.status(request.name)))

    def cuda_register(self, call: Call, message: memoryview) -> None:
        """`CudaSharedMemoryRegister`."""
        request = documents.parse(service_pb2.CudaSharedMemoryRegisterRequest, message)
        self._cuda_regions.register(request.name, request.raw_handle, request.device_id, request.byte_size)
        call.answer()

    def cuda_unregister(self, call: Call, message: memoryview) -> None:
        """`CudaSharedMemoryUnregister`: one region, or without a name, all."""
        request = documents.parse(service_pb2.CudaSharedMemoryUnregisterRequest, message)
        self._cuda_regions.unregister(request.name)
        call.answer()
