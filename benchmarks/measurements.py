# SPDX-License-Identifier: Apache-2.0
"""The measurements themselves: each is a function of the run's setting, listed in `ALL`."""

import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import models, peers, perf_analyzer, uploads, wrk
from benchmarks.contestants import Setting, naiad, triton
from benchmarks.perf_analyzer import GRPC, HTTP, Way
from benchmarks.processes import ServerProcess
from benchmarks.results import Figure, Goal, Load, Measurement, ratio

_IMAGE_WIDTH = 3 * 640 * 640


def _identities(setting: Setting, stack: ExitStack, *, batching: bool = False) -> dict[str, ServerProcess]:
    """Start both servers with their identity model, of the same config."""
    folder = setting.scratch / f"identity-{'batching' if batching else 'plain'}"
    ours, theirs = folder / "onnx", folder / "python"
    if not folder.exists():
        models.identity_onnx(ours, batching=batching)
        models.identity_python(theirs, batching=batching)
    return {
        "Naiad": stack.enter_context(naiad(setting, ours)),
        "Triton 2.51, python backend": stack.enter_context(triton(setting, theirs)),
    }


def _in_turn(setting: Setting, loads: Mapping[str, Callable[[], Load]]) -> dict[str, list[Load]]:
    """Load the contestants one after the other, `rounds` times, after a round that does not count."""
    seen: dict[str, list[Load]] = {name: [] for name in loads}
    for round_number in range(setting.rounds + 1):
        for name, load in loads.items():
            shown = load()
            if round_number:
                seen[name].append(shown)
    return seen


def _compare_identities(
    setting: Setting, clients: int, width: int, *, batching: bool = False, way: Way = HTTP
) -> dict[str, list[Load]]:
    """Load both identity models in turn with one FP32 row of `width`, binary."""
    with ExitStack() as stack:
        servers = _identities(setting, stack, batching=batching)
        return _in_turn(
            setting,
            {
                name: partial(_load, setting, server, "identity", clients=clients, shape=f"INPUT0:{width}", way=way)
                for name, server in servers.items()
            },
        )


def _load(setting: Setting, server: ServerProcess, model: str, *, clients: int, shape: str, way: Way = HTTP) -> Load:
    return perf_analyzer.measure(
        setting.tools["perf_analyzer"],
        server,
        model,
        clients=clients,
        shapes=[shape],
        seconds=setting.seconds,
        way=way,
    )


def _rates(loads: Mapping[str, Sequence[Load]]) -> tuple[Figure, ...]:
    return tuple(
        Figure(name, "/s", tuple(load.rate for load in of), tuple(load.cpu_us for load in of))
        for name, of in loads.items()
    )


def small_identity(setting: Setting) -> Measurement:
    """Identity FP32 [1,16] over HTTP with 8 clients."""
    figures = _rates(_compare_identities(setting, clients=8, width=16))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 2.2, at_least=True)
    return Measurement("identity FP32 [1,16], HTTP, 8 clients", figures, (goal,))


def batched_identity(setting: Setting) -> Measurement:
    """Identity FP32 [1,16] with dynamic batching on both, which spares Triton hand-offs to its Python process."""
    figures = _rates(_compare_identities(setting, clients=8, width=16, batching=True))
    return Measurement("identity FP32 [1,16], HTTP, 8 clients, dynamic batching", figures)


def large_identity(setting: Setting) -> Measurement:
    """Identity of one 640² image (4.9 MB) in and out, binary, over HTTP."""
    figures = _rates(_compare_identities(setting, clients=4, width=_IMAGE_WIDTH))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 1.3, at_least=True)
    return Measurement("identity 4.9 MB in and out, binary, HTTP, 4 clients", figures, (goal,))


def grpc_small_identity(setting: Setting) -> Measurement:
    """Identity FP32 [1,16] over gRPC with 8 clients."""
    figures = _rates(_compare_identities(setting, clients=8, width=16, way=GRPC))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 2.2, at_least=True)
    return Measurement("identity FP32 [1,16], gRPC, 8 clients", figures, (goal,))


def grpc_large_identity(setting: Setting) -> Measurement:
    """Identity of one 640² image (4.9 MB) in and out over gRPC."""
    figures = _rates(_compare_identities(setting, clients=4, width=_IMAGE_WIDTH, way=GRPC))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 1.2, at_least=True)
    return Measurement("identity 4.9 MB in and out, gRPC, 4 clients", figures, (goal,))


def shared_memory(setting: Setting) -> Measurement:
    """Identity of one 640² image (4.9 MB) in and out through system shared memory, against the same over HTTP."""
    repository = setting.scratch / "identity-shared"
    models.identity_onnx(repository, batching=False)
    ways = {"Naiad, shared memory": Way("http", region_bytes=4 * _IMAGE_WIDTH), "Naiad, HTTP bodies": HTTP}
    with naiad(setting, repository, "--allow-client-shm=true") as server:
        loads = _in_turn(
            setting,
            {
                name: partial(_load, setting, server, "identity", clients=4, shape=f"INPUT0:{_IMAGE_WIDTH}", way=way)
                for name, way in ways.items()
            },
        )
    figures = _rates(loads)
    goal = Goal("shared memory ÷ bodies", ratio(figures[0].values, figures[1].values), 8, at_least=True)
    return Measurement("identity 4.9 MB in and out, HTTP, system shared memory, 4 clients", figures, (goal,))


