# SPDX-License-Identifier: Apache-2.0
"""The running figures of one model version (Triton's statistics extension).

Written on the event loop's thread only. A request adds the whole of its batch's compute time to the per-request
figures, as Triton's do; `batches` has each execution once.
"""

import time
from enum import Enum
from typing import NamedTuple

from naiad.options import MetricsSettings
from naiad.snapshots import BatchStatistics, Duration, ModelStatistics, ResponseStatistics
from naiad.telemetry.latencies import LatencyHistogram, LatencySummaries


class FailureReason(Enum):
    """Why a request failed, as the label `reason` of `nv_inference_request_failure` says it."""

    REJECTED = "REJECTED"
    CANCELED = "CANCELED"
    BACKEND = "BACKEND"
    OTHER = "OTHER"


class Timings(NamedTuple):
    """When each part of an execution was over, monotonic ns: begun, inputs merged, computed, outputs split."""

    start_ns: int
    input_end_ns: int
    infer_end_ns: int
    output_end_ns: int


class _Sum:
    """A count and a sum of durations."""

    __slots__ = ("count", "ns")

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0

    def add(self, ns: int) -> None:
        self.count += 1
        self.ns += ns

    def frozen(self) -> Duration:
        return Duration(self.count, self.ns)


class _ComputeSums:
    """A count of executions and how long their three parts took."""

    __slots__ = ("count", "infer_ns", "input_ns", "output_ns")

    def __init__(self) -> None:
        self.count = 0
        self.input_ns = 0
        self.infer_ns = 0
        self.output_ns = 0

    def add(self, timings: Timings) -> None:
        start_ns, input_end_ns, infer_end_ns, output_end_ns = timings
        self.count += 1
        self.input_ns += input_end_ns - start_ns
        self.infer_ns += infer_end_ns - input_end_ns
        self.output_ns += output_end_ns - infer_end_ns

    def frozen(self) -> tuple[Duration, Duration, Duration]:
        return (
            Duration(self.count, self.input_ns),
            Duration(self.count, self.infer_ns),
            Duration(self.count, self.output_ns),
        )


class ResponseKind(Enum):
    """What a response of a decoupled model was."""

    SUCCESS = "success"
    FAIL = "fail"
    EMPTY = "empty_response"
    CANCEL = "cancel"


class _ResponseSums:
    """The responses of one number."""

    __slots__ = ("infer", "kinds", "output")

    def __init__(self) -> None:
        self.infer = _Sum()
        self.output = _Sum()
        self.kinds = {kind: _Sum() for kind in ResponseKind}

    def add(self, kind: ResponseKind, infer_ns: int, output_ns: int) -> None:
        if kind is ResponseKind.SUCCESS or kind is ResponseKind.FAIL:
            self.infer.add(infer_ns)
            self.output.add(output_ns)
        self.kinds[kind].add(infer_ns + output_ns)

    def frozen(self) -> ResponseStatistics:
        return ResponseStatistics(
            self.infer.frozen(), self.output.frozen(), *[self.kinds[kind].frozen() for kind in ResponseKind]
        )


_MOST_RESPONSES = 1000
"""Responses beyond that number have no row of their own: a request decides how many there are."""


class StatisticsRecorder:
    """Adds up what happens to the requests of one model version; `settings` say whether distributions are kept too.

    With `counts_responses`, each response is told by `record_response`.
    """

    def __init__(self, settings: MetricsSettings | None = None, counts_responses: bool = False) -> None:
        settings = settings or MetricsSettings()
        self._first_response = LatencyHistogram() if settings.histogram_latencies else None
        self._summaries = LatencySummaries(settings.summary_quantiles) if settings.summary_latencies else None
        self._last_inference_ms = 0
        self._inference_count = 0
        self._execution_count = 0
        self._success = _Sum()
        self._fail = _Sum()
        self._queue = _Sum()
        self._compute = _ComputeSums()
        self._batches: dict[int, _ComputeSums] = {}
        self._counts_responses = counts_responses
        self._responses: list[_ResponseSums] = []
        self._failures = {reason.value: 0 for reason in FailureReason}

    def record_execution(self, rows: int, timings: Timings) -> None:
        """Add one execution of `rows` rows that did not fail; one that did counts for its requests' failures only."""
        self._execution_count += 1
        batch = self._batches.get(rows)
        if batch is None:
            batch = self._batches[rows] = _ComputeSums()
        batch.add(timings)

    def record_success(self, rows: int, arrived_ns: int, queued_ns: int, timings: Timings, now_ns: int) -> None:
        """Add one answered request of `rows` rows; times are monotonic ns."""
        self._inference_count += rows
        self._last_inference_ms = time.time_ns() // 1_000_000
        self._success.add(now_ns - arrived_ns)
        self._queue.add(timings.start_ns - queued_ns)
        self._compute.add(timings)
        if self._first_response is not None and not self._counts_responses:
            self._first_response.record(now_ns - arrived_ns)
        if self._summaries is not None:
            start_ns, input_end_ns, infer_end_ns, output_end_ns = timings
            durations_ns = (
                now_ns - arrived_ns,
                start_ns - queued_ns,
                input_end_ns - start_ns,
                infer_end_ns - input_end_ns,
                output_end_ns - infer_end_ns,
            )
            self._summaries.record(durations_ns, now_ns)

    def record_response(self, number: int, kind: ResponseKind, infer_ns: int, output_ns: int, age_ns: int) -> None:
        """Add a response that was the one of that `number`, from 0, to its request, which is `age_ns` old.

        `infer_ns` is how long the model took for it, `output_ns` how long it took to make it ready to go.
        """
        if number == 0 and kind in {ResponseKind.SUCCESS, ResponseKind.FAIL} and self._first_response is not None:
            self._first_response.record(age_ns)
        if number >= _MOST_RESPONSES:
            return
        while number >= len(self._responses):
            self._responses.append(_ResponseSums())
        self._responses[number].add(kind, infer_ns, output_ns)

    def record_failure(self, reason: FailureReason, took_ns: int) -> None:
        """Add one failed request that took `took_ns` from its arrival."""
        self._failures[reason.value] += 1
        self._fail.add(took_ns)

    def snapshot(self, name: str, version: str, pending_request_count: int, now_ns: int = 0) -> ModelStatistics:
        """Return the figures as they are `now_ns` (monotonic)."""
        compute_input, compute_infer, compute_output = self._compute.frozen()
        return ModelStatistics(
            name=name,
            version=version,
            last_inference_ms=self._last_inference_ms,
            inference_count=self._inference_count,
            execution_count=self._execution_count,
            success=self._success.frozen(),
            fail=self._fail.frozen(),
            queue=self._queue.frozen(),
            compute_input=compute_input,
            compute_infer=compute_infer,
            compute_output=compute_output,
            batches=tuple(BatchStatistics(rows, *sums.frozen()) for rows, sums in sorted(self._batches.items())),
            responses=tuple([sums.frozen() for sums in self._responses]),
            failures=dict(self._failures),
            pending_request_count=pending_request_count,
            first_response=self._first_response.frozen() if self._first_response is not None else None,
            summaries=self._summaries.frozen(now_ns) if self._summaries is not None else {},
        )
