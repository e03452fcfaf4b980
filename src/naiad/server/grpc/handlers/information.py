# SPDX-License-Identifier: Apache-2.0
"""Health, metadata, configs, statistics, the repository index and its control."""

from naiad.config.proto import service_pb2
from naiad.engine.dataplane import DataPlane
from naiad.protocol.grpc import documents
from naiad.protocol.grpc.request import read_version
from naiad.server.grpc.call import Call
from naiad.server.transport.model_control import no_repository_name, refusal_to_load


class InformationMethods:
    """Everything that is answered from what the data plane tells."""

    def __init__(self, dataplane: DataPlane) -> None:
        self._dataplane = dataplane

    def health(self, call: Call, message: memoryview) -> None:
        """`grpc.health.v1.Health/Check`: whether the server is ready, whatever service is asked about, as Triton."""
        # A HealthCheckRequest, of which there is no class here, is the same on the wire: one string.
        documents.parse(service_pb2.SystemSharedMemoryStatusRequest, message)
        call.answer(documents.health(self._dataplane.ready()))

    def server_live(self, call: Call, message: memoryview) -> None:
        """`ServerLive`."""
        documents.parse(service_pb2.ServerLiveRequest, message)
        call.answer(documents.server_live(self._dataplane.live()))

    def server_ready(self, call: Call, message: memoryview) -> None:
        """`ServerReady`."""
        documents.parse(service_pb2.ServerReadyRequest, message)
        call.answer(documents.server_ready(self._dataplane.ready()))

    def model_ready(self, call: Call, message: memoryview) -> None:
        """`ModelReady`: false also for a model that doesn't exist, as Triton 2.51."""
        request = documents.parse(service_pb2.ModelReadyRequest, message)
        call.answer(documents.model_ready(self._dataplane.model_ready(request.name, read_version(request.version))))

    def server_metadata(self, call: Call, message: memoryview) -> None:
        """`ServerMetadata`."""
        documents.parse(service_pb2.ServerMetadataRequest, message)
        call.answer(documents.server_metadata(self._dataplane.server_metadata()))

    def model_metadata(self, call: Call, message: memoryview) -> None:
        """`ModelMetadata`."""
        request = documents.parse(service_pb2.ModelMetadataRequest, message)
        version = read_version(request.version)
        call.answer(documents.model_metadata(self._dataplane.model_metadata(request.name, version)))

    def model_config(self, call: Call, message: memoryview) -> None:
        """`ModelConfig`."""
        request = documents.parse(service_pb2.ModelConfigRequest, message)
        version = read_version(request.version)
        call.answer(documents.model_config(self._dataplane.model_config(request.name, version)))

    def model_statistics(self, call: Call, message: memoryview) -> None:
        """`ModelStatistics`: of one model, or without a name, of all."""
        request = documents.parse(service_pb2.ModelStatisticsRequest, message)
        version = read_version(request.version)
        call.answer(documents.statistics(self._dataplane.statistics(request.name, version)))

    def repository_index(self, call: Call, message: memoryview) -> None:
        """`RepositoryIndex`."""
        request = documents.parse(service_pb2.RepositoryIndexRequest, message)
        if request.repository_name:
            raise no_repository_name()
        call.answer(documents.index(self._dataplane.index(request.ready)))

    def repository_model_load(self, call: Call, message: memoryview) -> None:
        """`RepositoryModelLoad`: refused."""
        request = documents.parse(service_pb2.RepositoryModelLoadRequest, message)
        raise refusal_to_load(request.repository_name)

    def repository_model_unload(self, call: Call, message: memoryview) -> None:
        """`RepositoryModelUnload`: refused."""
        request = documents.parse(service_pb2.RepositoryModelUnloadRequest, message)
        raise refusal_to_load(request.repository_name)