def metrics_cost(setting: Setting) -> Measurement:
    """Identity FP32 [1,16] over HTTP with 8 clients: what the metrics cost; nothing is traced.

    What they cost is less than two windows of the same server differ by, so there are three times as many rounds.
    """
    repository = setting.scratch / "identity-metrics"
    models.identity_onnx(repository, batching=False)
    with ExitStack() as stack:
        servers = {
            "metrics on": stack.enter_context(naiad(setting, repository)),
            "metrics off": stack.enter_context(naiad(setting, repository, "--allow-metrics=false")),
        }
        loads = _in_turn(
            replace(setting, rounds=3 * setting.rounds),
            {
                name: partial(_load, setting, server, "identity", clients=8, shape="INPUT0:16")
                for name, server in servers.items()
            },
        )
    figures = _rates(loads)
    cost = 1 - ratio(figures[0].values, figures[1].values)
    goal = Goal("share of the rate that they cost", cost, 0.03, at_least=False)
    return Measurement("metrics on and off, identity FP32 [1,16], HTTP, 8 clients", figures, (goal,))


def latency(setting: Setting) -> Measurement:
    """Latency of identity FP32 [1,16] with one client."""
    loads = _compare_identities(setting, clients=1, width=16)
    figures: list[Figure] = []
    goals: list[Goal] = []
    for name, pick in _PERCENTILES.items():
        values = {who: tuple(pick(load) for load in of) for who, of in loads.items()}
        figures += [Figure(f"{who} {name}", "µs", of) for who, of in values.items()]
        ours, theirs = values.values()
        goals.append(Goal(f"{name}, Naiad ÷ Triton", ratio(ours, theirs), 0.6, at_least=False))
    return Measurement("latency of identity FP32 [1,16], HTTP, 1 client", tuple(figures), tuple(goals))


_PERCENTILES: Mapping[str, Callable[[Load], float]] = {"p50": lambda load: load.p50_us, "p99": lambda load: load.p99_us}


def yolo(setting: Setting) -> Measurement:
    """YOLO11n 640² over HTTP with 4 clients, against a bare loop over the same sessions."""
    return _yolo_beside_loop(setting, "YOLO11n 640², HTTP, 4 clients", HTTP)


def yolo_grpc(setting: Setting) -> Measurement:
    """YOLO11n 640² over gRPC with 4 clients, against a bare loop over the same sessions."""
    return _yolo_beside_loop(setting, "YOLO11n 640², gRPC, 4 clients", GRPC)


def _yolo_beside_loop(setting: Setting, name: str, way: Way) -> Measurement:
    artifact, repository = _yolo_repository(setting)
    served: list[Load] = []
    bare: list[Load] = []
    with naiad(setting, repository) as server:
        for round_number in range(setting.rounds + 1):
            loop = _bare_loop(artifact, setting.seconds)
            load = _load(setting, server, "yolo", clients=4, shape="images:3,640,640", way=way)
            if round_number:
                bare.append(loop)
                served.append(load)
    naiads, loops = _rates({"Naiad": served, "bare ONNX Runtime loop": bare})
    # The loop has the cores for itself; the server shares them with what asks it.
    clients = Figure(
        "perf_analyzer, processor time", "ms/image", tuple((load.client_cpu_us or 0) / 1e3 for load in served)
    )
    goal = Goal("Naiad ÷ bare loop", ratio(naiads.values, loops.values), 0.92, at_least=True)
    return Measurement(name, (naiads, loops, clients), (goal,))


def _yolo_repository(setting: Setting) -> tuple[Path, Path]:
    repository = setting.scratch / "yolo"
    artifact = repository / "yolo" / "1" / "model.onnx"
    if not artifact.exists():
        models.yolo_onnx(repository, setting.cache)
    return artifact, repository


