# SPDX-License-Identifier: Apache-2.0
"""What is noted of a request, and the header that names a client's span."""

import numpy as np
import pytest
from tests.telemetry.traces.conftest import KeptTraces, MakeTrace

from naiad.telemetry.traces.trace import RemoteSpan, Series, Stamp, TensorNote, Trace, read_traceparent

TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def _begun(sink: KeptTraces, *levels: str) -> Trace:
    return Trace(1, transport="HTTP", levels=levels, series=Series(), finish=sink.put)


@pytest.mark.parametrize(
    ("transport", "receiving", "sending"),
    [
        ("HTTP", ["HTTP_RECV_START", "HTTP_RECV_END"], ["HTTP_SEND_START", "HTTP_SEND_END"]),
        ("GRPC", ["GRPC_WAITREAD_START", "GRPC_WAITREAD_END"], ["GRPC_SEND_START", "GRPC_SEND_END"]),
    ],
)
def test_timestamps_have_tritons_names_and_go_forward(
    transport: str, receiving: list[str], sending: list[str], finished: MakeTrace
) -> None:
    notes = finished(transport=transport).notes
    assert [note.name for note in notes] == [
        *receiving,
        *("REQUEST_START", "QUEUE_START", "COMPUTE_START", "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "COMPUTE_END"),
        *("INFER_RESPONSE_COMPLETE", "REQUEST_END"),
        *sending,
    ]


def test_only_tensors_are_noted_when_only_they_are_asked_for(finished: MakeTrace) -> None:
    trace = finished(levels=("TENSORS",))
    assert [(note.activity, note.name) for note in trace.notes if isinstance(note, TensorNote)] == [
        ("TENSOR_QUEUE_INPUT", "INPUT0"),
        ("TENSOR_BACKEND_OUTPUT", "OUTPUT0"),
    ]
    assert len(trace.notes) == 2
    assert trace.tensor_bytes == 8 + 2


def test_a_tensor_is_noted_as_it_was(sink: KeptTraces) -> None:
    trace, array = _begun(sink, "TENSORS"), np.array([1.0, 2.0])
    trace.input_queued("IN", "FP64", (2,), array)
    array[:] = 0
    (note,) = trace.notes
    assert isinstance(note, TensorNote)
    assert note.array.tolist() == [1.0, 2.0]


def test_a_request_that_was_withdrawn_ends_when_its_trace_is_closed(sink: KeptTraces) -> None:
    trace = _begun(sink, "TIMESTAMPS")
    trace.request_started("m", "1", "", 5)
    trace.close()
    assert [note.name for note in trace.notes] == ["REQUEST_START", "QUEUE_START", "REQUEST_END"]


def test_what_comes_after_the_end_is_not_noted(sink: KeptTraces) -> None:
    trace = _begun(sink, "TIMESTAMPS", "TENSORS")
    trace.received()
    trace.close()
    trace.computed(1, 2, 3, 4)
    trace.output_made("OUT", "FP32", (1,), np.zeros(1, np.float32))
    trace.close()
    assert len(trace.notes) == 2
    assert sink.traces == [trace]


def test_a_trace_stays_open_until_the_last_answer_is_sent(sink: KeptTraces) -> None:
    trace = _begun(sink, "TIMESTAMPS")
    trace.sent(final=False)
    assert not sink.traces
    trace.sent()
    assert sink.traces == [trace]
    assert trace.began_ns <= trace.ended_ns


def test_receiving_begins_with_the_first_bytes(sink: KeptTraces) -> None:
    trace = _begun(sink, "TIMESTAMPS")
    trace.received(since_ns=7)
    assert trace.notes[0] == Stamp("HTTP_RECV_START", 7)
    assert trace.began_ns == 7


@pytest.mark.parametrize(
    "value",
    [
        f"00-{TRACE_ID}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{SPAN_ID}-00",
        f"cc-{TRACE_ID}-{SPAN_ID}-01-what-the-future-has",
        f" 00-{TRACE_ID}-{SPAN_ID}-01 ",
    ],
)
def test_a_traceparent_names_a_trace_and_a_span(value: str) -> None:
    assert read_traceparent(value) == RemoteSpan(int(TRACE_ID, 16), int(SPAN_ID, 16))


@pytest.mark.parametrize(
    "value",
    [
        *("", "junk", f"00-{TRACE_ID}-{SPAN_ID}", f"ff-{TRACE_ID}-{SPAN_ID}-01", f"00-{TRACE_ID}-{SPAN_ID}-01-x"),
        *(f"00-{'0' * 32}-{SPAN_ID}-01", f"00-{TRACE_ID}-{'0' * 16}-01", f"00-{TRACE_ID.upper()}-{SPAN_ID}-01"),
    ],
)
def test_a_traceparent_that_is_none_is_ignored(value: str) -> None:
    assert read_traceparent(value) is None
