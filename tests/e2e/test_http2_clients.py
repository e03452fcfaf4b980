# SPDX-License-Identifier: Apache-2.0
"""The gRPC port as other implementations of HTTP/2 see it: curl, nghttp and h2load. `test_grpc_js` has Node's."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.e2e.serving import Serving

_LIVE = "/inference.GRPCInferenceService/ServerLive"
_PACKAGES = {"nghttp": "nghttp2-client", "h2load": "nghttp2-client"}


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
