# SPDX-License-Identifier: Apache-2.0
"""Statistics and metrics: the same rows, the same counts, the same names. Durations are not compared."""

import re
from collections.abc import Mapping
from typing import Any

import pytest
from tests.conformance.cases import as_json, infer
from tests.conformance.comparison import differences, document
from tests.conformance.conftest import Ports, Servers
from tests.conformance.wire import Request, converse

_SAMPLE = re.compile(r"(\w+)\{(.*)\} (\S+)")

FAMILIES = (
    *("nv_inference_request_success", "nv_inference_request_failure", "nv_inference_count", "nv_inference_exec_count"),
    *("nv_inference_request_duration_us", "nv_inference_queue_duration_us", "nv_inference_pending_request_count"),
    *(f"nv_inference_compute_{part}_duration_us" for part in ("input", "infer", "output")),
)
"""The metrics that every Triton has for every model."""

_COUNTED = FAMILIES[:4]


def test_requests_are_counted_alike(servers: Servers) -> None:
    """The only test that sends requests to the model `counted`."""
    for ports in servers:
        for rows in (1, 3, 1, 9):  # nine are too many
            converse(ports.http, infer("counted", as_json("INPUT0", "FP32", [rows, 2], [0] * 2 * rows)).encoded())
    triton, naiad = (_fetched(ports.http, "/v2/models/counted/stats") for ports in servers)
    (row,) = triton["model_stats"]
    assert (row["inference_count"], row["execution_count"], row["inference_stats"]["success"]["count"]) == (5, 3, 3)
    assert _without_times(naiad) == _without_times(triton)
    triton, naiad = (_counters(ports, "counted") for ports in servers)
    assert triton['nv_inference_count model="counted",version="1"'] == "5"
    assert naiad == triton


STATISTICS = ("stats", "versions/stats", "versions/versions/03/stats")
"""Paths below /v2/models."""


@pytest.mark.parametrize("path", STATISTICS)
def test_the_same_rows_have_statistics(path: str, servers: Servers) -> None:
    triton, naiad = (
        [(row["name"], row["version"], list(row)) for row in _fetched(ports.http, f"/v2/models/{path}")["model_stats"]]
        for ports in servers
    )
    assert triton
    assert naiad == triton


def test_metrics_have_tritons_names_types_helps_and_labels(servers: Servers) -> None:
    triton, naiad = (_metrics(ports) for ports in servers)
    for family in FAMILIES:
        described = [line for line in triton.splitlines() if line.startswith("# ") and f" {family} " in line]
        # Triton leaves rows behind of a model that didn't load.
        labels = {match[2] for match in _SAMPLE.finditer(triton) if match[1] == family and "broken" not in match[2]}
        assert len(described) == 2, described
        assert labels
        assert [line for line in naiad.splitlines() if line.startswith("# ") and f" {family} " in line] == described
        assert {match[2] for match in _SAMPLE.finditer(naiad) if match[1] == family} == labels


def test_the_machines_gauges_have_tritons_names_types_and_helps(servers: Servers) -> None:
    triton, naiad = (
        [line.rpartition(" ")[0] for line in _metrics(ports).splitlines() if re.match(r"nv_cpu_\w+ ", line)]
        + [line for line in _metrics(ports).splitlines() if line.startswith("# ") and " nv_cpu_" in line]
        for ports in servers
    )
    assert len(triton) == 9
    assert naiad == triton


@pytest.mark.parametrize(
    ("body", "back"),
    [
        (b'{"log_info":false,"log_error":false}', b'{"log_info":true,"log_error":true}'),
        (b'{"log_format":"ISO8601"}', b'{"log_format":"default"}'),
        (b'{"log_verbose_level":4294967297}', b'{"log_verbose_level":0}'),
        (b'{"log_format":"bad","log_verbose_level":1}', b'{"log_verbose_level":0}'),
        (b'{"log_error":1,"log_warning":false}', b'{"log_warning":true}'),
    ],
)
def test_settings_of_the_log_change_alike(body: bytes, back: bytes, servers: Servers) -> None:
    """Also where one is wrong: what Triton reads before it has been changed."""
    told = []
    for ports in servers:
        before = _fetched(ports.http, "/v2/logging")
        converse(ports.http, Request("POST", "/v2/logging", body).encoded())
        told.append(_fetched(ports.http, "/v2/logging"))
        converse(ports.http, Request("POST", "/v2/logging", back).encoded())
        assert _fetched(ports.http, "/v2/logging") == before != told[-1]
    assert told[0] == told[1]


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "DELETE"])
@pytest.mark.parametrize("path", ["/metrics", "/metrics/", "/metrics?x=1", "/", "/v2", "/metrics/x"])
def test_the_metrics_port_answers_alike(method: str, path: str, servers: Servers) -> None:
    sent = Request(method, path).encoded()
    triton, naiad = (converse(ports.metrics, sent, head_only=method == "HEAD") for ports in servers)
    assert bool(triton.answers[0].body) == bool(naiad.answers[0].body)
    assert not [str(one) for one in differences(triton, naiad) if one.path != "json"]


def _fetched(port: int, path: str) -> Any:
    return document(converse(port, Request("GET", path).encoded()).answers[0])


def _metrics(ports: Ports) -> str:
    return converse(ports.metrics, Request("GET", "/metrics").encoded()).answers[0].body.decode()


def _counters(ports: Ports, model: str) -> Mapping[str, str]:
    samples = _SAMPLE.finditer(_metrics(ports))
    return {
        f"{name} {labels}": value
        for name, labels, value in (match.groups() for match in samples)
        if name in _COUNTED and f'model="{model}"' in labels
    }


def _without_times(value: Any) -> Any:
    """Return the value with only the type of each duration and date."""
    if isinstance(value, dict):
        return {
            key: type(member).__name__ if key in {"ns", "last_inference"} else _without_times(member)
            for key, member in value.items()
        }
    return [_without_times(member) for member in value] if isinstance(value, list) else value
