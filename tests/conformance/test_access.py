# SPDX-License-Identifier: Apache-2.0
"""Restricted APIs and protocols: both servers with the same restrictions, asked without, with a wrong and with the
right header.
"""

from typing import Any

import grpc
import pytest
from tests.conformance.conftest import RESTRICTED, Servers
from tests.conformance.test_grpc import ALL
from tests.conformance.wire import Request, converse

HEADERS = {"no": "", "a wrong": "wrong", "the right": RESTRICTED.value}
HTTP = (
    *("GET /v2", "GET /v2/models/m", "DELETE /v2", "GET /v2/nothing", "GET /v2/models/m/config"),
    *("GET /v2/models/m/ready", "GET /v2/health/live", "GET /v2/health/ready"),
    *("GET /v2/models/stats", "GET /v2/models/m/stats", "POST /v2/models/m/infer", "GET /v2/models/m/infer"),
    *("POST /v2/models/m/generate", "POST /v2/models/m/generate_stream", "POST /v2/repository/index"),
    *("POST /v2/repository/models/m/load", "POST /v2/repository/models/m/unload"),
    *("GET /v2/systemsharedmemory/status", "GET /v2/cudasharedmemory/status", "GET /v2/trace/setting"),
    "GET /v2/logging",
    *("POST /v2/systemsharedmemory/region/r/register", "POST /v2/cudasharedmemory/region/r/unregister"),
    *("GET /v2/systemsharedmemory/region/r/status", "POST /v2/systemsharedmemory/region/r/unregister"),
    *("GET /v2/cudasharedmemory/region/r/status", "POST /v2/cudasharedmemory/region/r/register"),
    *("POST /v2/repository/r/index", "POST /v2/repository/r/models/m/load", "POST /v2/repository/r/models/m/unload"),
    *("GET /v2/models/m/versions/1", "GET /v2/models/m/versions/1/stats", "POST /v2/models/m/versions/1/infer"),
    *("POST /v2/logging", "POST /v2/trace/setting", "GET /v2/models/m/trace/setting"),
    *("POST /v2/models/m/trace/setting", "POST /v2/models/m/versions/1/generate", "PUT /v2/models/m/config"),
)  # fmt: skip
OPEN = ("GET /v2", "DELETE /v2", "GET /v2/nothing", "GET /v2/models/stats", "POST /v2/repository/index")
"""Of these the answer to the right header is compared too; of others it may be of later work."""


def _ask(port: int, route: str, value: str) -> tuple[int, str | None, bytes]:
    method, target = route.split()
    headers = ((RESTRICTED.key, value),) if value else ()
    (answer,) = converse(port, Request(method, target, headers=headers).encoded()).answers
    body = answer.body if answer.status in {403, 404, 405} else b""
    return answer.status, answer.headers.get("content-type"), body


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("route", HTTP)
def test_http_is_restricted_as_triton_does_it(restricted_servers: Servers, route: str, header: str) -> None:
    theirs = _ask(restricted_servers.triton.http, route, HEADERS[header])
    ours = _ask(restricted_servers.naiad.http, route, HEADERS[header])

    if header == "the right" and route not in OPEN:
        assert (ours[0] == 403) == (theirs[0] == 403)
    else:
        assert ours == theirs


def _call(port: int, method: str, value: str) -> tuple[grpc.StatusCode, str]:
    metadata = ((f"triton-grpc-protocol-{RESTRICTED.key}", value),) if value else ()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        path = f"/inference.GRPCInferenceService/{method}"
        call: Any = channel.stream_stream(path, lambda data: data, lambda data: data)
        try:
            list(call(iter([b""]), timeout=10, metadata=metadata))
        except grpc.RpcError as error:
            told: Any = error
            return told.code(), told.details()
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("method", ALL)
def test_grpc_is_restricted_as_triton_does_it(restricted_servers: Servers, method: str, header: str) -> None:
    theirs = _call(restricted_servers.triton.grpc, method, HEADERS[header])
    ours = _call(restricted_servers.naiad.grpc, method, HEADERS[header])

    if header == "the right":
        assert "restricted" not in ours[1] + theirs[1]
    else:
        assert ours == theirs
