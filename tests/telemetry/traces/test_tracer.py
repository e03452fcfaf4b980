# SPDX-License-Identifier: Apache-2.0
"""Which requests are traced: rate, count, settings of one model, and what cannot be set."""

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.telemetry.traces.conftest import KeptTraces

from naiad.errors import InvalidArgumentError
from naiad.snapshots import TraceSettings
from naiad.telemetry.traces.tracer import Tracer

ON = TraceSettings(levels=("TIMESTAMPS",), rate=1, file="trace.json")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


def _tracer(settings: TraceSettings = ON, sink: KeptTraces | None = None) -> Tracer:
    return Tracer(settings, sink or KeptTraces())


def _traced(tracer: Tracer, count: int, model: str = "m", traceparent: str | None = None) -> list[int]:
    """Return which of so many requests are traced."""
    return [number for number in range(count) if tracer.sample(model, "HTTP", traceparent) is not None]


def test_nothing_is_traced_until_a_level_is_set() -> None:
    tracer = _tracer(TraceSettings(file="trace.json", rate=1))
    assert not tracer.is_active
    assert _traced(tracer, 3) == []
    tracer.change({"levels": ("TENSORS",)})
    assert tracer.is_active
    assert _traced(tracer, 3) == [0, 1, 2]


def test_one_request_of_rate_is_traced_over_all_models() -> None:
    tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=3, file="f"))
    assert _traced(tracer, 4, "a") == [2]
    assert _traced(tracer, 4, "b") == [1]


@given(rate=st.integers(1, 20), count=st.integers(-1, 20), requests=st.integers(0, 300))
def test_as_many_are_traced_as_rate_and_count_say(rate: int, count: int, requests: int) -> None:
    tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=rate, count=count, file="f"))
    hits = requests // rate
    assert len(_traced(tracer, requests)) == (hits if count < 0 else min(hits, count))
    assert tracer.settings().count == (-1 if count < 0 else count - min(hits, count))


def test_traces_are_numbered_over_all_models() -> None:
    tracer = _tracer()
    numbers = [trace.id for model in "aba" if (trace := tracer.sample(model, "HTTP")) is not None]
    assert numbers == [1, 2, 3]


def test_a_change_begins_to_count_anew_but_keeps_what_is_left_of_the_count() -> None:
    tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=2, count=5, file="f"))
    assert _traced(tracer, 5) == [1, 3]
    tracer.change({"rate": 3})
    assert tracer.settings().count == 3
    assert _traced(tracer, 3) == [2]


def test_a_cleared_setting_is_as_it_was_at_the_start() -> None:
    tracer = _tracer()
    tracer.change({"rate": 9, "count": 4, "log_frequency": 2, "levels": ()})
    tracer.change({"rate": None, "count": None, "log_frequency": None, "levels": None})
    assert tracer.settings() == ON


class TestOneModel:
    def test_its_own_settings_come_before_those_for_all(self) -> None:
        tracer = _tracer()
        tracer.change({"rate": 2}, "m")
        assert tracer.settings("m").rate == 2
        assert tracer.settings().rate == tracer.settings("other").rate == 1
        assert _traced(tracer, 4, "m") == [1, 3]
        assert _traced(tracer, 2, "other") == [0, 1]

    def test_what_it_has_not_set_follows_those_for_all(self) -> None:
        tracer = _tracer()
        tracer.change({"rate": 2}, "m")
        tracer.change({"rate": 5, "count": 7})
        assert (tracer.settings("m").rate, tracer.settings("m").count) == (2, 7)

    def test_a_cleared_setting_follows_those_for_all(self) -> None:
        tracer = _tracer()
        tracer.change({"rate": 2, "log_frequency": 3}, "m")
        tracer.change({"rate": 5})
        tracer.change({"rate": None}, "m")
        assert (tracer.settings("m").rate, tracer.settings("m").log_frequency) == (5, 3)

    def test_it_is_as_if_never_customised_when_all_is_cleared(self) -> None:
        tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=2, file="f"))
        tracer.change({"rate": 1}, "m")
        tracer.change({"rate": None}, "m")
        assert _traced(tracer, 1, "m") == []
        assert _traced(tracer, 1, "other") == [0]

    def test_what_is_left_of_its_own_count_survives_other_changes(self) -> None:
        tracer = _tracer()
        tracer.change({"count": 5}, "m")
        assert _traced(tracer, 2, "m") == [0, 1]
        tracer.change({"rate": 2})
        assert tracer.settings("m").count == 3
        tracer.change({"rate": 1}, "m")
        assert tracer.settings("m").count == 3
        assert len(_traced(tracer, 9, "m")) == 3

    def test_it_can_be_traced_alone(self) -> None:
        tracer = _tracer(TraceSettings(rate=1, file="f"))
        tracer.change({"levels": ("TIMESTAMPS",)}, "m")
        assert tracer.is_active
        assert (_traced(tracer, 1, "m"), _traced(tracer, 1, "other")) == ([0], [])
        tracer.change({"levels": None}, "m")
        assert not tracer.is_active


