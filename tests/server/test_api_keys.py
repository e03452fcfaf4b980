# SPDX-License-Identifier: Apache-2.0
"""A whole server that asks for API keys, on both protocols."""

import http.client
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tests.builtin_models import FREE_PORTS, identity, write_model
from tritonclient.grpc import service_pb2_grpc

import naiad
from naiad.config.proto import service_pb2 as pb
from naiad.errors import InvalidArgumentError

KEY = "second-s3cret"
WAIT_S = 10


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[naiad.Server]:
    repository = tmp_path_factory.mktemp("repository")
    write_model(repository, "m", identity(max_batch_size=0))
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"# cameras\nfirst-s3cret\n{KEY}\n")
    with naiad.Server(repository, **FREE_PORTS, api_key_file=str(keys)) as running:
        yield running


def ask(server: naiad.Server, method: str, path: str, body: bytes = b"", **fields: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection(server.http_url.removeprefix("http://"), timeout=WAIT_S)
    connection.request(method, path, body, fields)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.mark.parametrize("route", ["GET /v2", "GET /v2/models/m/ready", "POST /v2/models/m/infer", "GET /nothing"])
def test_http_without_a_key_is_401(server: naiad.Server, route: str) -> None:
    method, path = route.split()
    answer = ask(server, method, path)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")


def test_http_with_a_wrong_key_is_401(server: naiad.Server) -> None:
    answer = ask(server, "GET", "/v2", Authorization="Bearer wrong")
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, 'Bearer error="invalid_token"')


@pytest.mark.parametrize("path", ["/v2/health/live", "/v2/health/ready"])
def test_probes_over_http_need_no_key(server: naiad.Server, path: str) -> None:
    assert ask(server, "GET", path).status == 200


def test_metrics_need_no_key(server: naiad.Server) -> None:
    with urllib.request.urlopen(server.metrics_url) as answer:
        assert answer.status == 200


def test_a_body_without_a_key_is_refused_before_it_is_sent(server: naiad.Server) -> None:
    host, port = server.http_url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), WAIT_S) as client:
        client.sendall(b"POST /v2/models/m/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_the_client_sends_its_key(server: naiad.Server) -> None:
    x = np.array([1, 2], np.float32)
    with naiad.Client(server.http_url, api_key=KEY) as client:
        assert client.infer("m", {"X": x})["Y"].tolist() == [1, 2]
    with naiad.Client(server.http_url) as client:
        assert client.ready()
        with pytest.raises(InvalidArgumentError, match=r"asks for an API key.*takes it as api_key.*NAIAD_API_KEY"):
            client.infer("m", {"X": x})


@pytest.fixture
def stub(server: naiad.Server) -> Iterator[Any]:
    with grpc.insecure_channel(server.grpc_url.removeprefix("grpc://")) as channel:
        yield service_pb2_grpc.GRPCInferenceServiceStub(channel)


@pytest.mark.parametrize("metadata", [(), (("authorization", "Bearer wrong"),), (("authorization", KEY),)])
def test_grpc_without_a_good_key_is_unauthenticated(stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=WAIT_S, metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "send one as 'Authorization: Bearer KEY'" in caught.value.details()


def test_grpc_with_a_key_is_answered(stub: Any) -> None:
    metadata = (("authorization", f"Bearer {KEY}"),)
    assert stub.ServerMetadata(pb.ServerMetadataRequest(), timeout=WAIT_S, metadata=metadata).name == "naiad"


def test_probes_over_grpc_need_no_key(stub: Any) -> None:
    assert stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live
    assert stub.ServerReady(pb.ServerReadyRequest(), timeout=WAIT_S).ready


def test_a_server_without_its_keys_does_not_start(tmp_path: Path) -> None:
    missing = tmp_path / "keys"
    server = naiad.Server(tmp_path, **FREE_PORTS, api_key_file=str(missing))
    with pytest.raises(InvalidArgumentError, match="keys cannot be read"):
        server.start()


def test_a_key_that_cannot_be_one_is_refused_without_it() -> None:
    with pytest.raises(InvalidArgumentError, match="the API key has characters beside printable ASCII") as caught:
        naiad.Client(api_key="s3cret\n")
    assert "s3cret" not in str(caught.value)
