# SPDX-License-Identifier: Apache-2.0
"""Every route over HTTP and every method over gRPC is compared with Triton, once at least when it answers well and once
when it fails. Needs no Triton: it counts what the other files of this folder ask.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple, cast

import pytest
from tests.conformance import test_access, test_generate, test_grpc, test_observing, test_shared_memory
from tests.conformance.test_conformance import TABLE
from tests.conformance.wire import Request

from naiad.server.grpc.services import inference_services
from naiad.server.http import routes
from naiad.server.http.router import Route
from naiad.shm.regions import Regions

_NOT_CONTROLLED = "models are loaded and unloaded on request in a mode that is not there yet"
_NO_GPU = "there is no GPU whose memory could be registered"
_SERVICE = "/inference.GRPCInferenceService"

NEVER_WELL = {
    "POST /v2/repository/models/{model}/load": _NOT_CONTROLLED,
    "POST /v2/repository/models/{model}/unload": _NOT_CONTROLLED,
    "POST /v2/repository/{repository}/models/{model}/load": "Triton has no names of repositories",
    "POST /v2/repository/{repository}/models/{model}/unload": "Triton has no names of repositories",
    "POST /v2/cudasharedmemory[/region/{region}]/register": _NO_GPU,
    f"{_SERVICE}/RepositoryModelLoad": _NOT_CONTROLLED,
    f"{_SERVICE}/RepositoryModelUnload": _NOT_CONTROLLED,
    f"{_SERVICE}/CudaSharedMemoryRegister": _NO_GPU,
}
"""What no case can see answered well, and why."""

ONLY_REFUSED = {
    "GET /v2": "the server can always be described",
    "GET /v2/models/stats": "there are always statistics, if of no model",
    "GET /v2/logging": "there are always settings",
    "GET /v2/trace/setting": "there are always settings",
    "POST /v2/cudasharedmemory[/region/{region}]/register": "a Triton built for GPUs says otherwise what is wrong",
    "POST /v2/cudasharedmemory[/region/{region}]/unregister": "to forget what is not there is no error",
    "POST /v2/systemsharedmemory[/region/{region}]/unregister": "to forget what is not there is no error",
}
"""What fails only for those who are not let in, and why."""

NEVER_FAILS = {"GET /v2/health/live": "a server that answers is live"}


class Asked(NamedTuple):
    """Something that a case asks: `what` is a method and path, or the path of a gRPC method; whether it went well."""

    protocol: str
    what: str
    ok: bool
    restricted: bool = False


def _asked_over_http() -> Iterator[Asked]:
    """Yield every request of the tables; what is no more than bytes, about HTTP itself, is left out."""
    for case in TABLE:
        if isinstance(case.sent, Request):
            yield Asked("HTTP", f"{case.sent.method} {case.sent.target}", case.status == 200)
    for path in ("generate", "generate_stream"):
        for name, (model, _) in test_generate.BODIES.items():
            yield Asked("HTTP", f"POST /v2/models/{model}/{path}", name in test_generate.GOOD)
    for step in test_shared_memory.http_steps("/key"):
        yield Asked("HTTP", f"{step.method} {step.path}", step.ok)
    for path in test_observing.STATISTICS:
        yield Asked("HTTP", f"GET /v2/models/{path}", True)
    for route in test_access.HTTP:
        is_health = route.startswith("GET /v2/health/")
        yield from (Asked("HTTP", route, is_health, restricted=True) for _ in ("no header", "a wrong one"))


def _asked_over_grpc() -> Iterator[Asked]:
    for case in (*test_grpc.CASES.values(), *test_shared_memory.grpc_steps("/key")):
        yield Asked("gRPC", f"{_SERVICE}/{case.method}", case.ok)
    for name in test_grpc.STREAMS:
        yield Asked("gRPC", f"{_SERVICE}/ModelStreamInfer", name != "failures")
    for path, _ in test_grpc.MALFORMED.values():
        yield Asked("gRPC", path, False)
    for _ in test_grpc.HEALTH:
        yield Asked("gRPC", "/grpc.health.v1.Health/Check", True)
    for method in test_grpc.ALL:
        is_health = method in {"ServerLive", "ServerReady", "ModelReady"}
        yield from (
            Asked("gRPC", f"{_SERVICE}/{method}", is_health, restricted=True) for _ in ("no header", "a wrong one")
        )


ASKED = (*_asked_over_http(), *_asked_over_grpc())


@pytest.fixture
def http_routes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every method and path of the HTTP port, as the table of routes spells it."""
    monkeypatch.setattr(routes, "Router", lambda table, _: tuple(table))
    nothing = cast(Any, None)
    table = cast("tuple[Route, ...]", routes.inference_api(nothing, Regions(allowed=True), *[nothing] * 4))
    return [f"{method} {route.path}" for route in table for method in route.methods.split()]


@pytest.fixture
def grpc_methods() -> list[str]:
    """Every method of the gRPC port."""
    return list(inference_services(cast(Any, None), Regions(allowed=True), cast(Any, None), cast(Any, None)))


def _is_about(asked: Asked, route: str) -> bool:
    if asked.protocol == "gRPC":
        return asked.what == route
    pattern = re.escape(route).replace(r"\[", "(?:").replace(r"\]", ")?").replace(r"\{version\}", "[0-9]+")
    return re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", pattern), asked.what.partition("?")[0]) is not None


def _unmet(where: list[str]) -> Iterator[str]:
    for route in where:
        about = [asked for asked in ASKED if _is_about(asked, route)]
        if route not in NEVER_WELL and not any(asked.ok for asked in about):
            yield f"{route}: no case in which it answers well"
        failures = [asked for asked in about if not asked.ok and (route in ONLY_REFUSED or not asked.restricted)]
        if not failures and route not in NEVER_FAILS:
            yield f"{route}: no case in which it fails"


def test_every_route_over_http_answers_well_and_fails_in_some_case(http_routes: list[str]) -> None:
    assert list(_unmet(http_routes)) == []


def test_every_method_over_grpc_answers_well_and_fails_in_some_case(grpc_methods: list[str]) -> None:
    assert list(_unmet(grpc_methods)) == []


def test_every_exception_is_about_some_route(http_routes: list[str], grpc_methods: list[str]) -> None:
    assert {*NEVER_WELL, *ONLY_REFUSED, *NEVER_FAILS} <= {*http_routes, *grpc_methods}


def test_there_are_hundreds_over_each_protocol_and_half_of_them_fail() -> None:
    """The README tells the sum."""
    count = Counter((asked.protocol, asked.ok) for asked in ASKED)
    assert count["HTTP", False] > count["HTTP", True] > 450
    assert count["gRPC", False] > count["gRPC", True] > 100
