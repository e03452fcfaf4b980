# SPDX-License-Identifier: Apache-2.0
"""Forwarded headers: the model of both servers must be told the same.

Left out are what Triton 2.51 does not do yet, refusing reserved names, and `generate`, where it forwards nothing.
"""

import json
from typing import Any

import grpc
import pytest
from tests.conformance.conftest import Servers
from tests.conformance.wire import Request, converse
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

HEADERS: tuple[tuple[tuple[str, str], ...], ...] = (
    (),
    (("X-Fw-A", "1"),),
    (("x-fw-a", "1"), ("Other", "2")),
    (("Before-X-FW-a", "a b"),),
    (("Exact-Fw", "1"), ("exact-fw", "2")),
    (("X-Fw-A", "1"), ("X-Fw-A", "2"), ("x-fw-a", "3")),
    (("X-Fw-Own", "1"),),
)
METADATA: tuple[tuple[tuple[str, str | bytes], ...], ...] = (
    (),
    (("x-fw-a", "1"), ("other", "2")),
    (("before-x-fw-a", "a b"),),
    (("x-upper-a", "1"),),
    (("x-fw-a", "1"), ("x-fw-a", "2")),
    (("x-fw-own", "1"),),
    (("x-fw-a-bin", b"text"),),
)


@pytest.mark.parametrize("headers", HEADERS)
def test_over_http(headers: tuple[tuple[str, str], ...], servers: Servers) -> None:
    own = {"X-Fw-Own": "mine", "a": 1, "b": True, "c": "x"}
    request = Request(
        "POST", "/v2/models/parameters/infer", json.dumps({"parameters": own, "inputs": []}).encode(), headers
    )
    theirs, ours = (_told_http(port, request.encoded()) for port in (servers.triton.http, servers.naiad.http))
    assert ours == theirs


def _told_http(port: int, request: bytes) -> Any:
    (answer,) = converse(port, request).answers
    return json.loads(json.loads(answer.body)["outputs"][0]["data"][0])


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("metadata", METADATA)
def test_over_grpc(metadata: tuple[tuple[str, str | bytes], ...], streams: bool, servers: Servers) -> None:
    theirs, ours = (_told_grpc(port, metadata, streams) for port in (servers.triton.grpc, servers.naiad.grpc))
    assert ours == theirs


def _told_grpc(port: int, metadata: tuple[tuple[str, str | bytes], ...], streams: bool) -> Any:
    request = pb.ModelInferRequest(model_name="parameters")
    request.parameters["x-fw-own"].string_param = "mine"
    request.parameters["a"].int64_param = 1
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        if streams:
            (streamed,) = stub.ModelStreamInfer(iter((request,)), metadata=metadata, timeout=10)
            response = streamed.infer_response
        else:
            response = stub.ModelInfer(request, metadata=metadata, timeout=10)
    return json.loads(response.raw_output_contents[0][4:])
