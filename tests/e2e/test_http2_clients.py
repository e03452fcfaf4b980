# SPDX-License-Identifier: Apache-2.0
"""The gRPC port as other implementations of HTTP/2 see it: curl, nghttp and h2load, and Node with grpc-js."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.e2e.serving import Serving

from naiad.config.proto import service_pb2

_LIVE = "/inference.GRPCInferenceService/ServerLive"
_PACKAGES = {"nghttp": "nghttp2-client", "h2load": "nghttp2-client", "node": "nodejs"}


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name} (Debian: {_PACKAGES.get(name, name)})")
    return found


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def empty_message(tmp_path: Path) -> str:
    """A file with one gRPC message without content."""
    path = tmp_path / "message"
    path.write_bytes(bytes(5))
    return str(path)


def test_curl(triton_server: Serving, empty_message: str, tmp_path: Path) -> None:
    curl, answer = _tool("curl"), tmp_path / "answer"
    if "HTTP2" not in _run(curl, "--version"):
        pytest.skip("needs a curl with HTTP/2")
    heads = _run(
        *(curl, "--silent", "--http2-prior-knowledge", "--dump-header", "-", "--output", str(answer)),
        *("-H", "content-type: application/grpc", "-H", "te: trailers", "--data-binary", f"@{empty_message}"),
        f"http://{triton_server.grpc}{_LIVE}",
    )
    assert heads.startswith("HTTP/2 200")
    assert "grpc-status: 0" in heads
    assert answer.read_bytes() == b"\0\0\0\0\2\x08\1"


def test_curl_over_http1_is_told_where_it_is(triton_server: Serving) -> None:
    assert "this port speaks gRPC" in _run(_tool("curl"), "--silent", f"http://{triton_server.grpc}/v2")


def test_nghttp_with_padding_and_priorities(triton_server: Serving, empty_message: str) -> None:
    said = _run(
        *(_tool("nghttp"), "--verbose", "--padding=100", "--window-bits=16", "--data", empty_message),
        *("-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{triton_server.grpc}{_LIVE}"),
    )
    assert "grpc-status: 0" in said
    assert "RST_STREAM" not in said


def test_h2load(triton_server: Serving, empty_message: str) -> None:
    said = _run(
        *(_tool("h2load"), "-n", "2000", "-c", "4", "-m", "32", "--data", empty_message),
        *("-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{triton_server.grpc}{_LIVE}"),
    )
    assert re.search(r"2000 succeeded, 0 failed, 0 errored", said)


def test_grpc_js(triton_server: Serving, tmp_path: Path) -> None:
    """Another implementation of gRPC; NODE_PATH names the folder that holds @grpc/grpc-js."""
    node = _tool("node")
    known = subprocess.run([node, "-e", "require('@grpc/grpc-js')"], capture_output=True, check=False, timeout=60)
    if known.returncode:
        pytest.skip("needs @grpc/grpc-js (`make tests` fetches it with npm, or NODE_PATH names a folder that has it)")
    request = service_pb2.ModelInferRequest(model_name="wide", raw_input_contents=[bytes(400_000)])
    request.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 100_000])
    message = tmp_path / "message"
    message.write_bytes(request.SerializeToString())
    said = json.loads(_run(node, str(Path(__file__).with_name("grpc_js.js")), triton_server.grpc, str(message)))
    assert said["live"] == {"size": 2}
    (answer,) = said["many"]
    assert answer["size"] > 400_000
    assert said["missing"] == {"code": 5, "details": "Request for unknown model: 'x' is not found"}
    assert said["nothing"]["code"] == 12
    assert said["streamed"] == {"code": 0, "answers": 50}
