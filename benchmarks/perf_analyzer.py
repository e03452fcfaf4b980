# SPDX-License-Identifier: Apache-2.0
"""Load by NVIDIA's `perf_analyzer`, the generator that Triton's users measure with; it never knows whom it asks."""

import csv
import json
import resource
import subprocess
import tempfile
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.processes import ContestantError, ServerProcess
from benchmarks.results import Load


@dataclass(frozen=True, slots=True)
class Way:
    """How tensors go to the server and come back: by which protocol; or beside it, through system shared memory.

    `region_bytes` is the size of the region for each output; 0 means that tensors go by the protocol.
    """

    protocol: Literal["http", "grpc"]
    region_bytes: int = 0


HTTP = Way("http")
GRPC = Way("grpc")


def measure(
    tool: Path,
    server: ServerProcess,
    model: str,
    *,
    clients: int,
    shapes: Sequence[str],
    seconds: float,
    way: Way = HTTP,
) -> Load:
    """Ask `model` with `clients` at a time for `seconds`; `shapes` are perf_analyzer's `--shape` values.

    Raises:
        ContestantError: perf_analyzer failed, or requests did; its output is in the text.
    """
    address = server.address if way.protocol == "http" else server.grpc_address
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.csv"
        command = [str(tool), "-m", model, "-i", way.protocol, "-u", address, "--concurrency-range", str(clients)]
        # It wants three windows; whatever their spread, the rounds and their median are the steadiness.
        command += ["-p", str(int(seconds * 1000 / 3)), "-r", "3", "-s", "999", "-f", str(report)]
        for shape in shapes:
            command += ["--shape", shape]
        if way.region_bytes:
            command += ["--shared-memory", "system", "--output-shared-memory-size", str(way.region_bytes)]
        served_before, cpu_before_s, own_before_s = _served(server, model), server.cpu_s(), _children_cpu_s()
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
        own_s = _children_cpu_s() - own_before_s
        served, cpu_s = max(_served(server, model) - served_before, 1), server.cpu_s() - cpu_before_s
        if done.returncode or not report.exists():
            raise ContestantError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
        with report.open(newline="") as file:
            row = next(csv.DictReader(file))
    return Load(
        rate=float(row["Inferences/Second"]),
        p50_us=float(row["p50 latency"]),
        p99_us=float(row["p99 latency"]),
        cpu_us=cpu_s / served * 1e6,
        client_cpu_us=own_s / served * 1e6,
    )


def _children_cpu_s() -> float:
    """Return the processor time of the children that have ended: of servers it comes only when they are stopped."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _served(server: ServerProcess, model: str) -> int:
    with urllib.request.urlopen(f"http://{server.address}/v2/models/{model}/stats") as answer:
        return int(json.load(answer)["model_stats"][0]["inference_stats"]["success"]["count"])
