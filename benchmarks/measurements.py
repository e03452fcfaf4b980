# SPDX-License-Identifier: Apache-2.0
"""The measurements themselves: each is a function of the run's setting, listed in `ALL`."""

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import models, perf_analyzer
from benchmarks.perf_analyzer import Load
from benchmarks.processes import ServerProcess, free_ports, running
from benchmarks.results import Figure, Goal, Measurement, ratio

_READY = "/v2/health/ready"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a run has to work with: the two tools, a scratch folder, a cache, and how much to measure."""

    triton: Path
    perf_analyzer: Path
    scratch: Path
    cache: Path
    rounds: int
    seconds: float


@contextmanager
def naiad(setting: Setting, repository: Path, *flags: str) -> Iterator[ServerProcess]:
    """Run `naiad serve` on a repository."""
    http, grpc, metrics = free_ports(3)
    command = [sys.executable, "-m", "naiad", "serve", f"--model-repository={repository}"]
    command += [f"--http-port={http}", f"--grpc-port={grpc}", f"--metrics-port={metrics}", "--log-info=false", *flags]
    with running(command, http, _READY, setting.scratch / f"naiad-{http}.log") as server:
        yield server


@contextmanager
def reference(setting: Setting, repository: Path) -> Iterator[ServerProcess]:
    """Run the real Triton on a repository."""
    ports = free_ports(3)
    command = [str(setting.triton), str(repository), *map(str, ports)]
    with running(command, ports[0], _READY, setting.scratch / f"triton-{ports[0]}.log") as server:
        yield server


def _identities(setting: Setting, stack: ExitStack, *, batching: bool = False) -> dict[str, ServerProcess]:
    """Start both servers with their identity model, of the same config."""
    folder = setting.scratch / f"identity-{'batching' if batching else 'plain'}"
    ours, theirs = folder / "onnx", folder / "python"
    if not folder.exists():
        models.identity_onnx(ours, batching=batching)
        models.identity_python(theirs, batching=batching)
    return {
        "Naiad": stack.enter_context(naiad(setting, ours)),
        "Triton 2.51, python backend": stack.enter_context(reference(setting, theirs)),
    }


def _in_turn(
    setting: Setting, servers: Mapping[str, ServerProcess], clients: int, shapes: Sequence[str]
) -> dict[str, list[Load]]:
    """Load the servers one after the other, `rounds` times, after a round that does not count."""
    loads: dict[str, list[Load]] = {name: [] for name in servers}
    for round_number in range(setting.rounds + 1):
        for name, server in servers.items():
            load = perf_analyzer.measure(
                setting.perf_analyzer, server, "identity", clients=clients, shapes=shapes, seconds=setting.seconds
            )
            if round_number:
                loads[name].append(load)
    return loads


def _rates(loads: Mapping[str, Sequence[Load]]) -> tuple[Figure, ...]:
    return tuple(
        Figure(name, "/s", tuple(load.rate for load in of), tuple(load.cpu_us for load in of))
        for name, of in loads.items()
    )


def small_identity(setting: Setting) -> Measurement:
    """Identity FP32 [1,16] over HTTP with 8 clients."""
    with ExitStack() as stack:
        figures = _rates(_in_turn(setting, _identities(setting, stack), 8, ["INPUT0:16"]))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 2.2, at_least=True)
    return Measurement("identity FP32 [1,16], HTTP, 8 clients", figures, (goal,))


def batched_identity(setting: Setting) -> Measurement:
    """The same with dynamic batching on both, which spares the reference hand-offs to its Python process."""
    with ExitStack() as stack:
        figures = _rates(_in_turn(setting, _identities(setting, stack, batching=True), 8, ["INPUT0:16"]))
    return Measurement("the same, dynamic batching", figures)


def large_identity(setting: Setting) -> Measurement:
    """Identity of one 640² image (4.9 MB) in and out, binary, over HTTP."""
    with ExitStack() as stack:
        figures = _rates(_in_turn(setting, _identities(setting, stack), 4, ["INPUT0:1228800"]))
    goal = Goal("Naiad ÷ Triton", ratio(figures[0].values, figures[1].values), 1.3, at_least=True)
    return Measurement("identity 4.9 MB in and out, binary, HTTP, 4 clients", figures, (goal,))


def latency(setting: Setting) -> Measurement:
    """Latency of identity FP32 [1,16] with one client."""
    with ExitStack() as stack:
        loads = _in_turn(setting, _identities(setting, stack), 1, ["INPUT0:16"])
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
    artifact, repository = _yolo_repository(setting)
    served: list[Load] = []
    bare: list[float] = []
    with naiad(setting, repository) as server:
        for round_number in range(setting.rounds + 1):
            rate = _bare_loop(artifact, setting.seconds)
            load = perf_analyzer.measure(
                setting.perf_analyzer, server, "yolo", clients=4, shapes=["images:3,640,640"], seconds=setting.seconds
            )
            if round_number:
                bare.append(rate)
                served.append(load)
    figures = (*_rates({"Naiad": served}), Figure("bare ONNX Runtime loop", "/s", tuple(bare)))
    goal = Goal("Naiad ÷ bare loop", ratio(figures[0].values, bare), 0.92, at_least=True)
    return Measurement("YOLO11n 640², HTTP, 4 clients", figures, (goal,))


def _yolo_repository(setting: Setting) -> tuple[Path, Path]:
    repository = setting.scratch / "yolo"
    artifact = repository / "yolo" / "1" / "model.onnx"
    if not artifact.exists():
        models.yolo_onnx(repository, setting.cache)
    return artifact, repository


def _bare_loop(artifact: Path, seconds: float) -> float:
    """Return images per second of two threads over the session that Naiad makes: one intra-op thread, shared."""
    import onnxruntime  # noqa: PLC0415 - so that --help is quick

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)
    session.run(None, {"images": image})
    counts = [0, 0]
    started_s = time.monotonic()

    def compute(thread: int) -> None:
        while time.monotonic() - started_s < seconds:
            session.run(None, {"images": image})
            counts[thread] += 1

    threads = [threading.Thread(target=compute, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.monotonic() - started_s)


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
    """Resident memory with one YOLO11n after 1,000 requests, and how it grows over the next 10,000."""
    _, repository = _yolo_repository(setting)
    with naiad(setting, repository) as server:
        sizes = []
        for requests in (1_000, 10_000):
            _ask(server, requests)
            sizes.append(server.resident_bytes() / 2**20)
    figure = Figure("Naiad after 1,000, after 11,000", "MiB", tuple(sizes))
    goals = (
        Goal("MiB after 1,000 requests", sizes[0], 200, at_least=False),
        Goal("growth over the next 10,000", sizes[1] / sizes[0], 1.03, at_least=False),
    )
    return Measurement("resident memory, one YOLO11n", (figure,), goals)


def _ask(server: ServerProcess, requests: int) -> None:
    from naiad.client import Client  # noqa: PLC0415

    left = iter(range(requests))
    image = np.random.default_rng(0).random((1, 3, 640, 640), np.float32)

    def ask() -> None:
        client = Client(f"http://{server.address}")
        for _ in left:
            client.infer("yolo", {"images": image})

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


ALL: Mapping[str, Callable[[Setting], Measurement]] = {
    "small-identity": small_identity,
    "batched-identity": batched_identity,
    "large-identity": large_identity,
    "latency": latency,
    "yolo": yolo,
    "start": start,
    "memory": memory,
}
"""Every measurement by its name on the command line."""
