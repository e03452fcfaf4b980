# SPDX-License-Identifier: Apache-2.0
"""The whole server, wired together: here, and nowhere else, the rooms are introduced to each other."""

import asyncio
import functools
import logging
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from naiad._version import __version__
from naiad.backends.threads import usable_cores
from naiad.engine.dataplane import DataPlane
from naiad.engine.model import EngineContext, Model
from naiad.errors import InternalError
from naiad.options import ServerOptions
from naiad.repository.catalog import Catalog, LoadReport
from naiad.repository.loading import Loader
from naiad.repository.scan import check_repositories, objection_to_emptiness
from naiad.server.grpc import authorization as grpc_authorization
from naiad.server.grpc.listener import GrpcServer
from naiad.server.grpc.services import inference_services
from naiad.server.grpc.settings import grpc_settings
from naiad.server.http import authorization as http_authorization
from naiad.server.http.handlers.metrics import metrics_handler
from naiad.server.http.listener import HttpServer
from naiad.server.http.routes import inference_api
from naiad.server.http.settings import http_settings
from naiad.server.machine_watch import MachineWatch
from naiad.server.memory import IdleTrimmer
from naiad.server.tracing import Tracing
from naiad.server.transport.access import GRPC_LOCK_PREFIX, ApiKeys, locks, read_api_keys
from naiad.server.transport.bodies import BodyBudget, charged
from naiad.server.transport.credentials import grpc_tls, http_tls, unused_files
from naiad.server.transport.forwarding import header_forwarding
from naiad.server.transport.slow_work import SlowWork
from naiad.shm.cudart import CudaMemory, find_cudart
from naiad.shm.regions import Regions
from naiad.snapshots import IndexEntry, LogSettings, ServerMetadata
from naiad.telemetry import metrics
from naiad.telemetry.gpus import GpuMonitor
from naiad.telemetry.logs import ServerLog
from naiad.telemetry.machine import MachineMonitor
from naiad.vision.metadata import inject_metadata

EXTENSIONS = (
    "classification",
    "model_repository",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)
"""Triton's names of the protocol extensions that work here, in Triton's order."""

_WRITING_TRACES_S = 5.0
"""How long a server that stops may take to write the last traces; a collector may not answer at all."""

_log = logging.getLogger(__name__)


