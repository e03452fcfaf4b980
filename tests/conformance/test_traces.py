# SPDX-License-Identifier: Apache-2.0
"""Traces: settings that change, and what is in the files, on servers that write some."""

import json
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from tests.conformance.cases import as_json, infer
from tests.conformance.comparison import differences, document
from tests.conformance.conftest import Servers, traced_servers
from tests.conformance.wire import Request, converse
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_TIMEOUT_S = 30
_POLL_S = 0.05

ALL, ONE = "/v2/trace/setting", "/v2/models/fixed/trace/setting"
_OWN = frozenset(("json.trace_file", "header content-type of an error"))
"""Where the answers of the two may differ."""

BACK = b'{"trace_level":null,"trace_rate":null,"trace_count":null,"log_frequency":null}'


class Traced(NamedTuple):
    """Two servers that write the traces of `servers` to files in folders of their own."""

    servers: Servers
    triton: Path
    naiad: Path


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folders = [tmp_path_factory.mktemp(name) for name in ("triton", "naiad")]
    configs = [(f"triton,file={folder}/trace.json", "triton,log-frequency=1", "rate=1") for folder in folders]
    with traced_servers(tmp_path_factory.mktemp("traced"), *configs) as servers:
        yield Traced(servers, *folders)


def every(**settings: object) -> tuple[str, bytes]:
    """A change of the settings for all models."""
    return ALL, json.dumps(settings).encode()


def one(**settings: object) -> tuple[str, bytes]:
    """A change of the settings for the model `fixed`."""
    return ONE, json.dumps(settings).encode()


CHANGES: dict[str, Sequence[tuple[str, bytes]]] = {
    "rate and count": [every(trace_rate="5", trace_count="7"), every(trace_rate=None)],
    "a model's rate stays": [one(trace_rate="3"), every(trace_rate="9", trace_count="4")],
    "a model's rate is cleared": [one(trace_rate="3"), every(trace_rate="9"), one(trace_rate=None)],
    "a model is off": [every(trace_level=["TIMESTAMPS"]), one(trace_level=["OFF"]), one(trace_level=[])],
    "only a model is on": [one(trace_level=["TENSORS", "TIMESTAMPS"])],
    "unknown levels change nothing": [every(trace_level=["TENSORS"]), every(trace_level=["MAX", "NOPE"])],
    "levels in any case": [every(trace_level=["timestamps", "TENSORS"]), every(trace_level=["off"])],
    "wrapped around": [every(trace_rate="-1", log_frequency="-4")],
    "off, all can be set": [every(trace_rate="0", trace_count="0"), every(trace_level=["TENSORS"])],
    "rate 0 when on": [every(trace_level=["TENSORS"]), every(trace_rate="0")],
    "count 0 when on": [every(trace_level=["TENSORS"]), every(trace_count="0"), one(trace_count="0")],
    "rate 0 of a model": [every(trace_level=["TENSORS"]), one(trace_rate="0x10")],
    "a wrong one changes nothing": [one(trace_rate="12", trace_count="x"), every(trace_file="x", trace_rate="3")],
}


@pytest.mark.parametrize("name", CHANGES)
def test_settings_change_alike(name: str, traced: Traced) -> None:
    ports = [server.http for server in traced.servers]
    for path, body in (*CHANGES[name], (ONE, BACK), (ALL, BACK)):
        for request in (Request("POST", path, body), Request("GET", ALL), Request("GET", ONE)):
            triton, naiad = (converse(port, request.encoded()) for port in ports)
            found = [difference for difference in differences(triton, naiad) if difference.path not in _OWN]
            assert not found, "\n".join(map(str, (request, *found)))


def test_settings_change_alike_over_grpc(traced: Traced) -> None:
    told: list[list[Any]] = []
    for ports in traced.servers:
        with grpc.insecure_channel(f"127.0.0.1:{ports.grpc}") as channel:
            stub: Any = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            told.append([_told(stub, model, settings) for model, settings in GRPC_CHANGES])
    assert told[0] == told[1]
    assert told[0][-1] == told[0][0]


