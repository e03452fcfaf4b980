# SPDX-License-Identifier: Apache-2.0
"""Restricted categories of the HTTP API: which routes they cover, and what is answered without the header."""

from collections.abc import Sequence
from typing import cast

import pytest
from tests.server.responders import AnswersWhole

from naiad.engine.dataplane import DataPlane
from naiad.options import RESTRICTED_CATEGORIES
from naiad.protocol.http1.head import Limits, parse_head
from naiad.protocol.http1.responses import Headers
from naiad.server.http.categories import category_of
from naiad.server.http.exchange import Exchange
from naiad.server.http.routes import inference_api
from naiad.server.transport.access import Lock
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.regions import Regions
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.traces.tracer import Tracer

ROUTES = {
    "health": [
        *("GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/m/ready"),
        "GET /v2/models/m/versions/1/ready",
    ],
    "metadata": ["GET /v2", "GET /v2/models/m", "GET /v2/models/m/versions/1"],
    "inference": [
        *("POST /v2/models/m/infer", "POST /v2/models/m/versions/1/infer", "POST /v2/models/m/generate"),
        "POST /v2/models/m/versions/1/generate_stream",
    ],
    "shared-memory": [
        *("GET /v2/systemsharedmemory/status", "POST /v2/systemsharedmemory/region/r/register"),
        *("POST /v2/cudasharedmemory/unregister", "GET /v2/cudasharedmemory/region/r/status"),
    ],
    "model-config": ["GET /v2/models/m/config", "GET /v2/models/m/versions/1/config"],
    "model-repository": [
        *("POST /v2/repository/index", "POST /v2/repository/x/index", "POST /v2/repository/models/m/load"),
        "POST /v2/repository/x/models/m/unload",
    ],
    "statistics": ["GET /v2/models/stats", "GET /v2/models/m/stats", "GET /v2/models/m/versions/1/stats"],
    "trace": ["GET /v2/trace/setting", "POST /v2/models/m/trace/setting"],
    "logging": ["GET /v2/logging", "POST /v2/logging"],
}
CASES = [(category, *route.split()) for category, routes in ROUTES.items() for route in routes]


class Port(AnswersWhole):
    """The HTTP port's router with a lock on each category; notes the status and body of answers."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes]] = []
        locks = {category: Lock(f"Key-{category}", category.encode()) for category in RESTRICTED_CATEGORIES}
        # What gets past a lock fails for want of a data plane; here only that is of interest.
        dataplane, regions = cast(DataPlane, None), Regions(allowed=False)
        self._router = inference_api(
            dataplane, regions, SlowWork(), BodyBudget(), ServerLog(), cast(Tracer, None), locks=locks
        )

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Sequence[bytes | memoryview]) -> None:
        self.answers.append((status, b"".join(buffers)))

    def ask(self, method: str, path: str, header: str = "") -> tuple[int, bytes]:
        head = parse_head(f"{method} {path} HTTP/1.1\r\n{header}\r\n".encode(), Limits())
        exchange = Exchange(self, head, b"")
        exchange.run(self._router, exchange)
        return self.answers.pop()


def test_the_cases_are_of_all_categories() -> None:
    assert ROUTES.keys() == set(RESTRICTED_CATEGORIES)


@pytest.mark.parametrize(("category", "method", "path"), CASES)
def test_a_route_is_closed_to_those_without_its_category_s_header(category: str, method: str, path: str) -> None:
    port = Port()
    refused = (403, f'{{"error":"This API is restricted, expecting header \'Key-{category}\'"}}'.encode())

    assert port.ask(method, path) == refused
    assert port.ask(method, path, f"key-{category}: wrong\r\n") == refused
    assert port.ask(method, path, f"key-{category}: {category}\r\n")[0] != 403


def test_an_unknown_path_is_404_and_a_wrong_method_403() -> None:
    port = Port()

    assert port.ask("GET", "/v2/nothing")[0] == 404
    assert port.ask("DELETE", "/v2")[0] == 403
    assert port.ask("DELETE", "/v2", "key-metadata: metadata\r\n")[0] == 405


def test_a_route_without_a_category_cannot_be_served() -> None:
    with pytest.raises(LookupError, match="the route /v2/new has no category"):
        category_of("/v2/new")


def test_a_value_sent_twice_opens_nothing() -> None:
    assert Port().ask("GET", "/v2", "key-metadata: metadata\r\nkey-metadata: metadata\r\n")[0] == 403
