# SPDX-License-Identifier: Apache-2.0
"""What is told of the server and its models, in Triton's JSON form: metadata, config, statistics, index.

Each function returns plain values for `dumps`, members in Triton's order.
May import protobuf, numpy, `snapshots`, `config.proto` and `json_text`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from naiad.config.proto import ModelConfig
from naiad.protocol.rest.json_text import dumps
from naiad.snapshots import (
    CudaSharedMemoryRegion,
    Duration,
    IndexEntry,
    ModelMetadata,
    ModelStatistics,
    ResponseStatistics,
    ServerMetadata,
    SharedMemoryRegion,
    TensorMetadata,
)

__all__ = [
    "cuda_regions",
    "dumps",
    "index",
    "model_config",
    "model_metadata",
    "regions",
    "server_metadata",
    "statistics",
]

Document = dict[str, Any]


def server_metadata(server: ServerMetadata) -> Document:
    """Return the body of `GET /v2`."""
    return {"name": server.name, "version": server.version, "extensions": list(server.extensions)}


def model_metadata(model: ModelMetadata) -> Document:
    """Return the body of `GET /v2/models/{m}`."""
    return {
        "name": model.name,
        "versions": list(model.versions),
        "platform": model.platform,
        "inputs": [_tensor(tensor) for tensor in model.inputs],
        "outputs": [_tensor(tensor) for tensor in model.outputs],
    }


def _tensor(tensor: TensorMetadata) -> Document:
    return {"name": tensor.name, "datatype": tensor.datatype, "shape": list(tensor.shape)}


def index(entries: Iterable[IndexEntry]) -> list[Document]:
    """Return the body of `POST /v2/repository/index`."""
    return [_row(entry) for entry in entries]


def _row(entry: IndexEntry) -> Document:
    row: Document = {"name": entry.name}
    if entry.version is not None:
        row["version"] = entry.version
    if entry.state is not None:
        row["state"] = entry.state.value
    if entry.reason:
        row["reason"] = entry.reason
    return row


def regions(registered: Iterable[SharedMemoryRegion]) -> list[Document]:
    """Return the body of `GET /v2/systemsharedmemory/status`."""
    return [
        {"name": region.name, "key": region.key, "offset": region.offset, "byte_size": region.size_bytes}
        for region in registered
    ]


def cuda_regions(registered: Iterable[CudaSharedMemoryRegion]) -> list[Document]:
    """Return the body of `GET /v2/cudasharedmemory/status`."""
    return [
        {"name": region.name, "device_id": region.device_id, "byte_size": region.size_bytes} for region in registered
    ]


def statistics(models: Sequence[ModelStatistics]) -> Document:
    """Return the body of `GET /v2/models/stats`."""
    return {"model_stats": [_statistics(model) for model in models]}


def _statistics(model: ModelStatistics) -> Document:
    return {
        "name": model.name,
        "version": model.version,
        "last_inference": model.last_inference_ms,
        "inference_count": model.inference_count,
        "execution_count": model.execution_count,
        "inference_stats": {
            "success": _duration(model.success),
            "fail": _duration(model.fail),
            "queue": _duration(model.queue),
            "compute_input": _duration(model.compute_input),
            "compute_infer": _duration(model.compute_infer),
            "compute_output": _duration(model.compute_output),
            "cache_hit": _duration(model.cache_hit),
            "cache_miss": _duration(model.cache_miss),
        },
        "response_stats": {str(number): _response(row) for number, row in enumerate(model.responses)},
        "batch_stats": [
            {
                "batch_size": batch.batch_size,
                "compute_input": _duration(batch.compute_input),
                "compute_infer": _duration(batch.compute_infer),
                "compute_output": _duration(batch.compute_output),
            }
            for batch in model.batches
        ],
        "memory_usage": [],
    }


def _response(row: ResponseStatistics) -> Document:
    return {
        "compute_infer": _duration(row.compute_infer),
        "compute_output": _duration(row.compute_output),
        "success": _duration(row.success),
        "fail": _duration(row.fail),
        "empty_response": _duration(row.empty_response),
        "cancel": _duration(row.cancel),
    }


def _duration(duration: Duration) -> Document:
    return {"count": duration.count, "ns": duration.ns}


_NUMERIC_64_BIT: Final = frozenset(
    f"inference.{field}"
    for field in (
        "ModelVersionPolicy.Specific.versions",
        "ModelInput.dims",
        "ModelOutput.dims",
        "ModelTensorReshape.shape",
        "ModelDynamicBatching.max_queue_delay_microseconds",
        "ModelDynamicBatching.priority_levels",
        "ModelDynamicBatching.default_priority_level",
        "ModelQueuePolicy.default_timeout_microseconds",
        "ModelSequenceBatching.StrategyDirect.max_queue_delay_microseconds",
        "ModelSequenceBatching.StrategyOldest.max_queue_delay_microseconds",
        "ModelSequenceBatching.max_sequence_idle_microseconds",
        "ModelSequenceBatching.State.dims",
        "ModelEnsembling.Step.model_version",
        "ModelWarmup.Input.dims",
    )
)
"""The 64-bit fields that Triton writes as numbers; protobuf's JSON form has all of them as strings."""


def model_config(config: ModelConfig) -> Document:
    """Return the body of `GET /v2/models/{m}/config`.

    That is protobuf's JSON form with the names as in the `.proto`, defaults printed, unset messages and unset members
    of a `oneof` left out, members in the order of the `.proto`, and numbers for `_NUMERIC_64_BIT`.
    """
    return _message(config)


def _message(message: Message) -> Document:
    return {
        field.name: _field(field, getattr(message, field.name))
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }


def _field(field: FieldDescriptor, value: Any) -> object:  # noqa: ANN401 - protobuf values are of any kind
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        write = _writer(kind.fields_by_name["value"])
        return {str(key): write(value[key]) for key in sorted(value)}
    write = _writer(field)
    return [write(item) for item in value] if field.is_repeated else write(value)


def _writer(field: FieldDescriptor) -> Callable[[Any], object]:
    """Return the function that turns one value of the field into its JSON form."""
    if field.enum_type is not None:
        names = field.enum_type.values_by_number
        # A number without a name is written as it is, as protobuf's own JSON does it.
        return lambda number: names[number].name if number in names else number
    if field.cpp_type in _64_BIT:
        return int if field.full_name in _NUMERIC_64_BIT else str
    return _WRITERS.get(field.cpp_type, lambda value: value)


def _float(value: float) -> float:
    return _double(float(str(np.float32(value))))  # the shortest text that is this float


def _double(value: float) -> float:
    return int(value) if value.is_integer() else value  # as C++ protobuf writes it: 1, not 1.0


_64_BIT: Final = frozenset((FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64))
_WRITERS: Final[Mapping[int, Callable[[Any], object]]] = {
    FieldDescriptor.CPPTYPE_MESSAGE: _message,
    FieldDescriptor.CPPTYPE_FLOAT: _float,
    FieldDescriptor.CPPTYPE_DOUBLE: _double,
}
