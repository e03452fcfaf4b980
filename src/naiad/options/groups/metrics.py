# SPDX-License-Identifier: Apache-2.0
"""The options of the port for metrics, and what is measured. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.options.flags import MAX_INT, MAX_PORT, Flag, option
from naiad.options.values import MetricsSettings, parse_metrics_settings

_flag = partial(Flag, "Metrics")


@dataclass(frozen=True, kw_only=True)
class MetricsOptions:
    """The rows under the heading Metrics."""

    allow_metrics: bool = option(True, _flag("Listen for scrapes by Prometheus."))
    metrics_address: str = option("", _flag("Address to listen on; default: that of HTTP."))
    metrics_port: int = option(8002, _flag("Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT))
    allow_cpu_metrics: bool = option(True, _flag("Tell how busy the machine's CPUs are and its memory is full."))
    allow_gpu_metrics: bool = option(
        True,
        _flag("Tell the same of NVIDIA GPUs, and their power; needs a driver and pip install 'naiad[gpu]'."),
    )
    metrics_interval_ms: int = option(
        2000, _flag("How often the CPUs and GPUs are asked for that.", unit="ms", minimum=1, maximum=MAX_INT)
    )
    metrics_config: tuple[str, ...] = option(
        (),
        _flag(
            "KEY=VALUE: counter_latencies (default true), histogram_latencies and summary_latencies (default false), "
            "or summary_quantiles=QUANTILE:ERROR,...",
            repeatable=True,
        ),
    )

    @property
    def metrics_settings(self) -> MetricsSettings:
        """What the metrics are to hold; of settings given twice the last one counts."""
        return parse_metrics_settings(self.metrics_config)
