# SPDX-License-Identifier: Apache-2.0
"""`--trace-config`, and the flags that it replaces."""

from typing import Any

import pytest

from naiad.errors import InvalidArgumentError
from naiad.options import ServerOptions, TraceOptions


def _options(*trace_config: str, **others: Any) -> TraceOptions:
    return ServerOptions(model_repository=("models",), trace_config=trace_config, **others).trace_options


def test_nothing_is_traced_unless_a_level_is_given() -> None:
    assert _options() == TraceOptions(levels=(), rate=1000, count=-1, log_frequency=0, file="", mode="triton")


def test_tritons_mode() -> None:
    given = "level=TENSORS", "level=timestamps", "rate=5", "count=7", "triton,file=a,b=c", "triton,log-frequency=3"
    assert _options(*given) == TraceOptions(
        levels=("TIMESTAMPS", "TENSORS"), rate=5, count=7, log_frequency=3, file="a,b=c"
    )


def test_opentelemetrys_mode() -> None:
    settings = "url=https://x:4318/v1/traces", "resource=service.name=x", "resource=a=b", "bsp_max_queue_size=9"
    given = "mode=opentelemetry", "level=TIMESTAMPS", "rate=0", *(f"opentelemetry,{one}" for one in settings)
    assert _options(*given) == TraceOptions(
        levels=("TIMESTAMPS",),
        rate=0,
        mode="opentelemetry",
        exporter=(
            ("url", "https://x:4318/v1/traces"),
            ("resource", "service.name=x"),
            ("resource", "a=b"),
            ("bsp_max_queue_size", "9"),
        ),
    )


def test_off_takes_away_the_levels_before_it() -> None:
    file = "triton,file=f"
    assert _options(file, "level=TENSORS", "level=OFF").levels == ()
    assert _options(file, "level=OFF", "level=TENSORS").levels == ("TENSORS",)


def test_the_older_flags_mean_the_same() -> None:
    older = {"trace_file": "f", "trace_level": ("MAX",), "trace_rate": 3, "trace_count": 5, "trace_log_frequency": 2}
    assert _options(**older) == TraceOptions(levels=("TIMESTAMPS",), rate=3, count=5, log_frequency=2, file="f")
    assert _options("rate=9", **older).rate == 9


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("level", "expected one of level, rate, count, mode, triton,file, triton,log-frequency, opentelemetry,url"),
        ("foo=1", "--trace-config=foo=1: expected one of level, rate"),
        ("triton,foo=1", "--trace-config=triton,foo=1: expected one of level, rate"),
        ("triton,url=http://x", "expected one of level, rate"),
        ("level=HIGH", "--trace-config=level=HIGH: expected one of OFF, TIMESTAMPS, TENSORS"),
        ("rate=x", "--trace-config=rate=x: expected a whole number from 0 to 4294967295"),
        ("rate=-1", "expected a whole number from 0 to 4294967295"),
        ("count=-2", "--trace-config=count=-2: expected a whole number from -1 to 2147483647"),
        ("triton,log-frequency=1.5", "--trace-config=triton,log-frequency=1.5: expected a whole number from 0"),
        ("mode=otel", "--trace-config=mode=otel: expected one of triton, opentelemetry"),
        ("opentelemetry,url=localhost:4318", "expected the whole URL of a collector, such as http://localhost:4318"),
        ("opentelemetry,resource=x", "expected KEY=VALUE, such as service.name=my-server"),
        ("opentelemetry,bsp_schedule_delay=0", "expected a whole number from 1 to 2147483647"),
    ],
)
def test_a_wrong_setting_is_refused_with_what_is_expected(given: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        _options(given)
    assert expected in str(error.value)


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (("level=TIMESTAMPS",), "add --trace-config=triton,file=PATH, or --trace-config=mode=opentelemetry"),
        (("level=TIMESTAMPS", "triton,file=f", "rate=0"), "give a rate of 1 for every request, or more"),
        (
            ("opentelemetry,bsp_max_queue_size=4", "opentelemetry,bsp_max_export_batch_size=5"),
            "give a smaller batch, or a larger queue",
        ),
    ],
)
def test_settings_by_which_nothing_could_be_traced_are_refused(given: tuple[str, ...], advice: str) -> None:
    with pytest.raises(InvalidArgumentError) as error:
        _options(*given)
    assert advice in str(error.value)
