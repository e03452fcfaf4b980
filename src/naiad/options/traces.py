# SPDX-License-Identifier: Apache-2.0
"""What `--trace-config`, and the flags that Triton had before it, ask for.

Naiad refuses what Triton starts with and then traces nothing by: a level without a file to write to, a setting that
it does not know. May import `errors`, nothing else.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from naiad.errors import InvalidArgumentError

_MODES = ("triton", "opentelemetry")
_LEVELS = ("TIMESTAMPS", "TENSORS")
_OLD_LEVELS = ("MIN", "MAX")
"""Triton's names of before there were tensors; both mean TIMESTAMPS."""
_MAX_UNSIGNED = 2**32 - 1
_MAX_INT = 2**31 - 1
_QUEUE, _BATCH = "bsp_max_queue_size", "bsp_max_export_batch_size"
_EXPORTER_NUMBERS = (_QUEUE, "bsp_schedule_delay", _BATCH)


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What all flags about traces together ask for; the defaults are Triton's.

    No `levels` is off. One of `rate` requests is traced, `count` in all, -1 being any number. `exporter` are the
    settings of OpenTelemetry in the order in which they were given.
    """

    levels: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""
    mode: str = "triton"
    exporter: tuple[tuple[str, str], ...] = ()


class _Setting(NamedTuple):
    """One `--trace-config`: `mode,key=value`, or `key=value` for both modes."""

    mode: str
    key: str
    value: str

    def wrong(self, expected: str) -> InvalidArgumentError:
        name = f"{self.mode},{self.key}" if self.mode else self.key
        return InvalidArgumentError(f"--trace-config={name}={self.value}: expected {expected}")


def parse_trace_options(pairs: Iterable[str]) -> TraceOptions:
    """Read all `--trace-config` together; levels add up, of other settings given twice the last one counts.

    Raises:
        InvalidArgumentError: one is wrong, or nothing could be traced with them.
    """
    options = TraceOptions()
    for pair in pairs:
        setting = _read(pair)
        options = _READERS[setting.mode, setting.key](options, setting)
    _check(options)
    return options


def _read(pair: str) -> _Setting:
    name, equals, value = pair.partition("=")
    mode, comma, key = name.partition(",")
    setting = _Setting(mode.strip(), key.strip(), value) if comma else _Setting("", name.strip(), value)
    if not equals or (setting.mode, setting.key) not in _READERS:
        names = ", ".join(",".join(filter(None, one)) for one in _READERS)
        raise InvalidArgumentError(f"--trace-config={pair}: expected one of {names}, then = and a value")
    return setting


def _level(options: TraceOptions, setting: _Setting) -> TraceOptions:
    """Add a level; OFF takes all away that came before."""
    name = setting.value.upper()
    if name == "OFF":
        return replace(options, levels=())
    if name not in _LEVELS and name not in _OLD_LEVELS:
        raise setting.wrong(f"one of OFF, {', '.join(_LEVELS)}")
    found = {*options.levels, "TIMESTAMPS" if name in _OLD_LEVELS else name}
    return replace(options, levels=tuple(level for level in _LEVELS if level in found))


def _number(setting: _Setting, least: int, most: int) -> int:
    try:
        number = int(setting.value)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise setting.wrong(f"a whole number from {least} to {most}")
    return number


def _rate(options: TraceOptions, setting: _Setting) -> TraceOptions:
    return replace(options, rate=_number(setting, 0, _MAX_UNSIGNED))


def _count(options: TraceOptions, setting: _Setting) -> TraceOptions:
    return replace(options, count=_number(setting, -1, _MAX_INT))


def _mode(options: TraceOptions, setting: _Setting) -> TraceOptions:
    if setting.value not in _MODES:
        raise setting.wrong(f"one of {', '.join(_MODES)}")
    return replace(options, mode=setting.value)


def _file(options: TraceOptions, setting: _Setting) -> TraceOptions:
    return replace(options, file=setting.value)


def _log_frequency(options: TraceOptions, setting: _Setting) -> TraceOptions:
    return replace(options, log_frequency=_number(setting, 0, _MAX_UNSIGNED))


def _exporter_text(options: TraceOptions, setting: _Setting) -> TraceOptions:
    if setting.key == "url" and not setting.value.startswith(("http://", "https://")):
        raise setting.wrong("the whole URL of a collector, such as http://localhost:4318/v1/traces")
    if setting.key == "resource" and not setting.value.partition("=")[1]:
        raise setting.wrong("KEY=VALUE, such as service.name=my-server")
    return replace(options, exporter=(*options.exporter, (setting.key, setting.value)))


def _exporter_number(options: TraceOptions, setting: _Setting) -> TraceOptions:
    number = _number(setting, 1, _MAX_INT)
    return replace(options, exporter=(*options.exporter, (setting.key, str(number))))


_READERS: Mapping[tuple[str, str], Callable[[TraceOptions, _Setting], TraceOptions]] = {
    ("", "level"): _level,
    ("", "rate"): _rate,
    ("", "count"): _count,
    ("", "mode"): _mode,
    ("triton", "file"): _file,
    ("triton", "log-frequency"): _log_frequency,
    ("opentelemetry", "url"): _exporter_text,
    ("opentelemetry", "resource"): _exporter_text,
    **{("opentelemetry", name): _exporter_number for name in _EXPORTER_NUMBERS},
}
"""Mode ("" for both) and key of a setting → what reads it."""


def _check(options: TraceOptions) -> None:
    given = dict(options.exporter)
    if _QUEUE in given and _BATCH in given and int(given[_BATCH]) > int(given[_QUEUE]):
        raise InvalidArgumentError(
            f"--trace-config=opentelemetry,{_BATCH}={given[_BATCH]} is more than fits into {_QUEUE}={given[_QUEUE]}; "
            "give a smaller batch, or a larger queue"
        )
    if not options.levels or options.mode != "triton":
        return
    level = f"--trace-config=level={options.levels[0]}"
    if not options.file:
        raise InvalidArgumentError(
            f"{level} needs somewhere to write to; add --trace-config=triton,file=PATH, or "
            "--trace-config=mode=opentelemetry for a collector"
        )
    if options.rate == 0:
        raise InvalidArgumentError(f"{level} with rate=0 traces nothing; give a rate of 1 for every request, or more")
