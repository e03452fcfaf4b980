# SPDX-License-Identifier: Apache-2.0
"""Traces of the server's requests: where they go, as the options say.

May import `options`, `errors`, `snapshots` and `telemetry`.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options import TraceOptions
from naiad.snapshots import TraceSettings
from naiad.telemetry.traces.files import TraceFiles
from naiad.telemetry.traces.tracer import Tracer
from naiad.telemetry.traces.writer import Destination, TraceWriter

_PROCESSOR = {"bsp_max_export_batch_size": 512, "bsp_schedule_delay": 5000, "bsp_max_queue_size": 2048}
"""Settings of OpenTelemetry's batch span processor, with Triton's defaults, in the order in which Triton tells them."""


class Tracing:
    """The tracer of a server, and the writer behind it.

    Raises:
        InvalidArgumentError: the file cannot be written.
        UnsupportedError: OpenTelemetry is wanted, and its libraries are not installed.
    """

    def __init__(self, options: TraceOptions, service_name: str) -> None:
        settings = TraceSettings(
            levels=options.levels,
            rate=options.rate,
            count=options.count,
            log_frequency=options.log_frequency,
            file=options.file,
            mode=options.mode,
            exporter=_completed(options.exporter, os.environ) if options.mode == "opentelemetry" else (),
        )
        self._writer = TraceWriter(_destination(settings, service_name))
        self.tracer = Tracer(settings, self._writer)

    def close(self, timeout_s: float) -> None:
        """Write what is finished; blocks, but not longer than `timeout_s`."""
        self._writer.close(timeout_s)


def _destination(settings: TraceSettings, service_name: str) -> Destination:
    if settings.mode == "triton":
        if settings.file:
            _check_file(Path(settings.file))
        return TraceFiles(Path(settings.file))
    try:
        from naiad.telemetry.traces.spans import SpanExport  # noqa: PLC0415 - of an extra, and slow to import
    except ImportError as error:
        raise UnsupportedError(
            f"--trace-config=mode=opentelemetry needs libraries that are not installed ({error}); install them with "
            'pip install "naiad[opentelemetry]"'
        ) from error
    return SpanExport.to_collector(settings.exporter, service_name)


def _check_file(path: Path) -> None:
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidArgumentError(
            f"--trace-config=triton,file={path} cannot be written; give a file in a folder that exists and that this "
            "server's user may write to"
        )


def _completed(exporter: tuple[tuple[str, str], ...], environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the settings with those of the processor that were not given: from the environment, else Triton's.

    A queue that is smaller than a batch makes the batch smaller too.
    """
    given = dict(exporter)
    found = {name: _environment_number(environment, f"OTEL_{name.upper()}", _PROCESSOR[name]) for name in _PROCESSOR}
    queue = int(given.get("bsp_max_queue_size", found["bsp_max_queue_size"]))
    found["bsp_max_export_batch_size"] = min(found["bsp_max_export_batch_size"], queue)
    return (*exporter, *((name, str(number)) for name, number in found.items() if name not in given))


def _environment_number(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name, "")
    return int(text) if text.isdecimal() and 0 < int(text) < 2**31 else default
