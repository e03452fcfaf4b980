# SPDX-License-Identifier: Apache-2.0
"""The server's log: Triton's line format over Python's `logging`.

`I1124 02:07:28.943333 4711 catalog.py:120] "loaded model 'yolo' version 1"`: level, month and day, time, process,
source, and the message quoted as JSON, so that one message stays one line.
"""

import json
import logging
import sys
import time

_LETTERS = {logging.DEBUG: "V", logging.INFO: "I", logging.WARNING: "W", logging.ERROR: "E", logging.CRITICAL: "E"}


class TritonFormatter(logging.Formatter):
    """Formats a record as Triton's `default` log format does; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and the traceback if there is one."""
        stamp = time.strftime("%m%d %H:%M:%S", time.localtime(record.created))
        microseconds = int(record.created % 1 * 1_000_000)
        source = f"{record.filename}:{record.lineno}"
        letter = _LETTERS.get(record.levelno, "I")
        message = json.dumps(record.getMessage(), ensure_ascii=False)
        line = f"{letter}{stamp}.{microseconds:06d} {record.process} {source}] {message}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure(*, verbose: int = 0, info: bool = True, warning: bool = True, error: bool = True, file: str = "") -> None:
    """Send what Naiad logs to `file`, or to standard error if it is empty; the flags are Triton's `--log-*`.

    Raises:
        OSError: the file cannot be opened.
    """
    handler = logging.FileHandler(file) if file else logging.StreamHandler(sys.stderr)
    handler.setFormatter(TritonFormatter())
    wanted = {logging.INFO: info, logging.WARNING: warning, logging.ERROR: error, logging.CRITICAL: error}
    handler.addFilter(lambda record: wanted.get(record.levelno, verbose > 0))
    logger = logging.getLogger("naiad")
    logger.handlers = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