GRPC_CHANGES: Sequence[tuple[str, dict[str, list[str]]]] = (
    ("", {}),
    ("", {"trace_rate": ["5"], "trace_level": ["TENSORS", "TIMESTAMPS"]}),
    ("fixed", {"trace_rate": ["6"], "log_frequency": ["3"]}),
    ("fixed", {"trace_rate": ["0"]}),
    ("", {"trace_count": ["0"]}),
    ("fixed", {}),
    ("fixed", {"trace_rate": [], "log_frequency": []}),
    ("", {"trace_level": ["NOPE"]}),
    ("", {"trace_rate": [], "trace_level": []}),
)


def _told(stub: Any, model: str, settings: dict[str, list[str]]) -> object:
    request = pb.TraceSettingRequest(model_name=model)
    for name, values in settings.items():
        request.settings[name].value.extend(values)
    try:
        answer = stub.TraceSetting(request, timeout=_TIMEOUT_S).settings
    except grpc.RpcError as error:
        told: Any = error
        return told.code().name, told.details()
    return {name: list(value.value) for name, value in answer.items() if name != "trace_file"}


def test_files_of_traces_read_alike(traced: Traced) -> None:
    """Records of what happens only once the answer is made may come in another order."""
    levels = b'{"trace_level":["TIMESTAMPS","TENSORS"]}'
    requests = (
        infer("fixed", as_json("INPUT0", "FP32", [4], [0.1, 1e20, 1234567, -0.0]), id="my-id"),
        infer("word", as_json("INPUT0", "BYTES", [1, 1], ["a word"])),
        infer("failing", as_json("INPUT0", "FP32", [1], [1])),
        infer("fixed", as_json("INPUT0", "FP32", [3], [1, 2, 3])),  # refused, and not in the file
        infer(
            "addsub", as_json("INPUT0", "INT32", [1, 16], [*range(16)]), as_json("INPUT1", "INT32", [1, 16], [1] * 16)
        ),
    )
    found = []
    for ports, folder in zip(traced.servers, (traced.triton, traced.naiad), strict=True):
        before = set(folder.iterdir())
        converse(ports.http, Request("POST", ALL, levels).encoded())
        for request in requests:
            converse(ports.http, request.encoded())
        found.append(_records_of(folder, before, 4))
        converse(ports.http, Request("POST", ALL, BACK).encoded())
    triton, naiad = found
    assert [record["model_name"] for trace in triton for record in trace if "model_name" in record] == [
        *("fixed", "word", "failing", "addsub"),
    ]
    assert [sorted(map(_comparable, trace)) for trace in naiad] == [sorted(map(_comparable, trace)) for trace in triton]


def _records_of(folder: Path, before: set[Path], count: int) -> list[list[dict[str, Any]]]:
    """Return the traces of so many new files, once they are there, by their number."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    while len(new := {file for file in folder.iterdir() if file.suffix != ".part"} - before) < count:
        assert time.monotonic() < deadline_s, f"{len(new)} of {count} files in {folder}"
        time.sleep(_POLL_S)
    return [json.loads(file.read_text()) for file in sorted(new, key=lambda file: int(file.suffix[1:]))]


def _comparable(record: dict[str, Any]) -> str:
    """Return a record without its number and time."""
    fields = {name: value for name, value in record.items() if name not in {"id", "timestamps"}}
    return json.dumps([fields, [stamp["name"] for stamp in record.get("timestamps", ())]])


def test_the_count_that_is_left_is_told_alike(traced: Traced) -> None:
    left = []
    for ports in traced.servers:
        converse(ports.http, Request("POST", ALL, b'{"trace_level":["TIMESTAMPS"],"trace_count":"2"}').encoded())
        told = []
        for _ in range(3):
            converse(ports.http, infer("fixed", as_json("INPUT0", "FP32", [4], [1] * 4)).encoded())
            told.append(document(converse(ports.http, Request("GET", ALL).encoded()).answers[0])["trace_count"])
        left.append(told)
        converse(ports.http, Request("POST", ALL, BACK).encoded())
    assert left == [["1", "0", "0"]] * 2
