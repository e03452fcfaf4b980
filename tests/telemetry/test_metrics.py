# SPDX-License-Identifier: Apache-2.0
"""The Prometheus text is Triton's: names without `_total`, labels in order, all series from the start."""

from naiad.options import MetricsSettings, Quantile
from naiad.snapshots import Duration, ModelStatistics
from naiad.telemetry.machine import MachineUsage
from naiad.telemetry.metrics import METRICS, render
from naiad.telemetry.statistics import FailureReason, StatisticsRecorder, Timings

MS = 10**6
ALL = MetricsSettings(histogram_latencies=True, summary_latencies=True, summary_quantiles=(Quantile(0.5, 0.05),))


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


def test_tags_are_labels_with_a_line_in_front() -> None:
    text = render([ModelStatistics("m", "1", tags={"team": "vision", "cost-centre": "7"})]).decode()
    assert 'nv_inference_count{_cost_centre="7",_team="vision",model="m",version="1"} 0\n' in text


def test_without_models_the_families_are_still_described() -> None:
    lines = render([], ALL).decode().splitlines()
    assert len(lines) == 2 * len(METRICS)
    assert all(line.startswith("#") for line in lines)


def test_by_default_there_are_counters_and_no_distributions() -> None:
    text = render([]).decode()
    assert "nv_inference_request_duration_us" in text
    assert "_summary_us" not in text
    assert "histogram" not in text


def test_latency_counters_can_be_left_out() -> None:
    text = render([], MetricsSettings(counter_latencies=False)).decode()
    assert "duration_us" not in text
    assert "nv_inference_request_success" in text


def test_distributions_have_tritons_form() -> None:
    recorder = StatisticsRecorder(ALL)
    timings = Timings(10 * MS, 12 * MS, 15 * MS, 19 * MS)
    recorder.record_success(1, 0, 4 * MS, timings, 20 * MS)
    recorder.record_success(1, 0, 4 * MS, timings, 720 * MS)
    recorder.record_failure(FailureReason.BACKEND, 9000 * MS)
    text = render([recorder.snapshot("m", "1", 0, 720 * MS)], ALL).decode()
    histogram = "nv_inference_first_response_histogram_ms"
    own = 'model="m",version="1"'
    for line in (
        f"{histogram}_count{{{own}}} 2",
        f"{histogram}_sum{{{own}}} 740.0",
        f'{histogram}_bucket{{{own},le="100"}} 1',
        f'{histogram}_bucket{{{own},le="500"}} 1',
        f'{histogram}_bucket{{{own},le="2000"}} 2',
        f'{histogram}_bucket{{{own},le="+Inf"}} 2',
        f"nv_inference_request_summary_us_count{{{own}}} 2",
        f"nv_inference_request_summary_us_sum{{{own}}} 740000",
        f'nv_inference_request_summary_us{{{own},quantile="0.5"}} 20000.0',
        f'nv_inference_queue_summary_us{{{own},quantile="0.5"}} 6000.0',
        f'nv_inference_compute_input_summary_us{{{own},quantile="0.5"}} 2000.0',
        f'nv_inference_compute_infer_summary_us{{{own},quantile="0.5"}} 3000.0',
        f'nv_inference_compute_output_summary_us{{{own},quantile="0.5"}} 4000.0',
    ):
        assert f"\n{line}\n" in text


def test_a_quantile_of_nothing_is_nan() -> None:
    text = render([StatisticsRecorder(ALL).snapshot("m", "1", 0)], ALL).decode()
    assert 'nv_inference_queue_summary_us{model="m",version="1",quantile="0.5"} NaN\n' in text


def test_the_machines_gauges_have_no_labels() -> None:
    text = render([], machine=MachineUsage(0.25, 100, 60)).decode()
    assert "# TYPE nv_cpu_utilization gauge\nnv_cpu_utilization 0.25\n" in text
    assert "\nnv_cpu_memory_total_bytes 100\n" in text
    assert text.endswith("\nnv_cpu_memory_used_bytes 60\n")
