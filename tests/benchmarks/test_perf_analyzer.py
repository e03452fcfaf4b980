# SPDX-License-Identifier: Apache-2.0
"""How perf_analyzer is asked, and what is made of its report; a script stands for it, a thread for the server."""

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks import perf_analyzer
from benchmarks.perf_analyzer import GRPC, HTTP, Way
from benchmarks.processes import ContestantError, ServerProcess

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are measured through Linux's /proc")

# Keeps what it was asked beside itself, and reports as perf_analyzer does.
TOOL = """\
#!{python}
import json, pathlib, sys
pathlib.Path(__file__).with_suffix(".asked").write_text(json.dumps(sys.argv[1:]))
report = pathlib.Path(sys.argv[sys.argv.index("-f") + 1])
report.write_text("Concurrency,Inferences/Second,p50 latency,p99 latency\\n4,1500.5,600,900\\n")
sys.exit({status})
"""


class _Statistics(BaseHTTPRequestHandler):
    served = 0

    def do_GET(self) -> None:
        type(self).served += 100
        document = {"model_stats": [{"inference_stats": {"success": {"count": self.served}}}]}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(document).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ServerProcess]:
    """A server of this process that has served a hundred requests more each time it is asked."""
    with HTTPServer(("127.0.0.1", 0), _Statistics) as listening:
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield ServerProcess(os.getpid(), listening.server_port, 0.1, grpc_port=7001)
        listening.shutdown()
        thread.join()


def _tool(folder: Path, status: int = 0) -> Path:
    tool = folder / "tool"
    tool.write_text(TOOL.format(python=sys.executable, status=status))
    tool.chmod(0o755)
    return tool


def _asked(folder: Path, server: ServerProcess, way: Way) -> list[str]:
    tool = _tool(folder)
    load = perf_analyzer.measure(tool, server, "m", clients=4, shapes=["I:1,2", "J:3"], seconds=3, way=way)
    assert (load.rate, load.p50_us, load.p99_us) == (1500.5, 600, 900)
    assert load.cpu_us >= 0
    asked: list[str] = json.loads(tool.with_suffix(".asked").read_text())
    return asked


def _pairs(arguments: list[str]) -> set[tuple[str, str]]:
    return set(pairwise(arguments))


def test_http_is_asked_on_the_port_of_http(tmp_path: Path, server: ServerProcess) -> None:
    asked = _asked(tmp_path, server, HTTP)
    wanted = {("-m", "m"), ("-i", "http"), ("-u", server.address), ("--concurrency-range", "4"), ("-p", "1000")}
    assert wanted <= _pairs(asked)
    assert {("--shape", "I:1,2"), ("--shape", "J:3")} <= _pairs(asked)
    assert "--shared-memory" not in asked


def test_grpc_is_asked_on_the_port_of_grpc(tmp_path: Path, server: ServerProcess) -> None:
    assert {("-i", "grpc"), ("-u", "127.0.0.1:7001")} <= _pairs(_asked(tmp_path, server, GRPC))


def test_a_region_for_each_output_is_as_large_as_it_is_said_to_be(tmp_path: Path, server: ServerProcess) -> None:
    asked = _pairs(_asked(tmp_path, server, Way("http", region_bytes=4096)))
    assert {("--shared-memory", "system"), ("--output-shared-memory-size", "4096")} <= asked


def test_a_server_without_grpc_is_not_asked_over_it(tmp_path: Path) -> None:
    with pytest.raises(ContestantError, match="port 8000 has no gRPC endpoint"):
        perf_analyzer.measure(
            tmp_path / "never-run", ServerProcess(1, 8000, 0), "m", clients=1, shapes=[], seconds=1, way=GRPC
        )


def test_a_report_that_was_written_before_a_failure_does_not_count(tmp_path: Path, server: ServerProcess) -> None:
    with pytest.raises(ContestantError, match="failed"):
        perf_analyzer.measure(_tool(tmp_path, status=99), server, "m", clients=1, shapes=[], seconds=1)
