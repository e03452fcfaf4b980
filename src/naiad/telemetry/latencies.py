# SPDX-License-Identifier: Apache-2.0
"""The distributions of a model's latencies, for those who ask for them by `--metrics-config`.

Written on the event loop's thread only. May import `options`, `snapshots` and its neighbours.
"""

from bisect import bisect_left
from collections.abc import Sequence

import numpy as np

from naiad.options import Quantile
from naiad.snapshots import Histogram, Summary
from naiad.telemetry.quantiles import QuantileSketch, quantiles

PARTS = ("request", "queue", "compute_input", "compute_infer", "compute_output")
"""What is summed up, as Triton's metrics are named: `nv_inference_{part}_summary_us`."""

FIRST_RESPONSE_BOUNDS_MS = (100, 500, 2000, 5000)
"""Triton's."""

WINDOW_NS = 30 * 10**9
"""Quantiles are those of the last one to two windows: a minute at most, as in Triton."""

_FLUSHED_REQUESTS = 1024


class LatencyHistogram:
    """How long requests waited for their first response."""

    def __init__(self) -> None:
        self._counts = [0] * (len(FIRST_RESPONSE_BOUNDS_MS) + 1)
        self._sum_ns = 0

    def record(self, took_ns: int) -> None:
        """Add one response."""
        self._counts[bisect_left(FIRST_RESPONSE_BOUNDS_MS, took_ns / 1e6)] += 1
        self._sum_ns += took_ns

    def frozen(self) -> Histogram:
        """Return it as it is now."""
        return Histogram(FIRST_RESPONSE_BOUNDS_MS, tuple(self._counts), self._sum_ns / 1e6)


class LatencySummaries:
    """Count, sum and quantiles of the five `PARTS` of all requests.

    A request costs the hot path one append; sketches are fed from time to time, or when somebody asks.
    """

    def __init__(self, wanted: Sequence[Quantile]) -> None:
        self._wanted = tuple(one.quantile for one in wanted)
        self._error = min((one.error for one in wanted), default=1.0)
        self._waiting: list[tuple[int, int, int, int, int]] = []
        self._counted = 0
        self._sums_ns = [0] * len(PARTS)
        self._window_end_ns = 0
        self._current = self._sketches()
        self._previous = self._sketches()

    def record(self, durations_ns: tuple[int, int, int, int, int], now_ns: int) -> None:
        """Add a request that ended `now_ns` (monotonic); its durations are in the order of `PARTS`."""
        if now_ns >= self._window_end_ns:
            self._turn(now_ns)
        self._waiting.append(durations_ns)
        if len(self._waiting) >= _FLUSHED_REQUESTS:
            self._flush()

    def frozen(self, now_ns: int) -> dict[str, Summary]:
        """Return each part's summary, in µs, as it is `now_ns`."""
        if now_ns >= self._window_end_ns:
            self._turn(now_ns)
        self._flush()
        return {
            part: Summary(
                self._counted,
                sum_ns // 1000,
                tuple(zip(self._wanted, quantiles(sketches, self._wanted), strict=True)),
            )
            for part, sum_ns, *sketches in zip(PARTS, self._sums_ns, self._current, self._previous, strict=True)
        }

    def _sketches(self) -> list[QuantileSketch]:
        return [QuantileSketch(self._error) for _ in PARTS]

    def _turn(self, now_ns: int) -> None:
        """Begin a new window, and forget the one before the last."""
        self._flush()
        is_long_ago = now_ns >= self._window_end_ns + WINDOW_NS
        self._previous = self._sketches() if is_long_ago else self._current
        self._current = self._sketches()
        self._window_end_ns = now_ns + WINDOW_NS

    def _flush(self) -> None:
        if not self._waiting:
            return
        durations_ns = np.array(self._waiting, np.int64)
        self._waiting.clear()
        self._counted += len(durations_ns)
        for index, sketch in enumerate(self._current):
            column = durations_ns[:, index]
            self._sums_ns[index] += int(column.sum())
            sketch.extend(column / 1e3)
