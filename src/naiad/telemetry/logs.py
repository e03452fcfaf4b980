# SPDX-License-Identifier: Apache-2.0
"""The server's log: Triton's line formats, and one of JSON, over Python's `logging`; they can change while it runs.

A message is quoted as JSON in every format, so that one message stays one line. May import `snapshots`.
"""

import json
import logging
import sys
import time
from collections.abc import Mapping

from naiad.snapshots import LogSettings

_LETTERS = {logging.DEBUG: "V", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "E"}
_LOGGER = logging.getLogger("naiad")


class TritonFormatter(logging.Formatter):
    """Formats a record as Triton's `default` log format does; a traceback follows on lines of its own.

    `I1124 02:07:28.943333 4711 catalog.py:120] "loaded model 'yolo' version 1"`: level, month and day, time, process,
    source, message.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        microseconds = int(record.created % 1 * 1_000_000)
        return self._line(f"{_letter(record)}{stamp}.{microseconds:06d}", record)

    def _line(self, beginning: str, record: logging.LogRecord) -> str:
        message = json.dumps(record.getMessage(), ensure_ascii=False)
        line = f"{beginning} {record.process} {record.filename}:{record.lineno}] {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Iso8601Formatter(TritonFormatter):
    """Formats a record as Triton's `ISO8601` log format does: `2026-11-24T02:07:28Z I 4711 catalog.py:120] "..."`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        return self._line(
            f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(record.created))} {_letter(record)}", record
        )


class JsonFormatter(logging.Formatter):
    """Formats a record as a JSON object on one line, for machines; Triton has no such format.

    Members: `time` (UTC), `level`, `process`, `source`, `message`; where it is about a request that has an id,
    `request_id`; with an exception, `traceback`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        document: dict[str, object] = {
            "time": f"{seconds}.{int(record.created % 1 * 1_000_000):06d}Z",
            "level": "verbose" if record.levelno == logging.DEBUG else record.levelname.lower(),
            "process": record.process,
            "source": f"{record.filename}:{record.lineno}",
            "message": record.getMessage(),
        }
        request_id = getattr(record, "request_id", "")
        if request_id:
            document["request_id"] = request_id
        if record.exc_info:
            document["traceback"] = self.formatException(record.exc_info)
        return json.dumps(document, ensure_ascii=False)


FORMATTERS: Mapping[str, type[logging.Formatter]] = {
    "default": TritonFormatter,
    "ISO8601": Iso8601Formatter,
    "json": JsonFormatter,
}
"""`--log-format` → what writes it."""


class ServerLog:
    """The log of one server process, and the settings it can be given while it runs.

    Without a `handler` it is a program's that Naiad runs in: the form and place of the log are the program's own, and
    of the settings only the levels have an effect, through the level of the logger `naiad`, once they are changed.
    """

    def __init__(self, settings: LogSettings | None = None, handler: logging.Handler | None = None) -> None:
        self.settings = settings or LogSettings()
        self._handler = handler
        if handler is not None:
            handler.addFilter(self._is_wanted)
            self.change(self.settings)

    def change(self, settings: LogSettings) -> None:
        """Log as `settings` say from now on; their `file` is told, but never opened here."""
        self.settings = settings
        if self._handler is None:
            _LOGGER.setLevel(_lowest_level(settings))
        else:
            self._handler.setFormatter(FORMATTERS[settings.format]())
            _LOGGER.setLevel(logging.DEBUG if settings.verbose_level else logging.INFO)

    def _is_wanted(self, record: logging.LogRecord) -> bool:
        settings = self.settings
        if record.levelno >= logging.ERROR:
            return settings.error
        if record.levelno >= logging.WARNING:
            return settings.warning
        return settings.info if record.levelno >= logging.INFO else settings.verbose_level > 0


def open_log(settings: LogSettings) -> ServerLog:
    """Send what Naiad logs to the file of `settings`, or to standard error, and return the log.

    Raises:
        OSError: the file cannot be opened.
    """
    handler = logging.FileHandler(settings.file) if settings.file else logging.StreamHandler(sys.stderr)
    log = ServerLog(settings, handler)
    _LOGGER.handlers = [handler]
    _LOGGER.propagate = False
    return log


def _letter(record: logging.LogRecord) -> str:
    return _LETTERS.get(record.levelno, "I")


def _lowest_level(settings: LogSettings) -> int:
    if settings.verbose_level:
        return logging.DEBUG
    if settings.info:
        return logging.INFO
    if settings.warning:
        return logging.WARNING
    return logging.ERROR if settings.error else logging.CRITICAL + 1
