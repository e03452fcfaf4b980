# SPDX-License-Identifier: Apache-2.0
"""TLS of the gRPC port, with grpcio as the client."""

import socket
import ssl
from pathlib import Path

import grpc
import pytest
from tests.server.grpc.serving import WAIT_S, Served, served
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.options import ServerOptions
from naiad.server.transport.credentials import grpc_tls


def context(certificate: Path, key: Path, root: Path | None = None) -> ssl.SSLContext:
    made = grpc_tls(
        ServerOptions(
            model_repository=("models",),
            grpc_use_ssl=True,
            grpc_use_ssl_mutual=root is not None,
            grpc_server_cert=str(certificate),
            grpc_server_key=str(key),
            grpc_root_cert=str(root or ""),
        )
    )
    assert made is not None
    return made


def is_live(serving: Served, credentials: grpc.ChannelCredentials) -> bool:
    with grpc.secure_channel(f"localhost:{serving.server.port}", credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return bool(stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live)


def test_calls_over_tls(certificates: Path) -> None:
    tls = context(certificates / "cert.pem", certificates / "key.pem")
    with served(tls=tls) as serving:
        assert is_live(serving, grpc.ssl_channel_credentials((certificates / "cert.pem").read_bytes()))


def test_http2_is_agreed_on_by_alpn(certificates: Path) -> None:
    tls = context(certificates / "cert.pem", certificates / "key.pem")
    client = ssl.create_default_context(cafile=str(certificates / "cert.pem"))
    client.set_alpn_protocols(["http/1.1", "h2"])
    with (
        served(tls=tls) as serving,
        socket.create_connection(("127.0.0.1", serving.server.port), WAIT_S) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
        assert secure.version() in {"TLSv1.2", "TLSv1.3"}


def test_only_clients_that_are_vouched_for_are_let_in(certificates: Path) -> None:
    certificate, key = certificates / "cert.pem", certificates / "key.pem"
    tls = context(certificate, key, certificate)
    with served(tls=tls) as serving:
        known = grpc.ssl_channel_credentials(certificate.read_bytes(), key.read_bytes(), certificate.read_bytes())
        assert is_live(serving, known)
        with pytest.raises(grpc.RpcError) as caught:
            is_live(serving, grpc.ssl_channel_credentials(certificate.read_bytes()))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
