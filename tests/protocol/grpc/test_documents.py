# SPDX-License-Identifier: Apache-2.0
import pytest

from naiad.config.proto import ModelConfig, service_pb2
from naiad.errors import InternalError
from naiad.protocol.grpc import documents
from naiad.snapshots import (
    BatchStatistics,
    Duration,
    IndexEntry,
    ModelMetadata,
    ModelState,
    ModelStatistics,
    ResponseStatistics,
    ServerMetadata,
    TensorMetadata,
)


def test_health() -> None:
    assert service_pb2.ServerLiveResponse.FromString(documents.server_live(True)).live
    assert service_pb2.ServerReadyResponse.FromString(documents.server_ready(True)).ready
    assert service_pb2.ModelReadyResponse.FromString(documents.model_ready(True)).ready
    assert documents.server_live(False) == documents.model_ready(False) == b""
    assert (documents.health(True), documents.health(False)) == (b"\x08\x01", b"\x08\x02")


def test_metadata() -> None:
    server = service_pb2.ServerMetadataResponse.FromString(
        documents.server_metadata(ServerMetadata("naiad", "1", ("a", "b")))
    )
    assert (server.name, server.version, list(server.extensions)) == ("naiad", "1", ["a", "b"])
    model = service_pb2.ModelMetadataResponse.FromString(
        documents.model_metadata(
            ModelMetadata(
                "m", ("1", "2"), "onnx", (TensorMetadata("I", "FP32", (-1, 3)),), (TensorMetadata("O", "BYTES", ()),)
            )
        )
    )
    assert (model.name, list(model.versions), model.platform) == ("m", ["1", "2"], "onnx")
    assert [(t.name, t.datatype, list(t.shape)) for t in (*model.inputs, *model.outputs)] == [
        ("I", "FP32", [-1, 3]),
        ("O", "BYTES", []),
    ]


def test_config() -> None:
    config = ModelConfig(name="m", max_batch_size=8)
    assert service_pb2.ModelConfigResponse.FromString(documents.model_config(config)).config == config


def test_index() -> None:
    rows = [
        IndexEntry("a", "1", ModelState.READY),
        IndexEntry("b"),
        IndexEntry("c", "2", ModelState.UNAVAILABLE, "why"),
    ]
    index = service_pb2.RepositoryIndexResponse.FromString(documents.index(rows))
    assert [(row.name, row.version, row.state, row.reason) for row in index.models] == [
        ("a", "1", "READY", ""),
        ("b", "", "", ""),
        ("c", "2", "UNAVAILABLE", "why"),
    ]


def test_statistics() -> None:
    names = ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss")
    durations = {name: Duration(i + 1, 10 * i) for i, name in enumerate(names)}
    batch = BatchStatistics(4, Duration(1, 2), Duration(3, 4), Duration(5, 6))
    responses = (ResponseStatistics(*(Duration(i + 1, 10 * i) for i in range(6))),)
    given = ModelStatistics("m", "1", 5, 6, 7, batches=(batch,), responses=responses, **durations)  # type: ignore[arg-type]
    (made,) = service_pb2.ModelStatisticsResponse.FromString(documents.statistics([given])).model_stats
    assert (made.name, made.version, made.last_inference) == ("m", "1", 5)
    assert (made.inference_count, made.execution_count) == (6, 7)
    for name, duration in durations.items():
        told = getattr(made.inference_stats, name)
        assert (told.count, told.ns) == (duration.count, duration.ns)
    (row,) = made.batch_stats
    assert row.batch_size == 4
    assert [(d.count, d.ns) for d in (row.compute_input, row.compute_infer, row.compute_output)] == [
        (1, 2),
        (3, 4),
        (5, 6),
    ]
    ((number, response),) = made.response_stats.items()
    parts = ("compute_infer", "compute_output", "success", "fail", "empty_response", "cancel")
    assert number == "0"
    assert [getattr(response, part).count for part in parts] == [1, 2, 3, 4, 5, 6]
    assert [getattr(response, part).ns for part in parts] == [0, 10, 20, 30, 40, 50]


def test_parsing() -> None:
    assert documents.parse(service_pb2.ModelReadyRequest, memoryview(b"\x0a\x01m")).name == "m"
    with pytest.raises(InternalError, match=r"^Unable to parse request$"):
        documents.parse(service_pb2.ModelReadyRequest, memoryview(b"\xff\xff"))
