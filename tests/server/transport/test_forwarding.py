# SPDX-License-Identifier: Apache-2.0
"""Headers and metadata that the operator's patterns name reach the model, whatever the way to ask it."""

import http.client
import json
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from tests.builtin_models import FREE_PORTS, of_kind, write_model
from tritonclient.grpc import service_pb2_grpc

import naiad
from naiad.config.proto import service_pb2 as pb
from naiad.errors import InvalidArgumentError
from naiad.requests import InferRequest
from naiad.server.transport.forwarding import HeaderForwarding, header_forwarding

REQUEST = InferRequest("m", (), parameters={"own": 1, "X-B": True})
RESERVED = (
    *("sequence_id", "sequence_start", "sequence_end", "priority", "timeout", "headers", "binary_data_output"),
    *("triton_", "triton_x"),
)


def test_a_name_in_which_the_pattern_is_found_becomes_a_parameter_as_it_was_sent() -> None:
    fields = ((b"Host", b"x"), (b"My-X-A", b"1"), (b"X-C", "é".encode()))
    forwarded = HeaderForwarding(re.compile(b"x-", re.IGNORECASE)).add_to(REQUEST, fields)
    assert forwarded.parameters == {"own": 1, "X-B": True, "My-X-A": "1", "X-C": "é"}
    assert REQUEST.parameters == {"own": 1, "X-B": True}


def test_the_last_field_of_a_name_wins_over_earlier_ones_and_the_clients_parameter() -> None:
    fields = ((b"X-B", b"1"), (b"X-B", b"2"), (b"x-b", b"3"))
    forwarded = HeaderForwarding(re.compile(b"X-B|x-b")).add_to(REQUEST, fields)
    assert forwarded.parameters == {"own": 1, "X-B": "2", "x-b": "3"}


def test_a_value_that_is_no_text_is_marked() -> None:
    forwarded = HeaderForwarding(re.compile(b"x")).add_to(REQUEST, ((b"x", b"a\xffb"),))
    assert forwarded.parameters["x"] == "a\ufffdb"


@pytest.mark.parametrize("name", RESERVED)
def test_a_name_that_means_something_to_the_server_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^Header '{name}' is reserved for Triton usage and cannot be"):
        HeaderForwarding(re.compile(b".*")).add_to(REQUEST, ((name.encode(), b"1"),))


@pytest.mark.parametrize("name", [b"Timeout", b"Triton_x", b"triton-x"])
def test_a_name_that_only_looks_like_one_is_not(name: bytes) -> None:
    assert name.decode() in HeaderForwarding(re.compile(b".*")).add_to(REQUEST, ((name, b"1"),)).parameters


def test_a_request_without_such_a_field_stays_what_it_is() -> None:
    assert HeaderForwarding(re.compile(b"x-")).add_to(REQUEST, ((b"host", b"x"),)) is REQUEST
    assert header_forwarding(None) is None


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[naiad.Server]:
    """A server of a model that tells its parameters; names with `x-` or `timeout` within are forwarded."""
    folder = tmp_path_factory.mktemp("models")
    write_model(folder, "m", of_kind("parameters"))
    pattern = "x-|timeout|user-agent"
    options = {"http_header_forward_pattern": pattern, "grpc_header_forward_pattern": pattern}
    with naiad.Server(folder, **FREE_PORTS, **options) as started:
        yield started


def _post(server: naiad.Server, way: str, body: object, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(server.http_url.partition("://")[2], timeout=10)
    connection.request("POST", f"/v2/models/m/{way}", json.dumps(body), headers)
    answer = connection.getresponse()
    try:
        return answer.status, answer.read()
    finally:
        connection.close()


def test_over_infer(server: naiad.Server) -> None:
    body = {"parameters": {"own": 1}, "inputs": []}
    status, answer = _post(server, "infer", body, {"X-Tenant": "a b", "Other": "1"})
    assert (status, json.loads(json.loads(answer)["outputs"][0]["data"][0])) == (200, {"own": 1, "X-Tenant": "a b"})


@pytest.mark.parametrize("way", ["generate", "generate_stream"])
def test_over_generate(way: str, server: naiad.Server) -> None:
    status, answer = _post(server, way, {"own": 1}, {"X-Tenant": "a b", "Other": "1"})
    document = json.loads(answer.removeprefix(b"data: "))
    assert (status, json.loads(document["OUTPUT0"])) == (200, {"own": 1, "X-Tenant": "a b"})


@pytest.mark.parametrize("way", ["infer", "generate", "generate_stream"])
def test_a_reserved_header_is_refused_over_http(way: str, server: naiad.Server) -> None:
    body: dict[str, Any] = {"inputs": []} if way == "infer" else {}
    status, answer = _post(server, way, body, {"timeout": "1"})
    text = "Header 'timeout' is reserved for Triton usage and cannot be forwarded."
    assert (status, json.loads(answer)) == (400, {"error": text})


def _told(response: Any) -> Any:
    return json.loads(response.raw_output_contents[0][4:])


def _asked() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="m")
    request.parameters["own"].int64_param = 1
    return request


def test_over_grpc(server: naiad.Server) -> None:
    metadata = (("x-tenant", "a b"), ("other", "1"), ("x-raw-bin", b"c"))
    with grpc.insecure_channel(server.grpc_url.partition("://")[2]) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        told = _told(stub.ModelInfer(_asked(), metadata=metadata, timeout=10))
        (streamed,) = stub.ModelStreamInfer(iter((_asked(),)), metadata=metadata, timeout=10)
    assert _told(streamed.infer_response) == told
    assert told.pop("user-agent").startswith("grpc-python/")
    assert told == {"own": 1, "x-tenant": "a b", "x-raw-bin": "c"}


def test_reserved_metadata_is_refused_over_grpc(server: naiad.Server) -> None:
    text = "Header 'timeout' is reserved for Triton usage and cannot be forwarded."
    with grpc.insecure_channel(server.grpc_url.partition("://")[2]) as channel:
        stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.ModelInfer(_asked(), metadata=(("timeout", "1"),), timeout=10)
        (streamed,) = stub.ModelStreamInfer(iter((_asked(),)), metadata=(("timeout", "1"),), timeout=10)
    error: Any = caught.value
    assert (error.code(), error.details()) == (grpc.StatusCode.INVALID_ARGUMENT, text)
    assert streamed.error_message == text
