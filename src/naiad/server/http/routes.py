# SPDX-License-Identifier: Apache-2.0
"""The table of what the HTTP port serves, as Triton has it. May import its neighbours, `transport`, `telemetry`."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from naiad.engine.dataplane import DataPlane
from naiad.server.http.categories import category_of
from naiad.server.http.handlers.generate import GenerateHandlers
from naiad.server.http.handlers.inference import InferenceHandlers
from naiad.server.http.handlers.information import InformationHandlers
from naiad.server.http.handlers.log_settings import LogSettingsHandlers
from naiad.server.http.handlers.shared_memory import SharedMemoryHandlers
from naiad.server.http.handlers.trace_settings import TraceSettingsHandlers
from naiad.server.http.handlers.unsupported import refusal
from naiad.server.http.router import Route, Router
from naiad.server.transport.access import Lock
from naiad.server.transport.bodies import BodyBudget
from naiad.server.transport.forwarding import HeaderForwarding
from naiad.server.transport.model_control import no_repository_name, refusal_to_load
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.regions import Regions
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.traces.tracer import Tracer

_MODEL = "/v2/models/{model}[/versions/{version}]"
_NO_LOCKS: Mapping[str, Lock] = MappingProxyType({})


def inference_api(
    dataplane: DataPlane,
    regions: Regions,
    slow_work: SlowWork,
    budget: BodyBudget,
    log: ServerLog,
    tracer: Tracer,
    max_input_bytes: int = 64 * 1024 * 1024,
    locks: Mapping[str, Lock] = _NO_LOCKS,
    forwarding: HeaderForwarding | None = None,
) -> Router:
    """Return the handler of the HTTP port.

    `budget` is the one its `HttpServer` receives bodies under; `max_input_bytes` is Triton's `--http-max-input-size`.
    `locks` are those of the restricted categories. `forwarding` hands headers of inference requests to the models.
    """
    inference = InferenceHandlers(dataplane, regions, slow_work, budget, tracer, max_input_bytes, forwarding)
    generate = GenerateHandlers(dataplane, slow_work, tracer, max_input_bytes, forwarding)
    served = _served(InformationHandlers(dataplane), inference, generate)
    settings = *_log_settings(log), *_trace_settings(TraceSettingsHandlers(dataplane, tracer))
    routes = (*served, *_shared_memory(SharedMemoryHandlers(regions)), *settings, *_refused())
    return Router(routes, lambda path: locks.get(category_of(path)))


def _served(
    information: InformationHandlers, inference: InferenceHandlers, generate: GenerateHandlers
) -> Iterator[Route]:
    yield Route("GET", "/v2", information.server_metadata)
    yield Route("GET", "/v2/health/live", information.server_live)
    yield Route("GET", "/v2/health/ready", information.server_ready)
    yield Route("GET", "/v2/models/stats", information.all_statistics)
    yield Route("GET", _MODEL, information.model_metadata)
    yield Route("GET", _MODEL + "/ready", information.model_ready)
    yield Route("GET", _MODEL + "/config", information.model_config)
    yield Route("GET", _MODEL + "/stats", information.model_statistics)
    yield Route("POST", _MODEL + "/infer", inference.infer)
    yield Route("POST", _MODEL + "/generate", generate.generate)
    yield Route("POST", _MODEL + "/generate_stream", generate.generate_stream)
    yield Route("POST", "/v2/repository[/{repository}]/index", information.repository_index)


def _shared_memory(handlers: SharedMemoryHandlers) -> Iterator[Route]:
    system, cuda = "/v2/systemsharedmemory[/region/{region}]", "/v2/cudasharedmemory[/region/{region}]"
    yield Route("GET", f"{system}/status", handlers.status)
    yield Route("POST", f"{system}/register", handlers.register)
    yield Route("POST", f"{system}/unregister", handlers.unregister)
    yield Route("GET", f"{cuda}/status", handlers.cuda_status)
    yield Route("POST", f"{cuda}/register", handlers.cuda_register)
    yield Route("POST", f"{cuda}/unregister", handlers.cuda_unregister)


def _log_settings(log: ServerLog) -> Iterator[Route]:
    handlers = LogSettingsHandlers(log)
    yield Route("GET", "/v2/logging", handlers.tell)
    yield Route("POST", "/v2/logging", handlers.change)


def _trace_settings(handlers: TraceSettingsHandlers) -> Iterator[Route]:
    for path in ("/v2/trace/setting", "/v2/models/{model}/trace/setting"):
        yield Route("GET", path, handlers.tell)
        yield Route("POST", path, handlers.change)


def _refused() -> Iterator[Route]:
    yield Route("POST", "/v2/repository/models/{model}/load", refusal(refusal_to_load()))
    yield Route("POST", "/v2/repository/models/{model}/unload", refusal(refusal_to_load()))
    yield Route("POST", "/v2/repository/{repository}/models/{model}/load", refusal(no_repository_name()))
    yield Route("POST", "/v2/repository/{repository}/models/{model}/unload", refusal(no_repository_name()))