def _bare_loop(artifact: Path, seconds: float) -> Load:
    """Measure two threads over the session that Naiad makes: one intra-op thread, shared."""
    import onnxruntime  # noqa: PLC0415 - so that --help is quick

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
    session.run(None, {"images": image})
    times_s: list[float] = []
    started_s, cpu_before_s = time.monotonic(), time.process_time()

    def compute() -> None:
        while (begun_s := time.monotonic()) - started_s < seconds:
            session.run(None, {"images": image})
            times_s.append(time.monotonic() - begun_s)

    threads = [threading.Thread(target=compute) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cpu_s = time.process_time() - cpu_before_s
    return Load(
        rate=len(times_s) / (time.monotonic() - started_s),
        p50_us=statistics.median(times_s) * 1e6,
        p99_us=statistics.quantiles(times_s, n=100)[98] * 1e6,
        cpu_us=cpu_s / len(times_s) * 1e6,
    )


def start(setting: Setting) -> Measurement:
    """Time from start to ready with one YOLO11n."""
    _, repository = _yolo_repository(setting)
    seconds = []
    for _ in range(setting.rounds):
        with naiad(setting, repository) as server:
            seconds.append(server.ready_s)
    figure = Figure("Naiad", "s", tuple(seconds))
    return Measurement("start to ready, one YOLO11n", (figure,), (Goal("seconds", figure.median, 1.0, at_least=False),))


def memory(setting: Setting) -> Measurement:
    """Resident memory with one YOLO11n after 1,000 requests, by one client and by four, and how it grows after that.

    Four clients make batches, and the runtime keeps the working memory of the largest.
    """
    _, repository = _yolo_repository(setting)
    with naiad(setting, repository) as server:
        sizes = []
        for clients, requests in ((1, 1_000), (4, 1_000), (4, 10_000)):
            _ask(server, clients, requests)
            sizes.append(server.resident_bytes() / 2**20)
    one, four, later = sizes
    figures = (
        Figure("after 1,000 by one client", "MiB", (one,)),
        Figure("after 1,000 more by four", "MiB", (four,)),
        Figure("after 10,000 more by four", "MiB", (later,)),
    )
    goals = (
        Goal("MiB after 1,000 requests, one client", one, 200, at_least=False),
        Goal("MiB after 1,000 requests, four clients", four, 200, at_least=False),
        Goal("growth over the next 10,000", later / four, 1.03, at_least=False),
    )
    return Measurement("resident memory, one YOLO11n", figures, goals)


def _ask(server: ServerProcess, clients: int, requests: int) -> None:
    from naiad.client import Client  # noqa: PLC0415

    left = iter(range(requests))
    image = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)

    def ask() -> None:
        with Client(f"http://{server.address}") as client:
            for _ in left:
                client.infer("yolo", {"images": image})

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def large_json(setting: Setting) -> Measurement:
    """Health checks while requests of 64 MB of JSON are read, one after the other."""
    repository = setting.scratch / "identity-json"
    models.identity_onnx(repository, batching=False)
    p50_ms, p99_ms, worst_ms = [], [], []
    with naiad(setting, repository) as server:
        for round_number in range(setting.rounds + 1):
            latencies_s = sorted(uploads.measure(server, "identity", 3))
            if round_number:
                p50_ms.append(latencies_s[len(latencies_s) // 2] * 1e3)
                p99_ms.append(latencies_s[len(latencies_s) * 99 // 100] * 1e3)
                worst_ms.append(latencies_s[-1] * 1e3)
    figures = (
        Figure("Naiad p50", "ms", tuple(p50_ms)),
        Figure("Naiad p99", "ms", tuple(p99_ms)),
        Figure("Naiad worst", "ms", tuple(worst_ms)),
    )
    goal = Goal("p99 in ms", figures[1].median, 20, at_least=False)
    return Measurement("health checks during 64 MB JSON requests", figures, (goal,))


def peer_identities(setting: Setting) -> Measurement:
    """Identity of 16 numbers in JSON with 8 clients, MLServer and LitServe as well."""
    with ExitStack() as stack:
        contestants = {name: (server, peers.V2) for name, server in _identities(setting, stack).items()}
        for peer in peers.ALL:
            contestants[peer.name] = stack.enter_context(peer.run(setting)), peer.exchange
        loads = _in_turn(
            setting,
            {
                name: partial(wrk.measure, setting.tools["wrk"], *contestant, clients=8, seconds=setting.seconds)
                for name, contestant in contestants.items()
            },
        )
    return Measurement("identity of 16 FP32 numbers, JSON, HTTP, 8 clients", _rates(loads))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A measurement that the command line knows, the tools it needs, and whether it is part of a run of everything."""

    measure: Callable[[Setting], Measurement]
    tools: tuple[str, ...] = ()
    by_default: bool = True

    @property
    def summary(self) -> str:
        """The first line of its docstring."""
        return (self.measure.__doc__ or "").partition("\n")[0]


_BOTH = ("triton", "perf_analyzer")

ALL: Mapping[str, Benchmark] = {
    "small-identity": Benchmark(small_identity, _BOTH),
    "batched-identity": Benchmark(batched_identity, _BOTH),
    "large-identity": Benchmark(large_identity, _BOTH),
    "grpc-small": Benchmark(grpc_small_identity, _BOTH),
    "grpc-large": Benchmark(grpc_large_identity, _BOTH),
    "shm": Benchmark(shared_memory, ("perf_analyzer",)),
    "metrics-cost": Benchmark(metrics_cost, ("perf_analyzer",)),
    "latency": Benchmark(latency, _BOTH),
    "yolo": Benchmark(yolo, ("perf_analyzer",)),
    "yolo-grpc": Benchmark(yolo_grpc, ("perf_analyzer",)),
    "start": Benchmark(start),
    "memory": Benchmark(memory),
    "large-json": Benchmark(large_json),
    "peers": Benchmark(peer_identities, ("triton", "wrk"), by_default=False),  # it downloads the peers
}
"""Every measurement by its name on the command line."""
