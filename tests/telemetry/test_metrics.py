# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text is Triton's: names without `_total`, labels in order, all series from the start."""

from naiad.snapshots import Duration, ModelStatistics
from naiad.telemetry.metrics import METRICS, render
from naiad.telemetry.statistics import StatisticsRecorder


def test_a_models_figures_are_printed_under_tritons_names() -> None:
    text = render([ModelStatistics("yolo", "2", inference_count=5, queue=Duration(3, 9_999))]).decode()
    assert 'nv_inference_count{model="yolo",version="2"} 5\n' in text
    assert "# TYPE nv_inference_count counter\n" in text
    assert 'nv_inference_queue_duration_us{model="yolo",version="2"} 9\n' in text


def test_all_four_failure_reasons_stand_at_zero_from_the_load() -> None:
    text = render([StatisticsRecorder().snapshot("m", "1", 0)]).decode()
    for reason in ("REJECTED", "CANCELED", "BACKEND", "OTHER"):
        assert f'nv_inference_request_failure{{model="m",reason="{reason}",version="1"}} 0\n' in text


def test_label_values_are_escaped() -> None:
    text = render([ModelStatistics('a"b\\c\nd', "1")]).decode()
    assert 'model="a\\"b\\\\c\\nd"' in text


def test_without_models_the_families_are_still_described() -> None:
    lines = render([]).decode().splitlines()
    assert len(lines) == 2 * len(METRICS)
    assert all(line.startswith("#") for line in lines)
