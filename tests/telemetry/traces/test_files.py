# SPDX-License-Identifier: Apache-2.0
"""Trace files: Triton's form, and which traces get into which file."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.telemetry.traces.conftest import KeptTraces, MakeTrace

from naiad.telemetry.traces.files import TraceFiles, shown
from naiad.telemetry.traces.trace import Series, Stamp, TensorNote, Trace


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "trace.json"


def _loaded(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_text("utf-8")))


def _ids(path: Path) -> list[int]:
    return sorted({record["id"] for record in _loaded(path)})


def _stamp(note: Stamp | TensorNote) -> Stamp:
    assert isinstance(note, Stamp)
    return note


def _names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


def test_a_file_reads_as_tritons_does(path: Path, finished: MakeTrace) -> None:
    """The text between the times is what Triton 2.51 writes for an infer request over HTTP."""
    trace = finished(7)
    files = TraceFiles(path)
    files.write(trace)
    files.close()
    stamps = [f'{{"id":7,"timestamps":[{{"name":"{name}","ns":{ns}}}]}}' for name, ns in map(_stamp, trace.notes)]
    model = '{"id":7,"model_name":"identity","model_version":3,"request_id":"my-id"}'
    assert path.read_text() == f"[{','.join([*stamps[:2], model, *stamps[2:]])}]"


def test_tensors_have_name_data_shape_and_datatype(path: Path, finished: MakeTrace) -> None:
    files = TraceFiles(path)
    files.write(finished(4, ("TENSORS",)))
    files.close()
    assert path.read_text() == (
        '[{"id":4,"activity":"TENSOR_QUEUE_INPUT","tensor":'
        '{"name":"INPUT0","data":"0.1,1e+20","shape":"1,2","dtype":"FP32"}},'
        '{"id":4,"activity":"TENSOR_BACKEND_OUTPUT","tensor":'
        '{"name":"OUTPUT0","data":"-5,65","shape":"2","dtype":"INT8"}}]'
    )


def test_the_row_of_the_model_has_the_parent_but_no_empty_id(path: Path, finished: MakeTrace) -> None:
    files = TraceFiles(path)
    files.write(finished(2, request_id="", parent_id=1))
    files.close()
    assert {"id": 2, "model_name": "identity", "model_version": 3, "parent_id": 1} in _loaded(path)


def test_any_id_of_a_request_makes_good_json(path: Path, finished: MakeTrace) -> None:
    files = TraceFiles(path)
    files.write(finished(request_id='a"\\\n\ud800'))
    files.close()
    assert _loaded(path)[2]["request_id"].startswith('a"\\\n')


@pytest.mark.parametrize(
    ("datatype", "array", "text"),
    [
        ("BOOL", np.array([True, False]), "1,0"),
        ("INT8", np.array([-5, 65], np.int8), "-5,65"),
        ("UINT64", np.array([2**64 - 1], np.uint64), "18446744073709551615"),
        (
            "FP32",
            np.array([0.1, 1234567, 123456, 1e-5, 1e-4, np.nan, np.inf, -np.inf, -0.0], np.float32),
            "0.1,1.23457e+06,123456,1e-05,0.0001,nan,inf,-inf,-0",
        ),
        ("FP64", np.array([1 / 3, 1e300]), "0.333333,1e+300"),
        ("FP16", np.array([0.5], np.float16), "0.5"),
        ("BF16", np.array([0x3FC0, 0x4000], np.uint16), "1.5,2"),
        ("BYTES", np.array([b"ab", b"q\xff", b""], object), '"ab","q\\xff",""'),
        ("FP32", np.zeros((0, 3), np.float32), ""),
    ],
)
def test_elements_are_shown_as_c_plus_plus_prints_them(datatype: str, array: Any, text: str) -> None:
    assert shown(array, datatype) == text


def test_a_request_that_no_model_accepted_leaves_nothing(path: Path, finished: MakeTrace, sink: KeptTraces) -> None:
    files = TraceFiles(path)
    files.write(finished(1))
    refused = Trace(2, transport="HTTP", levels=("TIMESTAMPS",), series=Series(), finish=sink.put)
    refused.received()
    refused.close()
    files.write(refused)
    files.close()
    assert _ids(path) == [1]


def test_a_file_that_is_still_open_holds_what_came_so_far(path: Path, finished: MakeTrace) -> None:
    files = TraceFiles(path)
    files.write(finished(1))
    assert json.loads(path.read_text() + "]")
    files.close()


def test_with_a_log_frequency_each_file_has_so_many_traces(path: Path, finished: MakeTrace) -> None:
    series = Series(log_frequency=2)
    files = TraceFiles(path)
    for number in range(1, 6):
        files.write(finished(number, series=series))
    assert _names(path.parent) == ["trace.json.0", "trace.json.1", "trace.json.2.part"]
    files.close()
    assert [_ids(path.with_name(f"trace.json.{index}")) for index in range(3)] == [[1, 2], [3, 4], [5]]
    assert _names(path.parent) == ["trace.json.0", "trace.json.1", "trace.json.2"]


def test_a_refused_request_takes_no_place_in_a_file(path: Path, finished: MakeTrace, sink: KeptTraces) -> None:
    files, series = TraceFiles(path), Series(log_frequency=2, count=3)
    refused = Trace(2, transport="HTTP", levels=("TIMESTAMPS",), series=series, finish=sink.put)
    refused.close()
    for trace in (finished(1, series=series), refused):
        files.write(trace)
    assert _names(path.parent) == ["trace.json.0.part"]
    files.write(finished(3, series=series))
    assert _ids(path.with_name("trace.json.0")) == [1, 3]


def test_a_limited_count_is_one_numbered_file(path: Path, finished: MakeTrace) -> None:
    files, series = TraceFiles(path), Series(count=2)
    for number in (1, 2):
        files.write(finished(number, series=series))
    assert _names(path.parent) == ["trace.json.0"]
    assert _ids(path.with_name("trace.json.0")) == [1, 2]
    files.close()


def test_the_count_ends_a_file_before_it_is_full(path: Path, finished: MakeTrace) -> None:
    files, series = TraceFiles(path), Series(log_frequency=2, count=3)
    for number in (1, 2, 3):
        files.write(finished(number, series=series))
    assert [_ids(path.with_name(f"trace.json.{index}")) for index in range(2)] == [[1, 2], [3]]


def test_the_end_of_a_series_ends_its_file_and_numbers_go_on(path: Path, finished: MakeTrace) -> None:
    files, first, second = TraceFiles(path), Series(log_frequency=5), Series(log_frequency=1)
    files.write(finished(1, series=first))
    files.end(first)
    files.write(finished(2, series=second))
    assert [_ids(path.with_name(f"trace.json.{index}")) for index in range(2)] == [[1], [2]]
    files.end(second)


def test_two_series_fill_files_of_their_own(path: Path, finished: MakeTrace) -> None:
    files, first, second = TraceFiles(path), Series(log_frequency=2), Series(log_frequency=2)
    for number, series in ((1, first), (2, second), (3, first), (4, second)):
        files.write(finished(number, series=series))
    assert [_ids(path.with_name(f"trace.json.{index}")) for index in range(2)] == [[1, 3], [2, 4]]
