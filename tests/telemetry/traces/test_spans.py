# SPDX-License-Identifier: Apache-2.0
"""Spans of traces, as a collector gets them over OTLP/HTTP."""

import time
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from tests.telemetry.traces.collector import Collector
from tests.telemetry.traces.conftest import KeptTraces, MakeTrace

from naiad.telemetry.traces.spans import SpanExport
from naiad.telemetry.traces.trace import RemoteSpan, Series, Trace


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as one:
        yield one


def _exported(collector: Collector, trace: Trace, *settings: tuple[str, str]) -> dict[str, Span]:
    export = SpanExport.to_collector((("url", collector.url), *settings), "my-server")
    export.write(trace)
    export.end(trace.series)
    export.close()
    return collector.spans


def _events(span: Span) -> list[str]:
    return [event.name for event in span.events]


def _attributes(span: Span) -> dict[str, str | int]:
    return {one.key: one.value.string_value or one.value.int_value for one in span.attributes}


def test_a_request_makes_three_spans_one_in_the_other(collector: Collector, finished: MakeTrace) -> None:
    spans = _exported(collector, finished(5))
    request, model, compute = (spans[name] for name in ("InferRequest", "identity", "compute"))
    assert len(spans) == 3
    assert (request.parent_span_id, model.parent_span_id, compute.parent_span_id) == (
        b"",
        request.span_id,
        model.span_id,
    )
    assert request.trace_id == model.trace_id == compute.trace_id
    assert {span.kind for span in spans.values()} == {Span.SPAN_KIND_SERVER}


def test_their_events_and_attributes_are_tritons(collector: Collector, finished: MakeTrace) -> None:
    spans = _exported(collector, finished(5))
    assert _events(spans["InferRequest"]) == [
        *("HTTP_RECV_START", "HTTP_RECV_END", "INFER_RESPONSE_COMPLETE", "HTTP_SEND_START", "HTTP_SEND_END"),
    ]
    assert _events(spans["identity"]) == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]
    assert _events(spans["compute"]) == ["COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"]
    assert _attributes(spans["identity"]) == {
        "triton.model_name": "identity",
        "triton.model_version": 3,
        "triton.trace_id": 5,
        "triton.trace_parent_id": 0,
        "triton.request_id": "my-id",
    }


def test_times_are_of_the_calendar_and_enclose_each_other(collector: Collector, finished: MakeTrace) -> None:
    trace, now_ns = finished(), time.time_ns()
    spans = _exported(collector, trace)
    request, model, compute = (spans[name] for name in ("InferRequest", "identity", "compute"))
    assert abs(request.start_time_unix_nano - now_ns) < 10e9
    assert request.end_time_unix_nano - request.start_time_unix_nano == trace.ended_ns - trace.began_ns
    assert request.start_time_unix_nano < model.start_time_unix_nano < compute.start_time_unix_nano
    assert compute.end_time_unix_nano - compute.start_time_unix_nano == 30
    assert model.end_time_unix_nano <= request.end_time_unix_nano
    assert request.events[0].time_unix_nano == request.start_time_unix_nano


def test_a_clients_span_is_the_parent(collector: Collector, finished: MakeTrace) -> None:
    spans = _exported(collector, finished(remote=RemoteSpan(0xABC, 0xDEF)))
    assert spans["InferRequest"].trace_id == (0xABC).to_bytes(16)
    assert spans["InferRequest"].parent_span_id == (0xDEF).to_bytes(8)
    assert spans["compute"].trace_id == (0xABC).to_bytes(16)


def test_a_request_that_no_model_accepted_is_one_span(collector: Collector, sink: KeptTraces) -> None:
    trace = Trace(1, transport="GRPC", levels=("TIMESTAMPS",), series=Series(), finish=sink.put)
    trace.received()
    trace.close()
    spans = _exported(collector, trace)
    assert {name: _events(span) for name, span in spans.items()} == {
        "InferRequest": ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"]
    }


class TestResource:
    def test_the_service_has_the_servers_name(self, collector: Collector, finished: MakeTrace) -> None:
        _exported(collector, finished())
        assert collector.resource["service.name"] == "my-server"
        assert collector.resource["telemetry.sdk.name"] == "opentelemetry"

    def test_it_is_what_the_settings_say(self, collector: Collector, finished: MakeTrace) -> None:
        _exported(collector, finished(), ("resource", "service.name=a=b"), ("resource", "zone=eu"))
        assert collector.resource["service.name"] == "a=b"
        assert collector.resource["zone"] == "eu"

    def test_the_environment_comes_before_the_servers_name(
        self, collector: Collector, finished: MakeTrace, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OTEL_SERVICE_NAME", "from-outside")
        _exported(collector, finished())
        assert collector.resource["service.name"] == "from-outside"


def test_spans_are_sent_in_batches_as_large_as_the_settings_say(collector: Collector, finished: MakeTrace) -> None:
    _exported(collector, finished(), ("bsp_max_export_batch_size", "2"), ("bsp_max_queue_size", "4"))
    assert [sum(len(scope.spans) for scope in group.scope_spans) for group in collector.received] == [2, 1]