class App:
    """One server: its models, its data plane and its ports. Lives on the event loop that calls `start`.

    Raises:
        InvalidArgumentError: the API keys cannot be read.
    """

    def __init__(self, options: ServerOptions, log: ServerLog | None = None) -> None:
        """Make the server; without a `log` it runs in a program that has its own."""
        self.options = options
        self.usable_cores = usable_cores()
        self.report = LoadReport(())
        self._metrics_settings = options.metrics_settings
        self._repositories = [Path(location) for location in options.model_repository]
        self._catalog = self._make_catalog()
        budget, grpc_budget = BodyBudget(options.http_max_bytes_in_flight), BodyBudget(options.grpc_max_bytes_in_flight)
        regions = _regions(options, budget)
        metadata = ServerMetadata(options.id, __version__, _extensions(regions))
        self.dataplane = DataPlane(self._catalog, metadata, options.max_requests_in_flight)
        self._slow_work = SlowWork()
        self._tracing = Tracing(options.trace_options, options.id)
        self._trimmer = IdleTrimmer((budget, grpc_budget))
        self._machine = MachineMonitor() if options.allow_cpu_metrics else None
        self._gpus = GpuMonitor() if options.allow_gpu_metrics else None
        self._machine_watch = MachineWatch(self._machine, self._gpus, options.metrics_interval_ms / 1e3)
        log = log or ServerLog(log_settings(options))
        keys = ApiKeys(read_api_keys(options.api_key_file)) if options.api_key_file else None
        self._http = self._make_http(log, regions, budget, keys)
        self._grpc = self._make_grpc(log, regions, grpc_budget, keys)
        self._metrics = HttpServer(metrics_handler(self._render_metrics), http_settings(options), budget)

    def _make_catalog(self) -> Catalog:
        options = self.options
        context = EngineContext.on(asyncio.get_running_loop(), self._metrics_settings)
        loader = Loader(
            make_model=functools.partial(Model.load, context=context),
            completers=(inject_metadata,),
            backend_options=options.backend_options,
            usable_cores=self.usable_cores,
            auto_complete=options.auto_complete,
        )
        return Catalog(
            self._repositories,
            loader,
            load_thread_count=options.model_load_thread_count,
            strict_readiness=options.strict_readiness,
        )

    def _make_http(self, log: ServerLog, regions: Regions, budget: BodyBudget, keys: ApiKeys | None) -> HttpServer:
        options = self.options
        api = inference_api(
            self.dataplane,
            regions,
            self._slow_work,
            budget,
            log,
            self._tracing.tracer,
            options.http_max_input_size,
            locks(options.http_restricted_api),
            header_forwarding(options.http_forwarded_names),
        )
        key_check = None if keys is None else http_authorization.key_check(keys)
        return HttpServer(api, http_settings(options), budget, key_check)

    def _make_grpc(self, log: ServerLog, regions: Regions, budget: BodyBudget, keys: ApiKeys | None) -> GrpcServer:
        options = self.options
        services = inference_services(
            self.dataplane,
            regions,
            log,
            self._tracing.tracer,
            locks(options.grpc_restricted_protocol, GRPC_LOCK_PREFIX),
            header_forwarding(options.grpc_forwarded_names),
        )
        key_check = None if keys is None else grpc_authorization.key_check(keys)
        return GrpcServer(services, grpc_settings(options), budget, self._slow_work, key_check)

    @property
    def http_port(self) -> int:
        """The port HTTP listens on; 0 if it does not."""
        return self._http.port

    @property
    def grpc_port(self) -> int:
        """The port gRPC listens on; 0 if it does not."""
        return self._grpc.port

    @property
    def metrics_port(self) -> int:
        """The port metrics are scraped from; 0 if they are not."""
        return self._metrics.port

    @property
    def http_url(self) -> str:
        """The URL of the HTTP endpoint as this machine reaches it, without a trailing slash."""
        scheme = "https" if self.options.http_uses_tls else "http"
        return f"{scheme}://{_reachable(self.options.http_address)}:{self.http_port}"

    @property
    def grpc_url(self) -> str:
        """The URL of the gRPC endpoint as this machine reaches it, in the form that Ultralytics takes."""
        return f"grpc://{_reachable(self.options.grpc_address)}:{self.grpc_port}"

    @property
    def metrics_url(self) -> str:
        """The URL that Prometheus scrapes, as this machine reaches it."""
        return f"http://{_reachable(self.options.effective_metrics_address)}:{self.metrics_port}/metrics"

    def index(self) -> Sequence[IndexEntry]:
        """Return every model with its versions' states and reasons."""
        return self.dataplane.index()

    async def start(self) -> None:
        """Open the ports and load the models; until they are loaded the server is live, but not ready.

        Raises:
            NaiadError: a repository or a port cannot be used, or, with `exit_on_error`, a model failed to load.
        """
        check_repositories(self._repositories)
        objection = objection_to_emptiness(self._repositories)
        if objection:
            _log.warning("%s", objection)
        options = self.options
        for unused in unused_files(options):
            _log.warning("%s", unused)
        if options.allow_http:
            await self._http.start(
                options.http_address,
                options.http_port,
                reuse_port=options.reuse_http_port,
                tls=http_tls(options),
            )
        if options.allow_grpc:
            await self._grpc.start(
                options.grpc_address,
                options.grpc_port,
                service="grpc",
                reuse_port=options.reuse_grpc_port,
                tls=grpc_tls(options),
            )
        if options.allow_metrics:
            await self._metrics.start(options.effective_metrics_address, options.metrics_port, service="metrics")
            self._machine_watch.start()
        self._trimmer.start()
        self.report = await self._catalog.load_all()
        if self.report.failed():
            explained_by = shlex.join(["naiad", "check", *options.model_repository])
            if options.exit_on_error:
                raise InternalError(_failed_to_load(self.report, explained_by))
            _log.warning("some models could not be loaded; to see how they should read: %s", explained_by)

    async def stop(self) -> bool:
        """Stop: not ready from now on, no new connections, requests in flight are finished, models released.

        Returns:
            Whether all of that was done within the exit timeout.
        """
        deadline_s = time.monotonic() + self.options.exit_timeout_secs
        self._http.drain()
        self._grpc.drain()
        closing = asyncio.ensure_future(self._catalog.close(self.options.exit_timeout_secs))
        await self._count_down(deadline_s)
        in_time = self._http.connection_count == self._grpc.connection_count == 0
        await self._http.stop()
        await self._grpc.stop()
        await self._metrics.stop()
        self._slow_work.close()
        await asyncio.to_thread(self._tracing.close, _WRITING_TRACES_S)
        self._trimmer.stop()
        self._machine_watch.stop()
        return await closing and in_time

    async def _count_down(self, deadline_s: float) -> None:
        """Wait until the last connection is closed, saying once a second how long that may still take."""
        for name, server in (("HTTP", self._http), ("gRPC", self._grpc)):
            while (left_s := deadline_s - time.monotonic()) > 0 and not await server.drained(min(1.0, left_s)):
                left = round(deadline_s - time.monotonic())
                _log.info("Timeout %d: Found %d active %s connections", left, server.connection_count, name)

    def _render_metrics(self) -> bytes:
        machine = None if self._machine is None else self._machine.usage
        gpus = () if self._gpus is None else self._gpus.usage
        return metrics.render(self.dataplane.statistics(), self._metrics_settings, machine, gpus)


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a uvloop event loop where there is one, else asyncio's own."""
    try:
        import uvloop  # noqa: PLC0415 - not there on every platform
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def log_settings(options: ServerOptions) -> LogSettings:
    """Return the settings of the log that the options ask for."""
    return LogSettings(
        file=options.log_file,
        info=options.log_info,
        warning=options.log_warning,
        error=options.log_error,
        verbose_level=options.log_verbose,
        format=options.log_format,
    )


def _reachable(address: str) -> str:
    """Return the host part of a URL for an address that is listened on."""
    if address in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address


def _regions(options: ServerOptions, budget: BodyBudget) -> Regions:
    """Return the regions of clients; what is copied from GPUs counts against `budget`, whoever asks for it."""
    cudart = find_cudart() if options.allow_client_shm else None
    cuda = None if cudart is None else CudaMemory(cudart, functools.partial(charged, budget))
    return Regions(allowed=options.allow_client_shm, cuda=cuda)


def _extensions(regions: Regions) -> tuple[str, ...]:
    there = {"system_shared_memory": regions.allowed, "cuda_shared_memory": regions.cuda is not None}
    return tuple(name for name in EXTENSIONS if there.get(name, True))


def _failed_to_load(report: LoadReport, explained_by: str) -> str:
    rows = "".join(
        f"\n  {row.name}{f' version {row.version}' if row.version else ''}: {row.reason}" for row in report.failed()
    )
    return (
        f"failed to load all models:{rows}\nmend them or take them out, or serve the others with --exit-on-error=false;"
        f" to see how they should read: {explained_by}"
    )
