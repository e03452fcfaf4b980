# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a server from outside: what it imports, its queue when clients go away, and its metrics."""

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tritonclient.http
from tests.e2e.comparison import add_model
from tests.e2e.exports import Exports
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_clients import tensor
from tests.e2e.triton_models import builtin

_TOO_HEAVY = ("torch", "torchvision", "ultralytics", "grpc", "cv2", "onnx", "tritonclient.grpc", "tritonclient.http")

_ASK_INSIDE = """
import sys
import naiad

with naiad.Server(model_repository=sys.argv[1], http_port=0, grpc_port=0, metrics_port=0) as server:
    server.wait_ready("yolo")
print(*sys.modules)
"""

_SAMPLE = re.compile(r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>[^{}]*)\})? (?P<value>-?[\d.eE+-]+|NaN|[+-]Inf)")
_LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def test_a_serving_process_imports_neither_torch_nor_grpc(exports: Exports, repository: Path, tmp_path: Path) -> None:
    add_model(repository, "yolo", exports.random("detect", is_dynamic=True).path)
    with serving(repository, log=tmp_path / "log", python_flags=("-X", "importtime")) as server:
        with tritonclient.http.InferenceServerClient(server.http) as client:
            client.infer("yolo", [tensor("images", np.zeros((1, 3, 64, 64), np.float32))])
            client.get_inference_statistics()
            client.get_model_config("yolo")
        server.metrics()
    imported = set(re.findall(r"^import time:.*\| +([\w.]+)$", server.said(), re.MULTILINE))
    assert {"naiad.server.app", "onnxruntime"} <= imported
    assert _heavy(imported) == []


def test_a_server_inside_python_imports_neither_torch_nor_grpc(exports: Exports, repository: Path) -> None:
    add_model(repository, "yolo", exports.random("detect", is_dynamic=True).path)
    ran = subprocess.run(
        [sys.executable, "-c", _ASK_INSIDE, str(repository)], capture_output=True, text=True, timeout=60, check=True
    )
    imported = set(ran.stdout.splitlines()[-1].split())
    assert {"naiad.server.app", "onnxruntime"} <= imported
    assert _heavy(imported) == []


def test_a_client_that_goes_away_frees_its_place_in_the_queue(repository: Path, tmp_path: Path) -> None:
    """One request computes, one waits, and the queue is full with it; when its client leaves, another may wait."""
    builtin(
        repository,
        "slow",
        max_batch_size=1,
        extra="dynamic_batching { default_queue_policy { max_queue_size: 1 } }",
        parameters={"kind": "delay", "delay_us": "2000000"},
    )
    with serving(repository, log=tmp_path / "log") as server:
        computing = _ask(server)
        server.metrics()  # once this has been answered, the first request is with the model
        leaving = _ask(server)
        _until(lambda: _statistics(server)["pending"] == 1)
        with _ask(server) as refused:
            assert refused.recv(64).startswith(b"HTTP/1.1 503 ")
        leaving.close()
        _until(lambda: _statistics(server)["pending"] == 0)
        assert _statistics(server)["success"] == 0  # the first still computes: the place was not freed by its end
        staying = _ask(server)
        for connection in (computing, staying):
            assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
            connection.close()
        _until(lambda: _statistics(server)["success"] == 2)
        assert _statistics(server) == {"pending": 0, "success": 2, "CANCELED": 1, "REJECTED": 1, "exec": 2}


def test_a_server_that_is_told_to_stop_finishes_what_it_has_begun(repository: Path, tmp_path: Path) -> None:
    builtin(repository, "slow", parameters={"kind": "delay", "delay_us": "1000000"})
    with serving(repository, log=tmp_path / "log") as server, _ask(server) as connection:
        server.metrics()  # once this has been answered, the request is with the model
        server.process.terminate()
        assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
        assert server.process.wait(timeout=30) == 0
    assert "Signal (15) received." in server.said()


def test_metrics_are_prometheus_text_and_count(repository: Path, tmp_path: Path) -> None:
    builtin(repository, 'quoted "name"')
    builtin(repository, "plain")
    with serving(repository, log=tmp_path / "log") as server:
        before = parse_metrics(server.metrics())
        with tritonclient.http.InferenceServerClient(server.http) as client:
            for rows in (1, 3):
                client.infer("plain", [tensor("INPUT0", np.zeros((rows, 3), np.float32))])
        after = parse_metrics(server.metrics())
    labels = (("model", "plain"), ("version", "1"))
    assert before["nv_inference_request_success", labels] == 0
    assert after["nv_inference_request_success", labels] == 2
    assert after["nv_inference_count", labels] == 4
    assert after["nv_inference_exec_count", labels] == 2
    assert after["nv_inference_pending_request_count", labels] == 0
    assert after["nv_inference_request_duration_us", labels] > 0
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert after["nv_inference_request_failure", (labels[0], ("reason", reason), labels[1])] == 0
    for part in ("queue", "compute_input", "compute_infer", "compute_output"):
        assert (f"nv_inference_{part}_duration_us", labels) in after
    assert set(before) == set(after)
    assert after["nv_inference_request_success", (("model", r"quoted \"name\""), ("version", "1"))] == 0


def parse_metrics(text: str) -> Samples:
    """Read the Prometheus text format strictly: help and type first, every sample of a known family, none twice."""
    assert text.endswith("\n")
    kinds: dict[str, str] = {}
    helped: set[str] = set()
    samples: Samples = {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped.add(line.split(" ", 3)[2])
            continue
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name in helped
            assert name not in kinds
            kinds[name] = kind
            continue
        match = _SAMPLE.fullmatch(line)
        assert match is not None, line
        labels = match["labels"] or ""
        found = tuple(_LABEL.findall(labels))
        assert ",".join(f'{name}="{value}"' for name, value in found) == labels, line
        assert kinds[match["name"]] in ("counter", "gauge"), line
        assert (match["name"], found) not in samples, line
        samples[match["name"], found] = float(match["value"])
    return samples


def _heavy(imported: set[str]) -> list[str]:
    return sorted(name for name in imported if name in _TOO_HEAVY or name.startswith("grpc."))


def _ask(server: Serving) -> socket.socket:
    """Send a request to `slow` and return its connection, without waiting for the answer."""
    document = {"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}
    body = json.dumps(document).encode()
    head = f"POST /v2/models/slow/infer HTTP/1.1\r\nHost: {server.http}\r\nContent-Length: {len(body)}\r\n\r\n"
    host, port = server.http.split(":")
    connection = socket.create_connection((host, int(port)), timeout=30)
    connection.sendall(head.encode() + body)
    return connection


def _statistics(server: Serving) -> dict[str, float]:
    samples = parse_metrics(server.metrics())
    labels = (("model", "slow"), ("version", "1"))

    def failures(reason: str) -> float:
        return samples["nv_inference_request_failure", (labels[0], ("reason", reason), labels[1])]

    return {
        "pending": samples["nv_inference_pending_request_count", labels],
        "success": samples["nv_inference_request_success", labels],
        "exec": samples["nv_inference_exec_count", labels],
        "CANCELED": failures("CANCELED"),
        "REJECTED": failures("REJECTED"),
    }


def _until(condition: Callable[[], bool]) -> None:
    """Ask again and again until it is so; each question is a request to the server, which is pause enough."""
    deadline_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline_s, "it did not become so"
