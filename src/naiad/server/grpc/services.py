# SPDX-License-Identifier: Apache-2.0
"""The table of what the gRPC port serves: Triton's `inference.GRPCInferenceService` and gRPC's health service.

May import `engine`, `telemetry`, `protocol` and its neighbours.
"""

from collections.abc import Callable, Iterator

from naiad.engine.dataplane import DataPlane
from naiad.errors import NaiadError, UnsupportedError
from naiad.server.grpc.call import Call, Method, Methods
from naiad.server.grpc.inference import InferenceMethods
from naiad.server.grpc.information import InformationMethods
from naiad.server.grpc.log_settings import LogSettingsMethod
from naiad.telemetry.logs import ServerLog

_SERVICE = "/inference.GRPCInferenceService"


_NOT_YET = {
    "SystemSharedMemoryStatus": "the system shared memory extension",
    "SystemSharedMemoryRegister": "the system shared memory extension",
    "SystemSharedMemoryUnregister": "the system shared memory extension",
    "CudaSharedMemoryStatus": "the CUDA shared memory extension",
    "CudaSharedMemoryRegister": "the CUDA shared memory extension",
    "CudaSharedMemoryUnregister": "the CUDA shared memory extension",
    "TraceSetting": "the trace extension",
}


def inference_services(dataplane: DataPlane, log: ServerLog) -> Methods:
    """Return the methods of the gRPC port."""
    return dict(_methods(dataplane, log))


def _methods(dataplane: DataPlane, log: ServerLog) -> Iterator[tuple[str, Method]]:
    information, inference = InformationMethods(dataplane), InferenceMethods(dataplane)
    yield "/grpc.health.v1.Health/Check", Method(information.health)
    yield f"{_SERVICE}/ServerLive", Method(information.server_live)
    yield f"{_SERVICE}/ServerReady", Method(information.server_ready)
    yield f"{_SERVICE}/ModelReady", Method(information.model_ready)
    yield f"{_SERVICE}/ServerMetadata", Method(information.server_metadata)
    yield f"{_SERVICE}/ModelMetadata", Method(information.model_metadata)
    yield f"{_SERVICE}/ModelConfig", Method(information.model_config)
    yield f"{_SERVICE}/ModelStatistics", Method(information.model_statistics)
    yield f"{_SERVICE}/RepositoryIndex", Method(information.repository_index)
    yield f"{_SERVICE}/RepositoryModelLoad", Method(information.repository_model_load)
    yield f"{_SERVICE}/RepositoryModelUnload", Method(information.repository_model_unload)
    yield f"{_SERVICE}/ModelInfer", Method(inference.infer)
    yield f"{_SERVICE}/ModelStreamInfer", Method(stream=inference.stream)
    yield f"{_SERVICE}/LogSettings", Method(LogSettingsMethod(log))
    for name, feature in _NOT_YET.items():
        yield f"{_SERVICE}/{name}", Method(refusal(UnsupportedError(f"{feature} is not supported by this server")))


def refusal(error: NaiadError) -> Callable[[Call, memoryview], None]:
    """Return a method that answers every call with `error`."""

    def refuse(call: Call, message: memoryview) -> None:  # noqa: ARG001 - whatever it asks
        call.fail(error)

    return refuse
