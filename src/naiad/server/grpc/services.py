# SPDX-License-Identifier: Apache-2.0
"""The table of what the gRPC port serves: Triton's `inference.GRPCInferenceService` and gRPC's health service.

May import `engine`, `telemetry`, `protocol`, `transport`'s `access` and `forwarding`, and its neighbours.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from naiad.engine.dataplane import DataPlane
from naiad.server.grpc.handlers.inference import InferenceMethods
from naiad.server.grpc.handlers.information import InformationMethods
from naiad.server.grpc.handlers.log_settings import LogSettingsMethods
from naiad.server.grpc.handlers.shared_memory import SharedMemoryMethods
from naiad.server.grpc.handlers.trace_settings import TraceSettingsMethods
from naiad.server.grpc.method import Method, Methods
from naiad.server.transport.access import Lock
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.shm.regions import Regions
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.traces.tracer import Tracer

_SERVICE = "/inference.GRPCInferenceService"
_HEALTH = "/grpc.health.v1.Health"
_NO_LOCKS: Mapping[str, Lock] = MappingProxyType({})


def inference_services(
    dataplane: DataPlane,
    regions: Regions,
    log: ServerLog,
    tracer: Tracer,
    locks: Mapping[str, Lock] = _NO_LOCKS,
    forwarding: HeaderForwarding | None = None,
) -> Methods:
    """Return the methods of the gRPC port.

    Tensors may be in `regions`, `locks` are of the restricted categories. `forwarding` hands metadata of inference
    requests to the models.
    """
    methods = _methods(dataplane, regions, log, tracer, forwarding)
    return {path: method._replace(lock=locks.get(category)) for path, category, method in methods}


def _methods(
    dataplane: DataPlane, regions: Regions, log: ServerLog, tracer: Tracer, forwarding: HeaderForwarding | None
) -> Iterator[tuple[str, str, Method]]:
    """Yield the path of each method, Triton's category of restricted protocols that it belongs to, and the method."""
    information, inference = InformationMethods(dataplane), InferenceMethods(dataplane, regions, tracer, forwarding)
    shared_memory = SharedMemoryMethods(regions)
    yield f"{_HEALTH}/Check", "health", Method(information.health)
    yield f"{_SERVICE}/ServerLive", "health", Method(information.server_live)
    yield f"{_SERVICE}/ServerReady", "health", Method(information.server_ready)
    yield f"{_SERVICE}/ModelReady", "health", Method(information.model_ready)
    yield f"{_SERVICE}/ServerMetadata", "metadata", Method(information.server_metadata)
    yield f"{_SERVICE}/ModelMetadata", "metadata", Method(information.model_metadata)
    yield f"{_SERVICE}/ModelConfig", "model-config", Method(information.model_config)
    yield f"{_SERVICE}/ModelStatistics", "statistics", Method(information.model_statistics)
    yield f"{_SERVICE}/RepositoryIndex", "model-repository", Method(information.repository_index)
    yield f"{_SERVICE}/RepositoryModelLoad", "model-repository", Method(information.repository_model_load)
    yield f"{_SERVICE}/RepositoryModelUnload", "model-repository", Method(information.repository_model_unload)
    yield f"{_SERVICE}/ModelInfer", "inference", Method(inference.infer)
    yield f"{_SERVICE}/ModelStreamInfer", "inference", Method(stream=inference.stream)
    yield f"{_SERVICE}/SystemSharedMemoryStatus", "shared-memory", Method(shared_memory.status)
    yield f"{_SERVICE}/SystemSharedMemoryRegister", "shared-memory", Method(shared_memory.register)
    yield f"{_SERVICE}/SystemSharedMemoryUnregister", "shared-memory", Method(shared_memory.unregister)
    yield f"{_SERVICE}/CudaSharedMemoryStatus", "shared-memory", Method(shared_memory.cuda_status)
    yield f"{_SERVICE}/CudaSharedMemoryRegister", "shared-memory", Method(shared_memory.cuda_register)
    yield f"{_SERVICE}/CudaSharedMemoryUnregister", "shared-memory", Method(shared_memory.cuda_unregister)
    yield f"{_SERVICE}/LogSettings", "logging", Method(LogSettingsMethods(log).change)
    yield f"{_SERVICE}/TraceSetting", "trace", Method(TraceSettingsMethods(dataplane, tracer).change)
