# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import numpy as np
import pytest

from naiad.client import Client
from naiad.errors import (
    InternalError,
    InvalidArgumentError,
    NaiadError,
    NotFoundError,
    UnavailableError,
    UnsupportedError,
)

JSON_LENGTH = "Inference-Header-Content-Length"


class Request(NamedTuple):
    method: str
    path: str
    json_length: int | None
    body: bytes
    connection: int


class Reply(NamedTuple):
    status: int = 200
    body: bytes = b""
    json_length: int | None = None
    close: bool = False


class Stub:
    """A server that answers as it is told, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.reply: Callable[[Request], Reply] = lambda _: Reply()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = self.headers.get(JSON_LENGTH)
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(
                    self.command, self.path, int(length) if length else None, body, self.client_address[1]
                )
                stub.requests.append(request)
                reply = stub.reply(request)
                self.send_response(reply.status)
                self.send_header("Content-Length", str(len(reply.body)))
                if reply.json_length is not None:
                    self.send_header(JSON_LENGTH, str(reply.json_length))
                self.end_headers()
                with suppress(ConnectionError):  # a client that gave up
                    self.wfile.write(reply.body)
                self.close_connection = reply.close  # without saying so in a header

            do_POST = do_GET  # noqa: N815 - http.server's name

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def answer_json(self, document: object, status: int = 200) -> None:
        self.reply = lambda _: Reply(status, json.dumps(document).encode())


@pytest.fixture
def stub() -> Iterator[Stub]:
    made = Stub()
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    made.server.server_close()
    thread.join()


@pytest.fixture
def client(stub: Stub) -> Iterator[Client]:
    with Client(stub.url, timeout_s=5) as made:
        yield made


def binary_reply(*outputs: tuple[dict[str, object], bytes]) -> Reply:
    head = json.dumps({"model_name": "m", "model_version": "1", "outputs": [row for row, _ in outputs]}).encode()
    return Reply(200, head + b"".join(data for _, data in outputs), len(head))


def test_infer_sends_tensors_as_bytes_after_the_json(stub: Stub, client: Client) -> None:
    stub.reply = lambda _: binary_reply()
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    client.infer("yolo", {"images": image, "names": ["a", "bc"]}, version="3", outputs=["boxes"])
    request = stub.requests[-1]
    assert (request.method, request.path) == ("POST", "/v2/models/yolo/versions/3/infer")
    assert json.loads(request.body[: request.json_length]) == {
        "inputs": [
            {"name": "images", "shape": [2, 3], "datatype": "FP32", "parameters": {"binary_data_size": 24}},
            {"name": "names", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 11}},
        ],
        "outputs": [{"name": "boxes", "parameters": {"binary_data": True}}],
        "parameters": {"binary_data_output": True},
    }
    assert request.body[request.json_length :] == image.tobytes() + b"\1\0\0\0a\2\0\0\0bc"


def test_infer_sends_rows_of_a_strided_array_in_order(stub: Stub, client: Client) -> None:
    stub.reply = lambda _: binary_reply()
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    client.infer("m", {"x": array})
    request = stub.requests[-1]
    assert np.frombuffer(request.body[request.json_length :], "<i4").tolist() == [0, 3, 1, 4, 2, 5]


def test_infer_reads_binary_and_json_outputs(stub: Stub, client: Client) -> None:
    boxes = np.array([[1.5, -2.0]], np.float32)
    stub.reply = lambda _: binary_reply(
        ({"name": "text", "datatype": "BYTES", "shape": [2], "data": ["é", ""]}, b""),
        (
            {"name": "boxes", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}},
            boxes.tobytes(),
        ),
        ({"name": "raw", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 6}}, b"\2\0\0\0\xff\0"),
        ({"name": "count", "datatype": "INT64", "shape": [2], "data": [7, -1]}, b""),
    )
    outputs = client.infer("m", {"x": np.zeros(1, np.uint8)})
    assert list(outputs) == ["text", "boxes", "raw", "count"]
    assert outputs["text"].tolist() == ["é".encode(), b""]
    assert outputs["raw"].tolist() == [b"\xff\0"]
    np.testing.assert_array_equal(outputs["boxes"], boxes, strict=True)
    np.testing.assert_array_equal(outputs["count"], np.array([7, -1]), strict=True)


def test_an_array_without_a_datatype_is_refused_before_it_is_sent(stub: Stub, client: Client) -> None:
    with pytest.raises(InvalidArgumentError, match="numpy dtype 'complex64'"):
        client.infer("m", {"x": np.zeros(1, np.complex64)})
    assert stub.requests == []


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidArgumentError),
        (404, NotFoundError),
        (500, InternalError),
        (501, UnsupportedError),
        (503, UnavailableError),
        (413, InvalidArgumentError),
        (502, InternalError),
    ],
)
def test_an_error_has_the_class_of_its_status_and_the_servers_text(
    stub: Stub, client: Client, status: int, kind: type[NaiadError]
) -> None:
    stub.answer_json({"error": "Request for unknown model: 'm' is not found"}, status)
    with pytest.raises(kind) as caught:
        client.model_config("m")
    assert type(caught.value) is kind
    assert str(caught.value) == "Request for unknown model: 'm' is not found"


def test_an_error_without_a_readable_body_still_tells_the_status(stub: Stub, client: Client) -> None:
    stub.reply = lambda _: Reply(500, b"<html>")
    with pytest.raises(InternalError, match="HTTP 500"):
        client.server_metadata()


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply(400, b"this port speaks gRPC"), "the server answered HTTP 400: this port speaks gRPC"),
        (Reply(502, b"<html>Bad Gateway</html>"), "the server answered HTTP 502 without saying why; check the URL"),
        (
            Reply(405, b'{"error":"Method Not Allowed"}'),
            "{url} answers: Method Not Allowed; check the URL, expected that",
        ),
        (Reply(200, b"<html>It works!</html>"), "what answers at {url} gives no JSON; check the URL"),
    ],
)
def test_what_is_no_server_of_models_is_told_from_one(stub: Stub, client: Client, reply: Reply, told: str) -> None:
    stub.reply = lambda _: reply
    with pytest.raises(NaiadError) as caught:
        client.index()
    assert str(caught.value).startswith(told.format(url=client.url))


def test_questions_go_to_the_documented_paths(stub: Stub, client: Client) -> None:
    stub.answer_json({"model_stats": [{"name": "m"}]})
    client.model_metadata("a b", "2")
    client.model_config("m")
    assert client.statistics() == [{"name": "m"}]
    assert client.statistics("m", "1") == [{"name": "m"}]
    client.index(ready_only=True)
    assert [(request.method, request.path, request.body) for request in stub.requests] == [
        ("GET", "/v2/models/a%20b/versions/2", b""),
        ("GET", "/v2/models/m/config", b""),
        ("GET", "/v2/models/stats", b""),
        ("GET", "/v2/models/m/versions/1/stats", b""),
        ("POST", "/v2/repository/index", b'{"ready":true}'),
    ]


@pytest.mark.parametrize(("status", "truth"), [(200, True), (400, False)])
def test_health_is_the_status(stub: Stub, client: Client, status: int, truth: bool) -> None:
    stub.reply = lambda _: Reply(status)
    assert (client.live(), client.ready(), client.model_ready("m", "1")) == (truth, truth, truth)
    assert [request.path for request in stub.requests] == [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/m/versions/1/ready",
    ]


def test_nobody_there_is_not_ready_and_otherwise_an_error_with_a_fix() -> None:
    client = Client("http://127.0.0.1:1", timeout_s=1)
    assert not client.ready()
    with pytest.raises(
        UnavailableError, match=r"no server answers at http://127\.0\.0\.1:1 .*; start one with 'naiad serve'"
    ):
        client.index()


def test_a_connection_is_used_again(stub: Stub, client: Client) -> None:
    for _ in range(3):
        assert client.live()
    assert len({request.connection for request in stub.requests}) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(stub: Stub, client: Client) -> None:
    stub.reply = lambda _: Reply(close=True)
    assert client.live()
    assert client.live()
    assert len({request.connection for request in stub.requests}) == 2


def test_a_slow_answer_is_given_up(stub: Stub) -> None:
    release = threading.Event()

    def wait(_: Request) -> Reply:
        release.wait(5)
        return Reply(close=True)

    stub.reply = wait
    client = Client(stub.url, timeout_s=0.05)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.05 s"):
        client.index()
    release.set()


@pytest.mark.parametrize("url", ["", "grpc://host:1", "http://", "ftp://host"])
def test_what_is_not_a_servers_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not the URL of a server"):
        Client(url)


def test_a_bare_host_and_port_and_a_path_prefix_are_understood(stub: Stub) -> None:
    bare = stub.url.removeprefix("http://")
    with Client(f"{bare}/gateway/") as client:
        assert client.live()
    assert stub.requests[-1].path == "/gateway/v2/health/live"


def test_importing_it_brings_in_neither_grpc_nor_a_runtime() -> None:
    heavy = ("grpc", "onnxruntime", "asyncio", "torch", "ultralytics", "google.protobuf")
    code = f"import sys, naiad.client; print([name for name in {heavy!r} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
