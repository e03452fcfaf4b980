# SPDX-License-Identifier: Apache-2.0
"""Takes finished traces off the event loop: a thread that hands them to their destination, and a queue that is bounded.

When the destination is slower than the server, traces are dropped and counted; the server never waits for them.
"""

import logging
import queue
import threading
from typing import Protocol

from naiad.telemetry.traces.trace import Series, Trace

_MOST_TRACES = 4096
_MOST_TENSOR_BYTES = 64 * 2**20

_log = logging.getLogger(__name__)


class Destination(Protocol):
    """Where traces go; called on the writer's thread only."""

    def write(self, trace: Trace) -> None:
        """Take a trace.

        Raises:
            OSError: it cannot be written.
        """

    def end(self, series: Series) -> None:
        """Note that no further trace of the series will be begun."""

    def close(self) -> None:
        """Finish what was written."""


class TraceWriter:
    """The queue and the thread before a `destination`; the thread starts with the first trace."""

    def __init__(self, destination: Destination) -> None:
        self._destination = destination
        self._queue: queue.SimpleQueue[Trace | Series | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._waiting = 0
        self._waiting_bytes = 0
        self._dropped = 0
        self._has_failed = False
        self._thread: threading.Thread | None = None

    def put(self, trace: Trace) -> None:
        """Queue a trace, or drop it when too many wait."""
        size_bytes = trace.tensor_bytes
        with self._lock:
            is_full = self._waiting >= _MOST_TRACES or self._waiting_bytes + size_bytes > _MOST_TENSOR_BYTES
            if is_full and self._waiting:
                self._dropped += 1
                return
            self._waiting += 1
            self._waiting_bytes += size_bytes
        self._send(trace)

    def end(self, series: Series) -> None:
        """Queue the note that a series is over."""
        self._send(series)

    def close(self, timeout_s: float) -> None:
        """Write what waits; gives up after `timeout_s`."""
        if self._thread is None:
            return
        self._queue.put(None)
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            _log.warning("traces were lost: they could not be written within %g s", timeout_s)

    def _send(self, item: Trace | Series) -> None:
        if self._thread is None:
            # A daemon: a collector that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._run, name="naiad-traces", daemon=True)
            self._thread.start()
        self._queue.put(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            self._attempt(item)
            self._note_dropped()
        try:
            self._destination.close()
        except OSError as error:
            _log.error("traces could not be written: %s", error)

    def _attempt(self, item: Trace | Series) -> None:
        """Hand an item on; when that fails, say so once and go on.

        This is the boundary at which unforeseen exceptions end: the thread has to live on.
        """
        try:
            if isinstance(item, Series):
                self._destination.end(item)
            else:
                self._destination.write(item)
        except OSError as error:
            if not self._has_failed:
                _log.error("traces could not be written, they are lost from here on until that changes: %s", error)
            self._has_failed = True
        except Exception:  # noqa: BLE001 - the boundary named above
            _log.exception("unforeseen error while writing a trace")
        else:
            self._has_failed = False
        if isinstance(item, Trace):
            size_bytes = item.tensor_bytes
            with self._lock:
                self._waiting -= 1
                self._waiting_bytes -= size_bytes

    def _note_dropped(self) -> None:
        """Say how many traces were dropped, once the queue is empty again."""
        with self._lock:
            dropped = 0 if self._waiting else self._dropped
            self._dropped -= dropped
        if dropped:
            _log.warning("%d traces were dropped, there were more than could be written; trace fewer requests", dropped)
