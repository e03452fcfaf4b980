# SPDX-License-Identifier: Apache-2.0
"""The running figures of one model version."""

from naiad.options import MetricsSettings
from naiad.snapshots import Duration, ResponseStatistics
from naiad.telemetry.statistics import ResponseKind, StatisticsRecorder, Timings

MS = 1_000_000
NONE = Duration()


def test_responses_are_added_up_by_their_number() -> None:
    recorder = StatisticsRecorder(counts_responses=True)
    recorder.record_response(0, ResponseKind.SUCCESS, 10, 1, 0)
    recorder.record_response(0, ResponseKind.SUCCESS, 20, 2, 0)
    recorder.record_response(1, ResponseKind.FAIL, 5, 1, 0)
    recorder.record_response(1, ResponseKind.EMPTY, 7, 0, 0)
    recorder.record_response(2, ResponseKind.CANCEL, 9, 0, 0)
    assert recorder.snapshot("m", "1", 0).responses == (
        ResponseStatistics(Duration(2, 30), Duration(2, 3), Duration(2, 33), NONE, NONE, NONE),
        ResponseStatistics(Duration(1, 5), Duration(1, 1), NONE, Duration(1, 6), Duration(1, 7), NONE),
        ResponseStatistics(NONE, NONE, NONE, NONE, NONE, Duration(1, 9)),
    )


def test_a_request_cannot_make_rows_without_end() -> None:
    recorder = StatisticsRecorder(counts_responses=True)
    for number in range(2000):
        recorder.record_response(number, ResponseKind.SUCCESS, 1, 1, 0)
    assert len(recorder.snapshot("m", "1", 0).responses) == 1000


def test_of_several_responses_the_first_is_in_the_histogram() -> None:
    recorder = StatisticsRecorder(MetricsSettings(histogram_latencies=True), counts_responses=True)
    recorder.record_response(0, ResponseKind.SUCCESS, 1, 1, 200 * MS)
    recorder.record_response(1, ResponseKind.SUCCESS, 1, 1, 700 * MS)
    recorder.record_response(0, ResponseKind.EMPTY, 1, 1, 700 * MS)
    recorder.record_success(1, 0, 0, Timings(0, 0, 900 * MS, 900 * MS), 900 * MS)
    histogram = recorder.snapshot("m", "1", 0).first_response
    assert histogram is not None
    assert (histogram.counts, histogram.sum_ms) == ((0, 1, 0, 0, 0), 200)