@pytest.mark.parametrize(
    ("settings", "changes", "text"),
    [
        (ON, {"rate": 0}, "Attempting to set invalid trace setting :sample rate must be non-zero"),
        (ON, {"count": 0}, "Attempting to set invalid trace setting :"),
        (
            TraceSettings(),
            {"levels": ("TENSORS",)},
            "Attempting to set invalid trace setting :trace file name is not given",
        ),
    ],
)
@pytest.mark.parametrize("model", ["", "m"])
def test_what_would_trace_nothing_is_refused_and_changes_nothing(
    settings: TraceSettings, changes: dict[str, int], text: str, model: str
) -> None:
    tracer = _tracer(settings)
    with pytest.raises(InvalidArgumentError) as error:
        tracer.change(changes, model)
    assert str(error.value) == text
    assert tracer.settings(model) == settings


def test_anything_may_be_set_while_nothing_is_traced() -> None:
    tracer = _tracer(TraceSettings())
    tracer.change({"rate": 0, "count": 0})
    assert (tracer.settings().rate, tracer.settings().count) == (0, 0)


def test_a_change_ends_the_series_before_it(sink: KeptTraces) -> None:
    tracer = _tracer(sink=sink)
    first = tracer.sample("m", "HTTP")
    tracer.change({"log_frequency": 2})
    second = tracer.sample("m", "HTTP")
    assert first is not None
    assert second is not None
    assert sink.ended == [first.series]
    assert (second.series.log_frequency, second.series.count) == (2, -1)


class TestTraceparent:
    SPANS = TraceSettings(levels=("TIMESTAMPS",), rate=1000, mode="opentelemetry")

    def test_a_request_with_one_is_always_traced(self) -> None:
        tracer = _tracer(self.SPANS)
        assert _traced(tracer, 3, traceparent=PARENT) == [0, 1, 2]
        assert _traced(tracer, 3, traceparent="junk") == _traced(tracer, 3) == []

    def test_it_takes_nothing_of_a_count_that_is_used_up(self) -> None:
        tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=1, count=1, mode="opentelemetry"))
        assert _traced(tracer, 2) == [0]
        assert _traced(tracer, 2, traceparent=PARENT) == [0, 1]
        assert tracer.settings().count == 0

    def test_with_rate_0_nothing_else_is_traced(self) -> None:
        tracer = _tracer(TraceSettings(levels=("TIMESTAMPS",), rate=0, mode="opentelemetry"))
        assert _traced(tracer, 2, traceparent=PARENT) == [0, 1]
        assert _traced(tracer, 2) == []

    def test_it_means_nothing_in_tritons_mode_nor_when_off(self) -> None:
        assert _traced(_tracer(TraceSettings(levels=("TIMESTAMPS",), file="f")), 1, traceparent=PARENT) == []
        assert _traced(_tracer(TraceSettings(mode="opentelemetry")), 1, traceparent=PARENT) == []

    def test_the_trace_knows_the_clients_span(self) -> None:
        trace = _tracer(self.SPANS).sample("m", "HTTP", PARENT)
        assert trace is not None
        assert trace.remote == (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)


def test_tensors_in_opentelemetrys_mode_are_warned_about(caplog: pytest.LogCaptureFixture) -> None:
    tracer = _tracer(TraceSettings(mode="opentelemetry"))
    with caplog.at_level(logging.WARNING, "naiad"):
        tracer.change({"levels": ("TENSORS",)})
        _tracer(tracer.settings())
    assert [record.getMessage() for record in caplog.records] == [
        "Tensor level tracing is not supported by the mode: opentelemetry"
    ] * 2
