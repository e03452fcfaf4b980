# SPDX-License-Identifier: Apache-2.0
"""Which requests are traced, and where to. May import `errors` and what lies beside this folder."""

from dataclasses import dataclass
from functools import partial

from naiad.options.flags import MAX_INT, Flag, option
from naiad.options.traces import TraceOptions, parse_trace_options

_flag = partial(Flag, "Tracing")


def _replaced_by(setting: str) -> str:
    return f"is deprecated by Triton, write --trace-config={setting}"


@dataclass(frozen=True, kw_only=True)
class TracingOptions:
    """The rows under the heading Tracing."""

    trace_config: tuple[str, ...] = option(
        (),
        _flag(
            "What to trace: level=TIMESTAMPS, level=TENSORS; of one request in rate=N (default 1000), count=N in all. "
            "Where to: mode=triton with triton,file=PATH and triton,log-frequency=N, or mode=opentelemetry with "
            "opentelemetry,url=URL, opentelemetry,resource=KEY=VALUE and opentelemetry,bsp_...=N.",
            repeatable=True,
        ),
    )
    trace_file: str = option(
        "",
        _flag("Deprecated by Triton: triton,file=PATH.", note=_replaced_by("triton,file=PATH"), path="file"),
    )
    trace_level: tuple[str, ...] = option(
        (), _flag("Deprecated by Triton: level=LEVEL.", repeatable=True, note=_replaced_by("level=LEVEL"))
    )
    trace_rate: int = option(
        1000,
        _flag("Deprecated by Triton: rate=N.", minimum=0, maximum=MAX_INT, note=_replaced_by("rate=N")),
    )
    trace_count: int = option(
        -1,
        _flag("Deprecated by Triton: count=N.", minimum=-1, maximum=MAX_INT, note=_replaced_by("count=N")),
    )
    trace_log_frequency: int = option(
        0,
        _flag(
            "Deprecated by Triton: triton,log-frequency=N.",
            minimum=0,
            maximum=MAX_INT,
            note=_replaced_by("triton,log-frequency=N"),
        ),
    )

    @property
    def trace_options(self) -> TraceOptions:
        """What is to be traced; `trace_config` comes before the flags that it replaces."""
        older = [
            *(f"level={level}" for level in self.trace_level),
            f"rate={self.trace_rate}",
            f"count={self.trace_count}",
            f"triton,log-frequency={self.trace_log_frequency}",
            f"triton,file={self.trace_file}",
        ]
        return parse_trace_options((*older, *self.trace_config))
