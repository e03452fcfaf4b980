# SPDX-License-Identifier: Apache-2.0
"""Restricted categories of the gRPC service, with grpcio as the client."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.server.grpc.serving import WAIT_S, Served, served
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.server.transport.access import Lock

HEADER = "triton-grpc-protocol-Admin"
LOCKS = {"metadata": Lock(HEADER, b"s3cret"), "inference": Lock(HEADER, b"s3cret")}


@pytest.fixture(scope="module")
def serving() -> Iterator[Served]:
    with served(locks=LOCKS) as port:
        yield port


@pytest.fixture
def stub(serving: Served) -> Iterator[Any]:
    with grpc.insecure_channel(serving.address) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("metadata", [(), ((HEADER.lower(), "wrong"),), (("admin", "s3cret"),)])
def test_a_call_without_the_metadata_is_refused(stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=WAIT_S, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == f"This protocol is restricted, expecting header '{HEADER}'"


def test_a_stream_without_the_metadata_is_refused(stub: Any) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        next(stub.ModelStreamInfer(iter([pb.ModelInferRequest(model_name="m")]), timeout=WAIT_S))
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_call_with_the_metadata_is_answered(stub: Any) -> None:
    metadata = ((HEADER.lower(), "s3cret"),)
    assert stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=WAIT_S, metadata=metadata).name == "naiad"


def test_other_categories_are_open(stub: Any) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live
