# SPDX-License-Identifier: Apache-2.0
"""The table of what the HTTP port serves, as Triton has it. May import its neighbours, `server.access`, `telemetry`."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from naiad.engine.dataplane import DataPlane
from naiad.server.access import Lock
from naiad.server.bodies import BodyBudget
from naiad.server.http.categories import category_of
from naiad.server.http.handlers.inference import InferenceHandler
from naiad.server.http.handlers.information import InformationHandlers
from naiad.server.http.handlers.log_settings import LogSettingsHandlers
from naiad.server.http.handlers.unsupported import (
    MODEL_CONTROL_OFF,
    NO_REPOSITORY_NAME,
    SHARED_MEMORY_OFF,
    not_yet,
    refusal,
)
from naiad.server.http.router import Route, Router
from naiad.server.slow_work import SlowWork
from naiad.telemetry.logs import ServerLog

_MODEL = "/v2/models/{model}[/versions/{version}]"
_NO_LOCKS: Mapping[str, Lock] = MappingProxyType({})


def inference_api(
    dataplane: DataPlane,
    slow_work: SlowWork,
    budget: BodyBudget,
    log: ServerLog,
    max_input_bytes: int = 64 * 1024 * 1024,
    locks: Mapping[str, Lock] = _NO_LOCKS,
) -> Router:
    """Return the handler of the HTTP port.

    `budget` is the one its `HttpServer` receives bodies under; `max_input_bytes` is Triton's `--http-max-input-size`.
    `locks` are those of the restricted categories.
    """
    inference = InferenceHandler(dataplane, slow_work, budget, max_input_bytes)
    routes = (*_served(InformationHandlers(dataplane), inference), *_log_settings(log), *_refused())
    return Router(routes, lambda path: locks.get(category_of(path)))


def _served(information: InformationHandlers, inference: InferenceHandler) -> Iterator[Route]:
    yield Route("GET", "/v2", information.server_metadata)
    yield Route("GET", "/v2/health/live", information.live)
    yield Route("GET", "/v2/health/ready", information.ready)
    yield Route("GET", "/v2/models/stats", information.all_statistics)
    yield Route("GET", _MODEL, information.model_metadata)
    yield Route("GET", _MODEL + "/ready", information.model_ready)
    yield Route("GET", _MODEL + "/config", information.model_config)
    yield Route("GET", _MODEL + "/stats", information.model_statistics)
    yield Route("POST", _MODEL + "/infer", inference.infer)
    yield Route("POST", "/v2/repository[/{repository}]/index", information.index)


def _log_settings(log: ServerLog) -> Iterator[Route]:
    handlers = LogSettingsHandlers(log)
    yield Route("GET", "/v2/logging", handlers.tell)
    yield Route("POST", "/v2/logging", handlers.change)


def _refused() -> Iterator[Route]:
    generate = not_yet("the generate extension")
    yield Route("POST", _MODEL + "/generate", generate)
    yield Route("POST", _MODEL + "/generate_stream", generate)
    yield Route("POST", "/v2/repository/models/{model}/load", refusal(MODEL_CONTROL_OFF))
    yield Route("POST", "/v2/repository/models/{model}/unload", refusal(MODEL_CONTROL_OFF))
    yield Route("POST", "/v2/repository/{repository}/models/{model}/load", refusal(NO_REPOSITORY_NAME))
    yield Route("POST", "/v2/repository/{repository}/models/{model}/unload", refusal(NO_REPOSITORY_NAME))
    for kind, feature in (("systemsharedmemory", "system shared memory"), ("cudasharedmemory", "CUDA shared memory")):
        yield Route("GET", f"/v2/{kind}[/region/{{region}}]/status", not_yet(f"the {feature} extension"))
        yield Route("POST", f"/v2/{kind}/region/{{region}}/register", refusal(SHARED_MEMORY_OFF))
        yield Route("POST", f"/v2/{kind}[/region/{{region}}]/unregister", refusal(SHARED_MEMORY_OFF))
    yield Route("GET POST", "/v2/models/{model}/trace/setting", not_yet("the trace extension"))
    yield Route("GET POST", "/v2/trace/setting", not_yet("the trace extension"))
