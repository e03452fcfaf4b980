# SPDX-License-Identifier: Apache-2.0
"""A whole server that speaks HTTP inside TLS, on either event loop."""

import asyncio
import http.client
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from tests.builtin_models import identity, write_model

import naiad
from naiad.errors import InvalidArgumentError, UnavailableError
from naiad.options import ServerOptions
from naiad.server import embedded
from naiad.server.http.listener import HttpServer
from naiad.server.http.settings import HttpSettings, TimeLimits
from naiad.server.transport.credentials import http_tls

WAIT_S = 10
PORTS = {"http_port": 0, "allow_grpc": False, "allow_metrics": False}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("repository")
    write_model(folder, "m", identity(dims=-1, max_batch_size=0))
    return folder


def files(certificates: Path) -> dict[str, str]:
    return {"http_server_cert": str(certificates / "cert.pem"), "http_server_key": str(certificates / "key.pem")}


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest, repository: Path, certificates: Path) -> Iterator[naiad.Server]:
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    with pytest.MonkeyPatch.context() as patches:
        if request.param == "asyncio":
            patches.setattr(embedded, "new_event_loop", asyncio.new_event_loop)
        with naiad.Server(repository, http_use_ssl=True, **files(certificates), **PORTS) as running:
            yield running


@pytest.fixture
def trusting(certificates: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates / "cert.pem"))


def test_its_url_says_so(server: naiad.Server) -> None:
    assert server.http_url.startswith("https://127.0.0.1:")


@pytest.mark.parametrize("count", [3, 3_000_000])
def test_it_infers(server: naiad.Server, trusting: ssl.SSLContext, count: int) -> None:
    x = np.arange(count, dtype=np.float32)
    with naiad.Client(server.http_url, ssl_context=trusting) as client:
        for _ in range(2):
            assert np.array_equal(client.infer("m", {"X": x})["Y"], x)


def test_a_client_that_does_not_trust_the_certificate_says_what_to_do(server: naiad.Server) -> None:
    with (
        naiad.Client(server.http_url) as client,
        pytest.raises(UnavailableError, match=r"is not trusted \(self.signed certificate\); .* SSL_CERT_FILE"),
    ):
        client.server_metadata()


def test_a_client_that_asks_in_the_clear_is_told_of_tls(server: naiad.Server) -> None:
    url = server.http_url.replace("https", "http")
    with (
        naiad.Client(url) as client,
        pytest.raises(UnavailableError, match=f"or check the URL; if it speaks TLS: {server.http_url}$"),
    ):
        client.server_metadata()


def test_http_1_1_is_agreed_on_by_alpn(server: naiad.Server, trusting: ssl.SSLContext) -> None:
    trusting.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("127.0.0.1", urlsplit(server.http_url).port), WAIT_S) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        assert secure.selected_alpn_protocol() == "http/1.1"


def test_plain_http_gets_no_answer(server: naiad.Server) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(server.http_url).port), WAIT_S) as plain:
        plain.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"HTTP/1.1" not in plain.recv(1000)


def test_an_answer_before_the_body_s_end_is_read(server: naiad.Server, trusting: ssl.SSLContext) -> None:
    port = urlsplit(server.http_url).port
    with (
        socket.create_connection(("127.0.0.1", port), WAIT_S) as plain,
        trusting.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        secure.sendall(b"POST /v2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno chunk\r\n")
        answer = http.client.HTTPResponse(secure)
        answer.begin()
        assert answer.status == 400
        assert answer.read().startswith(b'{"error":')


def test_mutual_tls_lets_in_only_clients_that_are_vouched_for(
    repository: Path, certificates: Path, trusting: ssl.SSLContext
) -> None:
    root = str(certificates / "cert.pem")
    options = {"http_use_ssl_mutual": True, "http_root_cert": root, **files(certificates), **PORTS}
    known = ssl.create_default_context(cafile=root)
    known.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    with (
        naiad.Server(repository, **options) as server,
        naiad.Client(server.http_url, ssl_context=known) as client,
        naiad.Client(server.http_url, ssl_context=trusting) as stranger,
    ):
        assert client.server_metadata()["name"] == "naiad"
        with pytest.raises(UnavailableError):
            stranger.server_metadata()


def test_a_file_that_cannot_be_used_fails_the_start(repository: Path, certificates: Path) -> None:
    options = {"http_server_cert": "/nowhere", "http_server_key": str(certificates / "key.pem"), **PORTS}
    server = naiad.Server(repository, http_use_ssl=True, **options)
    with pytest.raises(InvalidArgumentError, match="--http-server-cert=/nowhere cannot be read"):
        server.start()


def test_a_drain_does_not_wait_for_a_client_that_has_nothing_to_ask(
    repository: Path, certificates: Path, trusting: ssl.SSLContext
) -> None:
    options = ServerOptions(model_repository=(str(repository),), http_use_ssl=True, **files(certificates))  # type: ignore[arg-type]
    tls = http_tls(options)

    def ask(port: int) -> ssl.SSLSocket:
        secure = trusting.wrap_socket(
            socket.create_connection(("127.0.0.1", port), WAIT_S), server_hostname="localhost"
        )
        secure.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert secure.recv(1000).startswith(b"HTTP/1.1 200 OK")
        return secure  # kept, and never read from again

    async def scenario() -> None:
        settings = HttpSettings(times=TimeLimits(linger_s=0.1))
        server = HttpServer(lambda exchange: exchange.respond(200), settings)
        await server.start("127.0.0.1", 0, tls=tls)
        with await asyncio.to_thread(ask, server.port):
            server.drain()
            assert await server.drained(WAIT_S)
        await server.stop()

    asyncio.run(scenario())
