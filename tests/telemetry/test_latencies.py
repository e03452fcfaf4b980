# SPDX-License-Identifier: Apache-2.0
"""Distributions of latencies: what is counted, and for how long it is remembered."""

import math

from naiad.options import Quantile
from naiad.telemetry.latencies import PARTS, WINDOW_NS, LatencyHistogram, LatencySummaries

MS = 10**6
WANTED = (Quantile(0.5, 0.01), Quantile(0.99, 0.001))


def durations(request_us: int) -> tuple[int, int, int, int, int]:
    return (request_us * 1000, 1000, 2000, 3000, 4000)


def test_a_histogram_has_tritons_buckets() -> None:
    histogram = LatencyHistogram()
    for took_ms in (1, 100, 101, 2000, 9000):
        histogram.record(took_ms * MS)
    frozen = histogram.frozen()
    assert frozen.bounds_ms == (100, 500, 2000, 5000)
    assert frozen.counts == (2, 1, 1, 0, 1)
    assert frozen.sum_ms == 11202


def test_summaries_hold_each_part() -> None:
    summaries = LatencySummaries(WANTED)
    for request_us in range(1, 3001):
        summaries.record(durations(request_us), 5)
    frozen = summaries.frozen(6)
    assert tuple(frozen) == PARTS
    request = frozen["request"]
    assert (request.count, request.sum_us) == (3000, 3000 * 3001 // 2)
    assert [quantile for quantile, _ in request.quantiles] == [0.5, 0.99]
    assert abs(request.quantiles[0][1] - 1500) <= 30
    assert abs(request.quantiles[1][1] - 2970) <= 3
    assert frozen["compute_output"].quantiles == ((0.5, 4.0), (0.99, 4.0))


def test_quantiles_forget_after_a_minute_and_counts_never() -> None:
    summaries = LatencySummaries(WANTED)
    summaries.record(durations(10), 0)
    summaries.record(durations(1000), WINDOW_NS)
    assert summaries.frozen(WINDOW_NS)["request"].quantiles == ((0.5, 10.0), (0.99, 1000.0))
    later = summaries.frozen(2 * WINDOW_NS)["request"]
    assert later.quantiles == ((0.5, 1000.0), (0.99, 1000.0))
    silent = summaries.frozen(9 * WINDOW_NS)["request"]
    assert (silent.count, silent.sum_us) == (2, 1010)
    assert all(math.isnan(value) for _, value in silent.quantiles)
