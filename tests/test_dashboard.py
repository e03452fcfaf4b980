# SPDX-License-Identifier: Apache-2.0
"""The Grafana dashboard asks for nothing that the server does not tell, and for what matters."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from naiad.options import MetricsSettings
from naiad.telemetry.gpus import FIGURES, GpuUsage
from naiad.telemetry.machine import MachineUsage
from naiad.telemetry.metrics import render
from naiad.telemetry.statistics import StatisticsRecorder

DASHBOARD = Path(__file__).resolve().parent.parent / "packaging" / "grafana" / "naiad.json"
_METRIC = re.compile(r"\bnv_\w+")
_VARIABLE = re.compile(r"\$\{?(\w+)")


@pytest.fixture(scope="module")
def board() -> Any:
    return json.loads(DASHBOARD.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def exported() -> dict[str, set[str]]:
    """The names of all samples that a server can export, with the names of their labels."""
    settings = MetricsSettings(histogram_latencies=True, summary_latencies=True)
    models = [StatisticsRecorder(settings).snapshot("m", "1", 0)]
    gpus = [GpuUsage("GPU-1", dict.fromkeys(FIGURES, 1.0))]
    text = render(models, settings, MachineUsage(0.5, 2, 1), gpus).decode()
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if not line.startswith("#")]
    return {sample.partition("{")[0]: set(re.findall(r'(\w+)="', sample)) for sample in samples}


def queries(board: Any) -> list[str]:
    return [target["expr"] for panel in board["panels"] for target in panel["targets"]]


def test_every_metric_is_one_that_is_exported(board: Any, exported: dict[str, set[str]]) -> None:
    asked = {name for query in queries(board) for name in _METRIC.findall(query)}
    asked |= set(_METRIC.findall(board["templating"]["list"][1]["query"]["query"]))
    assert asked <= set(exported)


def test_what_is_grouped_by_or_shown_is_a_label(board: Any, exported: dict[str, set[str]]) -> None:
    for panel in board["panels"]:
        for target in panel["targets"]:
            known = {label for name in _METRIC.findall(target["expr"]) for label in exported[name]} | {
                "instance",
                "job",
            }
            grouped = {one for by in re.findall(r"by \(([^)]*)\)", target["expr"]) for one in by.split(", ")}
            shown = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            assert grouped | shown <= known, panel["title"]


def test_counters_are_asked_for_their_rate(board: Any) -> None:
    counters = re.compile(r"(?<!rate\()\bnv_inference_(?:\w+_duration_us|count|exec_count|request_\w+ss|\w+_failure)\b")
    assert [query for query in queries(board) if counters.search(query)] == []


def test_every_variable_is_there(board: Any) -> None:
    known = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval", "__all"}
    assert set(_VARIABLE.findall(json.dumps(board))) <= known


def test_panels_are_numbered_titled_explained_and_beside_each_other(board: Any) -> None:
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert all(panel["title"] and panel["description"] for panel in panels)
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
