# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's perf_analyzer measures the server in all the ways it can ask: its own figures say that it was answered.

NAIAD_PERF_ANALYZER names it, or a script that starts it.
"""

import csv
import json
import os
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_models import builtin

_TIMES = ("Server Queue", "Server Compute Infer", "p50 latency", "p99 latency")


@pytest.fixture(scope="module")
def tool() -> str:
    named = os.environ.get("NAIAD_PERF_ANALYZER")
    if not named:
        pytest.skip("needs perf_analyzer: set NAIAD_PERF_ANALYZER to it, or to a script that starts it")
    if not Path(named).is_file():
        pytest.fail(f"NAIAD_PERF_ANALYZER is {named}, expected an existing program; correct or unset it")
    return str(Path(named).resolve())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that takes tensors in shared memory, with a model of 16 numbers and one of any count."""
    folder = tmp_path_factory.mktemp("measured")
    builtin(folder / "models", "sixteen", dims="16", extra="dynamic_batching { }")
    builtin(folder / "models", "wide", dims="-1")
    builtin(folder / "models", "texts", datatype="BYTES", dims="2")
    with serving(folder / "models", log=folder / "log", flags=("--allow-client-shm=true",)) as running:
        yield running


def _run(tool: str, server: Serving, protocol: str, model: str, *flags: str) -> "subprocess.CompletedProcess[str]":
    """Measure for three windows of fifty requests, however long they take on a busy machine and differ."""
    address = server.http if protocol == "http" else server.grpc
    command = [tool, "-m", model, "-i", protocol, "-u", address, "-r", "3", "-s", "999"]
    command += ["--measurement-mode", "count_windows", "--measurement-request-count", "50", *flags]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _measured(tool: str, server: Serving, protocol: str, model: str, folder: Path, *flags: str) -> dict[str, str]:
    """Return the line of perf_analyzer's report, once what must hold of every report holds."""
    report = folder / "report.csv"
    before = _statistics(server, model)
    done = _run(tool, server, protocol, model, "-f", str(report), *flags)
    assert done.returncode == 0, done.stdout + done.stderr
    with report.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["Inferences/Second"]) > 0
    # The server's share of the time comes from its statistics, asked for before and after each window.
    assert all(int(row[name]) >= 0 for name in _TIMES)
    assert 0 < int(row["p50 latency"]) <= int(row["p99 latency"])
    after = _statistics(server, model)
    assert after["success"]["count"] > before["success"]["count"]
    assert after["fail"]["count"] == before["fail"]["count"]
    return row


def _statistics(server: Serving, model: str) -> Any:
    return _get(server, f"models/{model}/stats")["model_stats"][0]["inference_stats"]


def _get(server: Serving, path: str) -> Any:
    with urllib.request.urlopen(f"{server.url}/v2/{path}", timeout=10) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    ("protocol", "flags"),
    [
        ("http", ()),
        ("http", ("--async",)),
        ("http", ("-b", "4")),
        ("grpc", ()),
        ("grpc", ("--async",)),
        ("grpc", ("--streaming",)),
        ("grpc", ("--streaming", "-b", "4")),
        ("grpc", ("--grpc-compression-algorithm", "gzip")),
    ],
    ids=lambda value: value if isinstance(value, str) else "".join(value) or "plain",
)
def test_it_measures(tool: str, server: Serving, protocol: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    row = _measured(tool, server, protocol, "sixteen", tmp_path, "--concurrency-range", "2", *flags)
    assert row["Concurrency"] == "2"


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_asks_at_a_rate(tool: str, server: Serving, protocol: str, tmp_path: Path) -> None:
    row = _measured(tool, server, protocol, "sixteen", tmp_path, "--request-rate-range", "200")
    assert row["Request Rate"] == "200"


@pytest.mark.parametrize("flags", [("http",), ("grpc",), ("grpc", "--streaming")], ids="".join)
def test_tensors_go_through_system_shared_memory(
    tool: str, server: Serving, flags: tuple[str, ...], tmp_path: Path
) -> None:
    shared = ("--shared-memory", "system", "--output-shared-memory-size", "400000", "--shape", "INPUT0:100000")
    _measured(tool, server, flags[0], "wide", tmp_path, *shared, *flags[1:])
    assert _get(server, "systemsharedmemory/status") == []  # it unregisters what it has registered
    assert "/dev/shm/" not in Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")


def test_json_and_strings(tool: str, server: Serving, tmp_path: Path) -> None:
    formats = ("--input-tensor-format=json", "--output-tensor-format=json")
    _measured(tool, server, "http", "texts", tmp_path, "--string-data", "東京", *formats)


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_collects_the_servers_metrics(tool: str, server: Serving, protocol: str, tmp_path: Path) -> None:
    scraped = ("--collect-metrics", "--metrics-url", server.metrics_url.removeprefix("http://"))
    row = _measured(tool, server, protocol, "sixteen", tmp_path, "--verbose-csv", *scraped, "--metrics-interval", "20")
    # It has looked into the scrapes for the gauges of GPUs; there may be none on this machine.
    assert {"Avg GPU Utilization", "Avg GPU Power Usage", "Max GPU Memory Usage", "Total GPU Memory"} <= row.keys()


def test_requests_that_fail_fail_the_measurement(tool: str, server: Serving) -> None:
    done = _run(tool, server, "grpc", "wide", "--shape", "INPUT0:4", "-b", "9")
    assert done.returncode != 0
    assert "batch" in done.stdout + done.stderr
