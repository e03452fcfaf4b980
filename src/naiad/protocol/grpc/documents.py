# SPDX-License-Identifier: Apache-2.0
"""What is told of the server and its models over gRPC: values → serialized messages of Triton's service.

May import protobuf, `snapshots` and `config.proto`.
"""

from collections.abc import Iterable, Sequence
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from naiad.config.proto import ModelConfig, service_pb2
from naiad.errors import InternalError
from naiad.snapshots import (
    CudaSharedMemoryRegion,
    Duration,
    IndexEntry,
    ModelMetadata,
    ModelStatistics,
    ServerMetadata,
    SharedMemoryRegion,
    TensorMetadata,
)

M = TypeVar("M", bound=Message)


def parse(kind: type[M], message: memoryview) -> M:
    """Read a message.

    Raises:
        InternalError: it is none of that kind (Triton's text).
    """
    try:
        return kind.FromString(message)  # type: ignore[arg-type]  # upb takes any buffer
    except DecodeError:
        raise InternalError("Unable to parse request") from None


def server_live(live: bool) -> bytes:
    """Write a `ServerLiveResponse`."""
    return service_pb2.ServerLiveResponse(live=live).SerializeToString()


def server_ready(ready: bool) -> bytes:
    """Write a `ServerReadyResponse`."""
    return service_pb2.ServerReadyResponse(ready=ready).SerializeToString()


def model_ready(ready: bool) -> bytes:
    """Write a `ModelReadyResponse`."""
    return service_pb2.ModelReadyResponse(ready=ready).SerializeToString()


def health(serving: bool) -> bytes:
    """Write a `grpc.health.v1.HealthCheckResponse`: its one field, `status`, SERVING (1) or NOT_SERVING (2)."""
    return b"\x08\x01" if serving else b"\x08\x02"


def server_metadata(server: ServerMetadata) -> bytes:
    """Write a `ServerMetadataResponse`."""
    return service_pb2.ServerMetadataResponse(
        name=server.name, version=server.version, extensions=server.extensions
    ).SerializeToString()


def model_metadata(model: ModelMetadata) -> bytes:
    """Write a `ModelMetadataResponse`."""
    return service_pb2.ModelMetadataResponse(
        name=model.name,
        versions=model.versions,
        platform=model.platform,
        inputs=map(_tensor, model.inputs),
        outputs=map(_tensor, model.outputs),
    ).SerializeToString()


def _tensor(tensor: TensorMetadata) -> service_pb2.ModelMetadataResponse.TensorMetadata:
    return service_pb2.ModelMetadataResponse.TensorMetadata(
        name=tensor.name, datatype=tensor.datatype, shape=tensor.shape
    )


def model_config(config: ModelConfig) -> bytes:
    """Write a `ModelConfigResponse`."""
    return service_pb2.ModelConfigResponse(config=config).SerializeToString()


def index(entries: Iterable[IndexEntry]) -> bytes:
    """Write a `RepositoryIndexResponse`."""
    return service_pb2.RepositoryIndexResponse(models=map(_row, entries)).SerializeToString()


def _row(entry: IndexEntry) -> service_pb2.RepositoryIndexResponse.ModelIndex:
    return service_pb2.RepositoryIndexResponse.ModelIndex(
        name=entry.name,
        version=entry.version or "",
        state=entry.state.value if entry.state is not None else "",
        reason=entry.reason,
    )


def regions(registered: Iterable[SharedMemoryRegion]) -> bytes:
    """Write a `SystemSharedMemoryStatusResponse`."""
    return service_pb2.SystemSharedMemoryStatusResponse(
        regions={
            region.name: service_pb2.SystemSharedMemoryStatusResponse.RegionStatus(
                name=region.name, key=region.key, offset=region.offset, byte_size=region.size_bytes
            )
            for region in registered
        }
    ).SerializeToString()


def cuda_regions(registered: Iterable[CudaSharedMemoryRegion]) -> bytes:
    """Write a `CudaSharedMemoryStatusResponse`."""
    return service_pb2.CudaSharedMemoryStatusResponse(
        regions={
            region.name: service_pb2.CudaSharedMemoryStatusResponse.RegionStatus(
                name=region.name, device_id=region.device_id, byte_size=region.size_bytes
            )
            for region in registered
        }
    ).SerializeToString()


def statistics(models: Sequence[ModelStatistics]) -> bytes:
    """Write a `ModelStatisticsResponse`."""
    return service_pb2.ModelStatisticsResponse(model_stats=map(_statistics, models)).SerializeToString()


def _statistics(model: ModelStatistics) -> service_pb2.ModelStatistics:
    return service_pb2.ModelStatistics(
        name=model.name,
        version=model.version,
        last_inference=model.last_inference_ms,
        inference_count=model.inference_count,
        execution_count=model.execution_count,
        inference_stats=service_pb2.InferStatistics(
            success=_duration(model.success),
            fail=_duration(model.fail),
            queue=_duration(model.queue),
            compute_input=_duration(model.compute_input),
            compute_infer=_duration(model.compute_infer),
            compute_output=_duration(model.compute_output),
            cache_hit=_duration(model.cache_hit),
            cache_miss=_duration(model.cache_miss),
        ),
        batch_stats=[
            service_pb2.InferBatchStatistics(
                batch_size=batch.batch_size,
                compute_input=_duration(batch.compute_input),
                compute_infer=_duration(batch.compute_infer),
                compute_output=_duration(batch.compute_output),
            )
            for batch in model.batches
        ],
        response_stats={
            str(number): service_pb2.InferResponseStatistics(
                compute_infer=_duration(row.compute_infer),
                compute_output=_duration(row.compute_output),
                success=_duration(row.success),
                fail=_duration(row.fail),
                empty_response=_duration(row.empty_response),
                cancel=_duration(row.cancel),
            )
            for number, row in enumerate(model.responses)
        },
    )


def _duration(duration: Duration) -> service_pb2.StatisticDuration:
    return service_pb2.StatisticDuration(count=duration.count, ns=duration.ns)
