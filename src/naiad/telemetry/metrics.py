# SPDX-License-Identifier: Apache-2.0
"""Triton's metrics as Prometheus text, made from statistics when they are scraped.

Written out here because `prometheus_client` adds `_total` to the name of every counter, and dashboards made for
Triton ask for the names without it.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from naiad.options import MetricsSettings
from naiad.snapshots import ModelStatistics
from naiad.telemetry.gpus import GpuUsage
from naiad.telemetry.machine import MachineUsage

Labels = Mapping[str, str]
Sample = tuple[str, Labels, float]
"""What follows the family's name (`_sum`, mostly nothing), labels beside the model's, and the value."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric family: its name, type and help, how a model's figures give its samples, and when it is exported."""

    name: str
    kind: str
    help: str
    samples: Callable[[ModelStatistics], Iterable[Sample]]
    is_wanted: Callable[[MetricsSettings], bool] = lambda _: True


def _one(value: Callable[[ModelStatistics], float]) -> Callable[[ModelStatistics], Iterable[Sample]]:
    return lambda model: (("", {}, value(model)),)


def _failures(model: ModelStatistics) -> Iterable[Sample]:
    return (("", {"reason": reason}, count) for reason, count in model.failures.items())


def _first_response(model: ModelStatistics) -> Iterable[Sample]:
    histogram = model.first_response
    if histogram is None:
        return
    yield "_count", {}, sum(histogram.counts)
    yield "_sum", {}, histogram.sum_ms
    bounds = (*map(str, histogram.bounds_ms), "+Inf")
    for bound, count in zip(bounds, accumulate(histogram.counts), strict=True):
        yield "_bucket", {"le": bound}, count


def _summary(part: str) -> Callable[[ModelStatistics], Iterable[Sample]]:
    def samples(model: ModelStatistics) -> Iterable[Sample]:
        summary = model.summaries.get(part)
        if summary is None:
            return
        yield "_count", {}, summary.count
        yield "_sum", {}, summary.sum_us
        for quantile, value in summary.quantiles:
            yield "", {"quantile": f"{quantile:.15g}"}, value

    return samples


def _has_counters(settings: MetricsSettings) -> bool:
    return settings.counter_latencies


def _has_histograms(settings: MetricsSettings) -> bool:
    return settings.histogram_latencies


