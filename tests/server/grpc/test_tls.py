# SPDX-License-Identifier: Apache-2.0
"""TLS of the gRPC port, with certificates made by openssl for the test."""

import shutil
import socket
import ssl
import subprocess
from pathlib import Path

import grpc
import pytest
from tests.server.grpc.serving import WAIT_S, Served, served
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.errors import InvalidArgumentError
from naiad.server.grpc.credentials import server_context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `cert.pem` and `key.pem` for localhost; the certificate vouches for itself."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl, to make a certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def is_live(serving: Served, credentials: grpc.ChannelCredentials) -> bool:
    with grpc.secure_channel(f"localhost:{serving.server.port}", credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        return bool(stub.ServerLive(pb.ServerLiveRequest(), timeout=WAIT_S).live)


def test_calls_over_tls(files: Path) -> None:
    tls = server_context(str(files / "cert.pem"), str(files / "key.pem"))
    with served(tls=tls) as serving:
        assert is_live(serving, grpc.ssl_channel_credentials((files / "cert.pem").read_bytes()))


def test_http2_is_agreed_on_by_alpn(files: Path) -> None:
    tls = server_context(str(files / "cert.pem"), str(files / "key.pem"))
    client = ssl.create_default_context(cafile=str(files / "cert.pem"))
    client.set_alpn_protocols(["http/1.1", "h2"])
    with (
        served(tls=tls) as serving,
        socket.create_connection(("127.0.0.1", serving.server.port), WAIT_S) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "h2"
        assert secure.version() in {"TLSv1.2", "TLSv1.3"}


def test_only_clients_that_are_vouched_for_are_let_in(files: Path) -> None:
    certificate, key = files / "cert.pem", files / "key.pem"
    tls = server_context(str(certificate), str(key), str(certificate))
    with served(tls=tls) as serving:
        known = grpc.ssl_channel_credentials(certificate.read_bytes(), key.read_bytes(), certificate.read_bytes())
        assert is_live(serving, known)
        with pytest.raises(grpc.RpcError) as caught:
            is_live(serving, grpc.ssl_channel_credentials(certificate.read_bytes()))
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_files_that_cannot_be_used_are_named(files: Path) -> None:
    certificate, key = str(files / "cert.pem"), str(files / "key.pem")
    with pytest.raises(InvalidArgumentError, match="--grpc-server-cert=/nowhere and --grpc-server-key="):
        server_context("/nowhere", key)
    with pytest.raises(InvalidArgumentError, match="cannot be used, expected PEM files of a certificate and its key"):
        server_context(certificate, certificate)
    with pytest.raises(InvalidArgumentError, match="--grpc-root-cert=/nowhere cannot be used"):
        server_context(certificate, key, "/nowhere")
