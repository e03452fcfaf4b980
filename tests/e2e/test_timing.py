# SPDX-License-Identifier: Apache-2.0
"""Clients that ask are told where the time of their request went, over both protocols; the others are not."""

import gzip
import json
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

import grpc
import pytest
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_models import builtin
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_DELAY_US = 20_000
_TIMES = {f"naiad-{part}-us" for part in ("request", "queue", "compute-input", "compute-infer", "compute-output")}
_FIELDS = _TIMES | {"naiad-request-bytes", "naiad-response-bytes"}
_BODY = json.dumps({"inputs": [{"name": "INPUT0", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    folder = tmp_path_factory.mktemp("timing")
    builtin(folder / "models", "slow", parameters={"kind": "delay", "delay_us": str(_DELAY_US)})
    with serving(folder / "models", log=folder / "log") as running:
        yield running


def over_http(server: Serving, body: bytes = _BODY, **headers: str) -> tuple[dict[str, int], bytes]:
    """Return the fields of an answer, and its body."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(f"{server.url}/v2/models/slow/infer", body, fields)
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


@pytest.mark.parametrize("value", [None, "false"])
def test_who_does_not_ask_is_not_told(server: Serving, value: str | None) -> None:
    asking = {} if value is None else {"naiad_timing": value}
    assert over_http(server, _BODY, **asking)[0] == {}
    assert over_grpc(server, **asking)[0] == {}


def test_a_failure_has_no_times(server: Serving) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        over_http(server, b"{", Naiad_Timing="true")
    with caught.value as answer:
        assert not [name for name in answer.headers if name.lower().startswith("naiad-")]
