# SPDX-License-Identifier: Apache-2.0
"""Triton's metrics as Prometheus text, made from statistics when they are scraped.

Written out here because `prometheus_client` adds `_total` to the name of every counter, and dashboards made for
Triton ask for the names without it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from naiad.snapshots import ModelStatistics

Sample = tuple[Mapping[str, str], int]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its name, type and help, and how a model's figures give its samples."""

    name: str
    kind: str
    help: str
    samples: Callable[[ModelStatistics], Iterable[Sample]]


def _one(value: Callable[[ModelStatistics], int]) -> Callable[[ModelStatistics], Iterable[Sample]]:
    return lambda model: (({}, value(model)),)


def _failures(model: ModelStatistics) -> Iterable[Sample]:
    return (({"reason": reason}, count) for reason, count in model.failures.items())


METRICS: Sequence[Metric] = (
    Metric(
        "nv_inference_request_success",
        "counter",
        "Number of successful inference requests, all batch sizes",
        _one(lambda model: model.success.count),
    ),
    Metric(
        "nv_inference_request_failure", "counter", "Number of failed inference requests, all batch sizes", _failures
    ),
    Metric(
        "nv_inference_count",
        "counter",
        "Number of inferences performed (does not include cached requests)",
        _one(lambda model: model.inference_count),
    ),
    Metric(
        "nv_inference_exec_count",
        "counter",
        "Number of model executions performed (does not include cached requests)",
        _one(lambda model: model.execution_count),
    ),
    Metric(
        "nv_inference_request_duration_us",
        "counter",
        "Cumulative inference request duration in microseconds (includes cached requests)",
        _one(lambda model: model.success.ns // 1000),
    ),
    Metric(
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        _one(lambda model: model.queue.ns // 1000),
    ),
    Metric(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_input.ns // 1000),
    ),
    Metric(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_infer.ns // 1000),
    ),
    Metric(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_output.ns // 1000),
    ),
    Metric(
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        _one(lambda model: model.pending_request_count),
    ),
)


def render(models: Sequence[ModelStatistics]) -> bytes:
    """Return the metrics of `models` in the Prometheus text format; labels in alphabetical order, as Triton's."""
    lines: list[str] = []
    for metric in METRICS:
        lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
        for model in models:
            own = {"model": model.name, "version": model.version}
            lines += (f"{metric.name}{_labels(own | dict(extra))} {value}" for extra, value in metric.samples(model))
    return ("\n".join(lines) + "\n").encode()


def _labels(labels: Mapping[str, str]) -> str:
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items())) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
