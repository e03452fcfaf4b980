# SPDX-License-Identifier: Apache-2.0
"""The real Prometheus scrapes a server, and tells what it has learnt; `promtool` finds nothing to object to.

Both are in Debian's package `prometheus`.
"""

import json
import shutil
import signal
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.http
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_clients import tensor
from tests.e2e.triton_models import builtin

_DASHBOARD = Path(__file__).resolve().parents[2] / "packaging" / "grafana" / "naiad.json"
_WAIT_S = 60
_POLL_S = 0.1
_DISTRIBUTIONS = (
    "--metrics-config=histogram_latencies=true",
    "--metrics-config=summary_latencies=true",
    "--metrics-config=summary_quantiles=0.5:0.05,0.99:0.001",
)
_ABOUT_NAMES = (
    'counter metrics should have "_total" suffix',
    'non-histogram and non-summary metrics should not have "_count" suffix',
    "metric name should not include type 'histogram'",
    "metric name should not include type 'summary'",
    "metric names should not contain abbreviated units",
    'use base unit "seconds" instead of "microseconds"',
    'use base unit "seconds" instead of "milliseconds"',
)
"""What promtool would call otherwise, and Triton does not."""

_CONFIG = """\
global: {{scrape_interval: 200ms}}
scrape_configs:
  - job_name: naiad
    static_configs: [{{targets: ["{target}"]}}]
"""


@pytest.fixture
def server(repository: Path, tmp_path: Path) -> Iterator[Serving]:
    """A server with all its metrics, that has answered two requests of three and one rows and failed one."""
    builtin(repository, "plain", extra='metric_tags { key: "team" value: "vision" }')
    builtin(repository, "failing", parameters={"kind": "fail"})
    with serving(repository, log=tmp_path / "log", flags=_DISTRIBUTIONS) as running:
        with tritonclient.http.InferenceServerClient(running.http) as client:
            for rows in (3, 1):
                client.infer("plain", [tensor("INPUT0", np.zeros((rows, 3), np.float32))])
            with pytest.raises(tritonclient.utils.InferenceServerException):
                client.infer("failing", [tensor("INPUT0", np.zeros((1, 3), np.float32))])
        yield running


def test_prometheus_scrapes_all_metrics_and_their_values(server: Serving, tmp_path: Path) -> None:
    with _prometheus(server, tmp_path) as url:
        assert _value(url, 'nv_inference_request_success{model="plain",version="1",_team="vision"}') == 2
        assert _value(url, 'nv_inference_count{model="plain"}') == 4
        assert _value(url, 'nv_inference_request_failure{model="failing",reason="BACKEND"}') == 1
        assert _value(url, "sum(nv_inference_request_failure)") == 1
        assert _value(url, 'nv_inference_first_response_histogram_ms_bucket{model="plain",le="+Inf"}') == 2
        bound = 'histogram_quantile(0.5, nv_inference_first_response_histogram_ms_bucket{model="plain"})'
        assert 0 < _value(url, bound) <= 5000
        assert _value(url, 'nv_inference_request_summary_us_count{model="plain"}') == 2
        assert _value(url, 'nv_inference_request_summary_us{model="plain",quantile="0.99"}') > 0
        assert 0 <= _value(url, "nv_cpu_utilization") <= 1
        assert _value(url, "nv_cpu_memory_used_bytes < nv_cpu_memory_total_bytes") > 0
        assert _value(url, 'nv_model_load_duration_secs{model="plain"}') > 0
        kinds = {name: row["type"] for name, (row,) in _get(url, "metadata").items() if name.startswith("nv_")}
    assert kinds["nv_inference_count"] == "counter"
    assert kinds["nv_cpu_utilization"] == "gauge"
    assert kinds["nv_inference_first_response_histogram_ms"] == "histogram"
    assert kinds["nv_inference_queue_summary_us"] == "summary"
    assert len(kinds) == server.metrics().count("# TYPE ")


def test_prometheus_understands_every_query_of_the_dashboard(server: Serving, tmp_path: Path) -> None:
    with _prometheus(server, tmp_path) as url:
        for panel in json.loads(_DASHBOARD.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m").replace("$model", ".*")
                _query(url, query)  # an error's status is an exception


def test_promtool_objects_to_nothing_but_tritons_names(server: Serving) -> None:
    checked = subprocess.run(
        [_program("promtool"), "check", "metrics"],
        check=False,
        input=server.metrics(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    # Exit code 3 is for advice, 1 for what cannot be read.
    assert checked.returncode in (0, 3), checked.stderr
    assert not [line for line in (checked.stdout + checked.stderr).splitlines() if not line.endswith(_ABOUT_NAMES)]


@contextmanager
def _prometheus(server: Serving, folder: Path) -> Iterator[str]:
    """Run Prometheus until the block ends, and give the URL of its API once it has scraped the server."""
    program = _program("prometheus")
    config = folder / "prometheus.yml"
    config.write_text(_CONFIG.format(target=urllib.parse.urlparse(server.metrics_url).netloc))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [program, f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=subprocess.STDOUT)
    try:
        url = f"http://{address}/api/v1"
        deadline_s = time.monotonic() + _WAIT_S
        while not _has_scraped(url):
            is_hopeless = process.poll() is not None or time.monotonic() > deadline_s
            assert not is_hopeless, (folder / "prometheus.log").read_text()
            time.sleep(_POLL_S)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_WAIT_S)


def _program(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"needs {name}: install Debian's package prometheus")
    return program


def _has_scraped(url: str) -> bool:
    try:
        rows = _query(url, 'up{job="naiad"}')
        return bool(rows) and rows[0]["value"][1] == "1"
    except OSError:
        return False


def _value(url: str, query: str) -> float:
    (row,) = _query(url, query)
    return float(row["value"][1])


def _query(url: str, query: str) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = _get(url, f"query?{urllib.parse.urlencode({'query': query})}")["result"]
    return result


def _get(url: str, path: str) -> Any:
    with urllib.request.urlopen(f"{url}/{path}", timeout=10) as answer:
        return json.load(answer)["data"]
