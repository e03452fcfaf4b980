# SPDX-License-Identifier: Apache-2.0
"""The thread that writes traces: it never makes the server wait, and says what was lost."""

import logging
import threading

import pytest
from tests.telemetry.traces.conftest import MakeTrace

from naiad.telemetry.traces import writer
from naiad.telemetry.traces.trace import Series, Trace
from naiad.telemetry.traces.writer import TraceWriter

_TIMEOUT_S = 10


class SlowDestination:
    """Writes nothing until it `may_go_on`; `fails` as often as told."""

    def __init__(self, fails: int = 0, error: Exception | None = None) -> None:
        self.written: list[int] = []
        self.ended: list[Series] = []
        self.is_closed = False
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()
        self._fails = fails
        self._error = error or OSError("the disk is full")

    def write(self, trace: Trace) -> None:
        self.has_begun.set()
        assert self.may_go_on.wait(_TIMEOUT_S)
        if self._fails:
            self._fails -= 1
            raise self._error
        self.written.append(trace.id)

    def end(self, series: Series) -> None:
        self.ended.append(series)

    def close(self) -> None:
        self.is_closed = True


def test_what_waits_is_written_before_the_end(finished: MakeTrace) -> None:
    destination, series = SlowDestination(), Series()
    traces = TraceWriter(destination)
    for number in (1, 2, 3):
        traces.put(finished(number))
    traces.end(series)
    destination.may_go_on.set()
    traces.close(_TIMEOUT_S)
    assert destination.written == [1, 2, 3]
    assert destination.ended == [series]
    assert destination.is_closed


def test_a_server_that_traces_nothing_has_no_thread_for_it() -> None:
    destination = SlowDestination()
    before = set(threading.enumerate())  # of other servers too, which may end meanwhile
    TraceWriter(destination).close(_TIMEOUT_S)
    assert not destination.is_closed
    assert set(threading.enumerate()) <= before


def test_too_many_are_dropped_and_counted(
    finished: MakeTrace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "_MOST_TRACES", 2)
    destination = SlowDestination()
    traces = TraceWriter(destination)
    traces.put(finished(1))
    assert destination.has_begun.wait(_TIMEOUT_S)
    for number in (2, 3, 4):
        traces.put(finished(number))
    destination.may_go_on.set()
    traces.close(_TIMEOUT_S)
    assert destination.written == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "2 traces were dropped, there were more than could be written; trace fewer requests"
    ]


def test_tensors_that_wait_take_only_so_much_memory(finished: MakeTrace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_MOST_TENSOR_BYTES", 5)
    destination = SlowDestination()
    traces = TraceWriter(destination)
    traces.put(finished(1, ("TENSORS",)))  # larger than all that may wait, but nothing else does
    traces.put(finished(2, ("TENSORS",)))
    destination.may_go_on.set()
    traces.close(_TIMEOUT_S)
    assert destination.written == [1]


def test_a_failure_is_said_once_and_writing_goes_on(finished: MakeTrace, caplog: pytest.LogCaptureFixture) -> None:
    destination = SlowDestination(fails=2)
    traces = TraceWriter(destination)
    destination.may_go_on.set()
    for number in (1, 2, 3):
        traces.put(finished(number))
    traces.close(_TIMEOUT_S)
    assert destination.written == [3]
    assert [record.getMessage() for record in caplog.records] == [
        "traces could not be written, they are lost from here on until that changes: the disk is full"
    ]


def test_an_unforeseen_error_does_not_end_the_writing(finished: MakeTrace, caplog: pytest.LogCaptureFixture) -> None:
    destination = SlowDestination(fails=1, error=RuntimeError("a mistake"))
    traces = TraceWriter(destination)
    destination.may_go_on.set()
    for number in (1, 2):
        traces.put(finished(number))
    traces.close(_TIMEOUT_S)
    assert destination.written == [2]
    assert "unforeseen error while writing a trace" in caplog.text


def test_the_end_does_not_wait_for_a_destination_that_hangs(
    finished: MakeTrace, caplog: pytest.LogCaptureFixture
) -> None:
    destination = SlowDestination()
    traces = TraceWriter(destination)
    traces.put(finished(1))
    with caplog.at_level(logging.WARNING):
        traces.close(0.01)
    assert "traces were lost: they could not be written within 0.01 s" in caplog.text
    destination.may_go_on.set()
    traces.close(_TIMEOUT_S)