def _has_summaries(settings: MetricsSettings) -> bool:
    return settings.summary_latencies


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
        _has_counters,
    ),
    Metric(
        "nv_inference_queue_duration_us",
        "counter",
        "Cumulative inference queuing duration in microseconds (includes cached requests)",
        _one(lambda model: model.queue.ns // 1000),
        _has_counters,
    ),
    Metric(
        "nv_inference_compute_input_duration_us",
        "counter",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_input.ns // 1000),
        _has_counters,
    ),
    Metric(
        "nv_inference_compute_infer_duration_us",
        "counter",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_infer.ns // 1000),
        _has_counters,
    ),
    Metric(
        "nv_inference_compute_output_duration_us",
        "counter",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        _one(lambda model: model.compute_output.ns // 1000),
        _has_counters,
    ),
    Metric(
        "nv_inference_pending_request_count",
        "gauge",
        "Instantaneous number of pending requests awaiting execution per-model.",
        _one(lambda model: model.pending_request_count),
    ),
    Metric(
        "nv_model_load_duration_secs",
        "gauge",
        "Model load time in seconds",
        _one(lambda model: model.load_duration_ns / 1e9),
    ),
    Metric(
        "nv_inference_first_response_histogram_ms",
        "histogram",
        "Duration from request to first response in milliseconds",
        _first_response,
        _has_histograms,
    ),
    Metric(
        "nv_inference_request_summary_us",
        "summary",
        "Summary of inference request duration in microseconds (includes cached requests)",
        _summary("request"),
        _has_summaries,
    ),
    Metric(
        "nv_inference_queue_summary_us",
        "summary",
        "Summary of inference queuing duration in microseconds (includes cached requests)",
        _summary("queue"),
        _has_summaries,
    ),
    Metric(
        "nv_inference_compute_input_summary_us",
        "summary",
        "Cumulative compute input duration in microseconds (does not include cached requests)",
        _summary("compute_input"),
        _has_summaries,
    ),
    Metric(
        "nv_inference_compute_infer_summary_us",
        "summary",
        "Cumulative compute inference duration in microseconds (does not include cached requests)",
        _summary("compute_infer"),
        _has_summaries,
    ),
    Metric(
        "nv_inference_compute_output_summary_us",
        "summary",
        "Cumulative inference compute output duration in microseconds (does not include cached requests)",
        _summary("compute_output"),
        _has_summaries,
    ),
)
"""Families with samples for each model, under Triton's names and in its words."""

MACHINE_METRICS: Mapping[str, tuple[str, Callable[[MachineUsage], float]]] = {
    "nv_cpu_utilization": ("CPU utilization rate [0.0 - 1.0]", lambda usage: usage.utilization),
    "nv_cpu_memory_total_bytes": ("CPU total memory (RAM), in bytes", lambda usage: usage.memory_total_bytes),
    "nv_cpu_memory_used_bytes": ("CPU used memory (RAM), in bytes", lambda usage: usage.memory_used_bytes),
}
"""Gauges of the machine: name → help and value."""

GPU_METRICS: Mapping[str, tuple[str, str, str]] = {
    "nv_gpu_utilization": ("gauge", "GPU utilization rate [0.0 - 1.0)", "utilization"),
    "nv_gpu_memory_total_bytes": ("gauge", "GPU total memory, in bytes", "memory_total_bytes"),
    "nv_gpu_memory_used_bytes": ("gauge", "GPU used memory, in bytes", "memory_used_bytes"),
    "nv_gpu_power_usage": ("gauge", "GPU power usage in watts", "power_usage_w"),
    "nv_gpu_power_limit": ("gauge", "GPU power management limit in watts", "power_limit_w"),
    "nv_energy_consumption": (
        "counter",
        "GPU energy consumption in joules since the Triton Server started",
        "energy_j",
    ),
}
"""Families with a sample for each GPU, labelled `gpu_uuid`: name → type, help, and which of its figures it is."""

_LAST_LABELS = frozenset(("quantile", "le"))
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_]")


def render(
    models: Sequence[ModelStatistics],
    settings: MetricsSettings | None = None,
    machine: MachineUsage | None = None,
    gpus: Sequence[GpuUsage] = (),
) -> bytes:
    """Return the metrics of `models`, of the `machine` and of its `gpus` in the Prometheus text format.

    Labels come in alphabetical order, but `quantile` and `le` come last, as Triton's do.
    """
    settings = settings or MetricsSettings()
    owners = [(model, _of_model(model)) for model in models]
    lines: list[str] = []
    for metric in METRICS:
        if not metric.is_wanted(settings):
            continue
        lines += (f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}")
        for model, own in owners:
            lines += (
                f"{metric.name}{suffix}{_labels({**own, **extra})} {_number(value)}"
                for suffix, extra, value in metric.samples(model)
            )
    if machine is not None:
        for name, (description, value_of) in MACHINE_METRICS.items():
            lines += (f"# HELP {name} {description}", f"# TYPE {name} gauge", f"{name} {_number(value_of(machine))}")
    lines += _of_gpus(gpus)
    return ("\n".join(lines) + "\n").encode()


def _of_gpus(gpus: Sequence[GpuUsage]) -> Iterator[str]:
    for name, (kind, description, figure) in GPU_METRICS.items():
        told = [gpu for gpu in gpus if figure in gpu.figures]
        if told:
            yield f"# HELP {name} {description}"
            yield f"# TYPE {name} {kind}"
        for gpu in told:
            yield f"{name}{_labels({'gpu_uuid': gpu.uuid})} {_number(gpu.figures[figure])}"


def _of_model(model: ModelStatistics) -> Labels:
    """Return a model's labels; a tag gets a `_` in front, as in Triton, and for what no label's name may hold."""
    tags = {f"_{_NOT_IN_A_NAME.sub('_', tag)}": value for tag, value in model.tags.items()}
    return {**tags, "model": model.name, "version": model.version}


def _labels(labels: Labels) -> str:
    ordered = sorted(labels.items(), key=lambda label: (label[0] in _LAST_LABELS, label[0]))
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in ordered) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value)
