# SPDX-License-Identifier: Apache-2.0
"""Clients that ask are told where the time of their request went, in one answer or in a stream; the others are not."""

import gzip
import json
import queue
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_models import bare, builtin
from tritonclient.grpc import InferInput, service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_DELAY_US = 20_000
_TIMES = {f"naiad-{part}-us" for part in ("request", "queue", "compute-input", "compute-infer", "compute-output")}
_SIZES = {"naiad-request-bytes", "naiad-response-bytes"}
_FIELDS = _TIMES | _SIZES
_DATATYPES = {"float32": "FP32", "int32": "INT32", "uint32": "UINT32"}
_DELAYS_MS = (20, 30)
_REPEAT = {"IN": [4, 5], "DELAY": list(_DELAYS_MS), "WAIT": 0}
_BODY = json.dumps({"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("timing")
    builtin(folder / "models", "slow", parameters={"kind": "delay", "delay_us": str(_DELAY_US)})
    bare(folder / "models", "repeat")
    with serving(folder / "models", log=folder / "log") as running:
        yield running


def over_http(
    server: Serving, body: bytes = _BODY, path: str = "slow/infer", **headers: str
) -> tuple[dict[str, int], bytes]:
    """Return the fields of an answer, and its body."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{server.url}/v2/models/{path}", body, fields)
    with urllib.request.urlopen(request, timeout=30) as answer:
        told = {name.lower(): int(value) for name, value in answer.headers.items() if name.lower().startswith("naiad-")}
        return told, answer.read()


def over_grpc(
    server: Serving, compression: grpc.Compression | None = None, **metadata: str
) -> tuple[dict[str, int], pb.ModelInferRequest, pb.ModelInferResponse]:
    """Return the trailing metadata of an answer, and the messages."""
    asked = pb.ModelInferRequest(model_name="slow", raw_input_contents=[bytes(12)])
    asked.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 3])
    asked.parameters["padding"].string_param = "x" * 1000  # grpcio sends what does not shrink as it is
    with grpc.insecure_channel(server.grpc) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        answer, call = stub.ModelInfer.with_call(
            asked,
            timeout=30,
            metadata=tuple((name.replace("_", "-"), value) for name, value in metadata.items()),
            compression=compression,
        )
    told = {name: int(value) for name, value in call.trailing_metadata() if name.startswith("naiad-")}
    return told, asked, answer


def in_a_stream(server: Serving, model: str, arrays: Mapping[str, np.ndarray], **metadata: str) -> list[Any]:
    """Return the responses to one request of a `ModelStreamInfer`, as tritonclient gives them, until the last."""
    answers: queue.Queue[tuple[Any, Exception | None]] = queue.Queue()
    inputs = []
    for name, array in arrays.items():
        inputs.append(InferInput(name, list(array.shape), _DATATYPES[array.dtype.name]))
        inputs[-1].set_data_from_numpy(array)
    told: list[Any] = []
    with tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        client.start_stream(
            lambda result, error: answers.put((result, error)),
            headers={name.replace("_", "-"): value for name, value in metadata.items()},
        )
        client.async_stream_infer(model, inputs, enable_empty_final_response=True)
        while not told or not told[-1].parameters["triton_final_response"].bool_param:
            result, error = answers.get(timeout=30)
            assert error is None
            told.append(result.get_response())
        client.stop_stream()
    return told


def timing_in(response: Any) -> dict[str, int]:
    """Return what the parameters of a response tell."""
    return {name: value.int64_param for name, value in response.parameters.items() if name.startswith("naiad-")}


def events_of(body: bytes) -> list[dict[str, Any]]:
    """Return the objects of server-sent events."""
    return [json.loads(event.removeprefix(b"data: ")) for event in body.split(b"\n\n") if event]


def without_timing(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event as one that did not ask would get it."""
    return {name: value for name, value in event.items() if not name.startswith("naiad-")}


def assert_plausible(told: Mapping[str, int]) -> None:
    assert set(told) == _FIELDS
    assert _DELAY_US <= told["naiad-compute-infer-us"] < 10_000_000
    parts = sum(told[name] for name in _TIMES - {"naiad-request-us"})
    assert parts - 4 <= told["naiad-request-us"] < 10_000_000  # each part was rounded down


def test_http_answers_with_header_fields(server: Serving) -> None:
    told, body = over_http(server, Naiad_Timing="true")
    assert_plausible(told)
    assert (told["naiad-request-bytes"], told["naiad-response-bytes"]) == (len(_BODY), len(body))


def test_sizes_of_compressed_bodies_are_those_that_were_sent(server: Serving) -> None:
    packed = gzip.compress(_BODY)
    told, body = over_http(server, packed, Naiad_Timing="1", Content_Encoding="gzip", Accept_Encoding="gzip")
    assert (told["naiad-request-bytes"], told["naiad-response-bytes"]) == (len(packed), len(body))
    assert json.loads(gzip.decompress(body))["outputs"][0]["data"] == [1, 2, 3]


def test_grpc_answers_with_trailing_metadata(server: Serving) -> None:
    told, asked, answer = over_grpc(server, naiad_timing="true")
    assert_plausible(told)
    assert told["naiad-request-bytes"] == asked.ByteSize()
    assert told["naiad-response-bytes"] == answer.ByteSize()


def test_a_compressed_message_counts_as_it_was_sent(server: Serving) -> None:
    told, asked, _ = over_grpc(server, grpc.Compression.Gzip, naiad_timing="true")
    assert 0 < told["naiad-request-bytes"] < asked.ByteSize()


def test_a_stream_tells_in_each_response(server: Serving) -> None:
    [response] = in_a_stream(server, "slow", {"INPUT0": np.ones((1, 3), np.float32)}, naiad_timing="true")
    told = timing_in(response)
    assert_plausible(told)
    asked = pb.ModelInferRequest(model_name="slow", raw_input_contents=[bytes(12)])
    asked.inputs.add(name="INPUT0", datatype="FP32", shape=[1, 3])
    asked.parameters["triton_enable_empty_final_response"].bool_param = True
    assert told["naiad-request-bytes"] == asked.ByteSize()
    for name in told:
        del response.parameters[name]
    assert told["naiad-response-bytes"] == response.ByteSize()


def test_each_response_of_a_decoupled_model_tells_how_long_it_took_until_then(server: Serving) -> None:
    arrays = {
        "IN": np.array(_REPEAT["IN"], np.int32),
        "DELAY": np.array(_DELAYS_MS, np.uint32),
        "WAIT": np.zeros(1, np.uint32),
    }
    first, second, last = [timing_in(one) for one in in_a_stream(server, "repeat", arrays, naiad_timing="1")]
    assert set(first) == set(second) == set(last) == _FIELDS
    least_us = [_DELAYS_MS[0] * 1000, sum(_DELAYS_MS) * 1000]
    assert first["naiad-compute-infer-us"] >= least_us[0]
    assert last["naiad-compute-infer-us"] >= second["naiad-compute-infer-us"] >= least_us[1]
    assert last["naiad-request-us"] >= second["naiad-request-us"] > first["naiad-request-us"]


def test_generate_answers_with_header_fields(server: Serving) -> None:
    body = b'{"INPUT0": [1, 2, 3]}'
    told, answer = over_http(server, body, "slow/generate", Naiad_Timing="true")
    assert_plausible(told)
    assert (told["naiad-request-bytes"], told["naiad-response-bytes"]) == (len(body), len(answer))
    assert without_timing(json.loads(answer)) == json.loads(answer)


def test_generate_from_a_decoupled_model_counts_until_it_is_clear_that_the_response_is_the_only_one(
    server: Serving,
) -> None:
    body = json.dumps({"IN": 4, "DELAY": _DELAYS_MS[0], "WAIT": 0}).encode()
    told, answer = over_http(server, body, "repeat/generate", Naiad_Timing="true")
    assert set(told) == _FIELDS
    assert told["naiad-compute-infer-us"] >= _DELAYS_MS[0] * 1000
    assert json.loads(answer)["OUT"] == 4


def test_generate_stream_tells_in_each_event(server: Serving) -> None:
    body = json.dumps(_REPEAT).encode()
    told, answer = over_http(server, body, "repeat/generate_stream", Naiad_Timing="true")
    assert told == {}
    first, second = events_of(answer)
    assert _DELAYS_MS[0] * 1000 <= first["naiad-compute-infer-us"] < second["naiad-compute-infer-us"]
    assert second["naiad-compute-infer-us"] >= sum(_DELAYS_MS) * 1000
    _, plain = over_http(server, body, "repeat/generate_stream")
    assert [without_timing(first), without_timing(second)] == events_of(plain)
    sizes = [len(event.removeprefix(b"data: ")) for event in plain.split(b"\n\n") if event]
    assert [event["naiad-response-bytes"] for event in (first, second)] == sizes
    assert {event["naiad-request-bytes"] for event in (first, second)} == {len(body)}


@pytest.mark.parametrize("value", [None, "false"])
def test_who_does_not_ask_is_not_told(server: Serving, value: str | None) -> None:
    asking = {} if value is None else {"naiad_timing": value}
    assert over_http(server, _BODY, **asking)[0] == {}
    assert over_grpc(server, **asking)[0] == {}
    [response] = in_a_stream(server, "slow", {"INPUT0": np.ones((1, 3), np.float32)}, **asking)
    assert set(response.parameters) == {"triton_final_response"}
    assert over_http(server, b'{"INPUT0": [1, 2, 3]}', "slow/generate", **asking)[0] == {}
    told, answer = over_http(server, b'{"INPUT0": [1, 2, 3]}', "slow/generate_stream", **asking)
    assert (told, set(events_of(answer)[0])) == ({}, {"OUTPUT0", "model_name", "model_version"})


@pytest.mark.parametrize(
    ("path", "body"),
    [("slow/infer", b"{"), ("slow/generate", b"{"), ("repeat/generate", json.dumps(_REPEAT | {"WAIT": []}).encode())],
)
def test_a_failure_has_no_times(server: Serving, path: str, body: bytes) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        over_http(server, body, path, Naiad_Timing="true")
    with caught.value as answer:
        assert not [name for name in answer.headers if name.lower().startswith("naiad-")]
