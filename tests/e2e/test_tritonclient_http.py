# SPDX-License-Identifier: Apache-2.0
"""What `tritonclient.http` can ask of a server, asked with both of its clients."""

import json
import urllib.request
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tritonclient.http
from tests.e2e.serving import Serving
from tests.e2e.triton_clients import at_once, output, tensor
from tests.e2e.triton_models import DATATYPES
from tritonclient.http import InferInput

from naiad import __version__

_EXTRAS: dict[str, Any] = {"headers": {"X-Asked-By": "a test"}, "query_params": {"n": 1, "list": ["a b", "ü&="]}}
"""What every call takes and this server has no use for."""

_ROWS: dict[str, np.ndarray] = {
    "BOOL": np.array([[True, False, True], [False, False, True]]),
    "FP16": np.array([[1.5, -2, 65504], [0, 1e-7, -0.0]], np.float16),
    "BF16": np.array([[1.5, -2, 3e38], [0, 1e-30, -0.0]], ml_dtypes.bfloat16),
    "FP32": np.array([[0.1, -2, 3.4e38], [0, 1e-45, 16777217]], np.float32),
    "FP64": np.array([[0.1, -2, 1.7e308], [0, 5e-324, 2**53 + 1]], np.float64),
    "BYTES": np.array([[b"a", b"", "東京".encode()], [b'"', b"\n", b"x" * 1000]], object),
}
_INTEGERS: dict[str, np.ndarray] = {
    name: np.array([[np.iinfo(dtype).min, 1, np.iinfo(dtype).max], [0, 2, 3]], dtype)
    for name, dtype in (
        *(("UINT8", np.uint8), ("UINT16", np.uint16), ("UINT32", np.uint32), ("UINT64", np.uint64)),
        *(("INT8", np.int8), ("INT16", np.int16), ("INT32", np.int32), ("INT64", np.int64)),
    )
}


def rows(datatype: str) -> np.ndarray:
    """Return two rows of three with the ends of a datatype's range."""
    return (_ROWS | _INTEGERS)[datatype]


def pair() -> list[InferInput]:
    """Return the inputs of `add_sub`."""
    return [
        tensor("INPUT0", np.array([[1, 2, 3, 4]], np.float32)),
        tensor("INPUT1", np.array([[10, 20, 30, 40]], np.float32)),
    ]


def test_health(client: Any) -> None:
    assert client.is_server_live(**_EXTRAS) is True
    assert client.is_server_ready(**_EXTRAS) is True
    assert client.is_model_ready("versions", **_EXTRAS) is True
    assert client.is_model_ready("versions", "2") is True
    assert client.is_model_ready("versions", "9") is False
    assert client.is_model_ready("missing") is False


def test_server_metadata(client: Any) -> None:
    assert client.get_server_metadata(**_EXTRAS) == {
        "name": "naiad",
        "version": __version__,
        "extensions": [
            "classification",
            "model_repository",
            "schedule_policy",
            "model_configuration",
            "binary_tensor_data",
            "parameters",
            "statistics",
            "trace",
            "logging",
        ],
    }


def test_settings_of_the_log_are_told_and_changed(client: Any) -> None:
    settings = client.get_log_settings()
    assert (settings["log_warning"], settings["log_format"]) == (True, "default")
    assert client.update_log_settings({"log_warning": False, "log_verbose_level": 2})["log_verbose_level"] == 2
    assert client.update_log_settings({"log_warning": True, "log_verbose_level": 0}) == settings


def test_settings_of_traces(client: Any) -> None:
    settings = client.get_trace_settings()
    assert (settings["trace_level"], settings["trace_rate"]) == (["OFF"], "1000")
    assert client.update_trace_settings("add_sub", {"trace_rate": "5"})["trace_rate"] == "5"
    assert client.get_trace_settings() == settings
    assert client.update_trace_settings("add_sub", {"trace_rate": None}) == settings


def test_model_metadata(client: Any) -> None:
    assert client.get_model_metadata("add_sub", **_EXTRAS) == {
        "name": "add_sub",
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in ("INPUT0", "INPUT1")],
        "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, 4]} for name in ("OUTPUT0", "OUTPUT1")],
    }
    assert client.get_model_metadata("versions")["versions"] == ["1", "2"]
    assert client.get_model_metadata("versions", "1")["versions"] == ["1"]


def test_model_config(client: Any) -> None:
    config = client.get_model_config("add_sub", **_EXTRAS)
    assert (config["name"], config["max_batch_size"], config["platform"]) == ("add_sub", 4, "onnxruntime_onnx")
    assert [(one["name"], one["dims"]) for one in config["input"]] == [("INPUT0", [4]), ("INPUT1", [4])]
    specific = client.get_model_config("versions", "1")["version_policy"]
    assert specific == {"specific": {"versions": [1, 2]}}


def test_repository_index(client: Any) -> None:
    index = client.get_model_repository_index(**_EXTRAS)
    assert {row["state"] for row in index} == {"READY"}
    assert [row["version"] for row in index if row["name"] == "versions"] == ["1", "2"]
    assert {f"identity_{datatype.lower()}" for datatype in DATATYPES} < {row["name"] for row in index}


def test_statistics(client: Any) -> None:
    def counted() -> dict[str, Any]:
        (row,) = client.get_inference_statistics("counted", **_EXTRAS)["model_stats"]
        return dict(row)

    before = counted()
    client.infer("counted", [tensor("INPUT0", np.zeros((2, 3), np.float32))])
    client.infer("counted", [tensor("INPUT0", np.zeros((1, 3), np.float32))])
    after = counted()
    assert (after["name"], after["version"]) == ("counted", "1")
    assert after["inference_count"] - before["inference_count"] == 3
    assert after["execution_count"] - before["execution_count"] == 2
    for key in ("success", "queue", "compute_input", "compute_infer", "compute_output"):
        assert after["inference_stats"][key]["count"] - before["inference_stats"][key]["count"] == 2, key
        assert after["inference_stats"][key]["ns"] >= before["inference_stats"][key]["ns"]
    assert after["inference_stats"]["fail"]["count"] == 0
    assert after["last_inference"] > 1.7e12  # milliseconds of this century
    assert [row["batch_size"] for row in after["batch_stats"]] == [1, 2]
    assert len(client.get_inference_statistics("versions", "2")["model_stats"]) == 1
    everything = {(row["name"], row["version"]) for row in client.get_inference_statistics()["model_stats"]}
    assert {("counted", "1"), ("versions", "1"), ("versions", "2"), ("add_sub", "1")} <= everything


@pytest.mark.parametrize("datatype", DATATYPES)
def test_every_datatype_travels_in_binary(client: Any, datatype: str) -> None:
    sent = rows(datatype)
    for outputs in (None, [output("OUTPUT0")]):
        answer = client.infer(f"identity_{datatype.lower()}", [tensor("INPUT0", sent, datatype)], outputs=outputs)
        assert answer.get_output("OUTPUT0")["datatype"] == datatype
        assert "binary_data_size" in answer.get_output("OUTPUT0")["parameters"]
        got = answer.as_numpy("OUTPUT0")
        assert got.shape == (2, 3)
        assert got.astype(sent.dtype).tolist() == sent.tolist()


@pytest.mark.parametrize("datatype", [one for one in DATATYPES if one not in ("FP16", "BF16")])
def test_every_datatype_that_json_can_say_travels_in_json(client: Any, datatype: str) -> None:
    sent = rows(datatype)
    answer = client.infer(
        f"identity_{datatype.lower()}",
        [tensor("INPUT0", sent, datatype, binary=False)],
        outputs=[output("OUTPUT0", binary_data=False)],
    )
    row = answer.get_output("OUTPUT0")
    assert (row["datatype"], row["shape"], "parameters" in row) == (datatype, [2, 3], False)
    expected = [one.decode() for one in sent.ravel()] if datatype == "BYTES" else sent.ravel().tolist()
    assert row["data"] == expected
    if datatype != "BYTES":
        assert answer.as_numpy("OUTPUT0").tolist() == sent.tolist()


def test_one_input_in_json_and_one_in_binary(client: Any) -> None:
    inputs = [tensor("INPUT0", np.ones((1, 4), np.float32), binary=False), pair()[1]]
    outputs = [output("OUTPUT1", binary_data=False), output("OUTPUT0")]
    answer = client.infer("add_sub", inputs, outputs=outputs)
    assert answer.as_numpy("OUTPUT0").tolist() == [[11, 21, 31, 41]]
    assert answer.as_numpy("OUTPUT1").tolist() == [[-9, -19, -29, -39]]
    assert [row["name"] for row in answer.get_response()["outputs"]] == ["OUTPUT1", "OUTPUT0"]


def test_only_the_outputs_asked_for_come(client: Any) -> None:
    answer = client.infer("add_sub", pair(), outputs=[output("OUTPUT1")])
    assert [row["name"] for row in answer.get_response()["outputs"]] == ["OUTPUT1"]
    assert answer.as_numpy("OUTPUT0") is None


def test_a_request_may_say_all_that_the_client_knows(client: Any) -> None:
    answer = client.infer(
        "add_sub",
        pair(),
        model_version="1",
        request_id="my request",
        sequence_id=7,
        sequence_start=True,
        sequence_end=True,
        priority=2,
        timeout=5_000_000,
        parameters={"text": "ü", "number": -3, "truth": True, "fraction": 0.5},
        **_EXTRAS,
    )
    response = answer.get_response()
    assert (response["id"], response["model_name"], response["model_version"]) == ("my request", "add_sub", "1")


def test_parameters_reach_the_model_and_come_back(client: Any) -> None:
    parameters = {"text": "ü", "number": -3, "truth": True, "fraction": 0.5}
    answer = client.infer("parameters", [], parameters=parameters, priority=2)
    assert answer.get_response()["parameters"] == parameters
    assert json.loads(answer.as_numpy("OUTPUT0")[0]) == parameters
    assert "parameters" not in client.infer("parameters", []).get_response()


def test_an_answer_without_request_id_has_none(client: Any) -> None:
    assert "id" not in client.infer("add_sub", pair()).get_response()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("response", [None, "gzip", "deflate"])
@pytest.mark.parametrize("request_", [None, "gzip", "deflate"])
def test_bodies_are_compressed_both_ways(client: Any, request_: str | None, response: str | None, binary: bool) -> None:
    sent = np.arange(24, dtype=np.float32).reshape(8, 3)
    answer = client.infer(
        "identity_fp32",
        [tensor("INPUT0", sent, binary=binary)],
        outputs=[output("OUTPUT0", binary_data=binary)],
        request_compression_algorithm=request_,
        response_compression_algorithm=response,
    )
    assert answer.as_numpy("OUTPUT0").tolist() == sent.tolist()


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_the_answer_really_is_compressed(coding: str, triton_server: Serving) -> None:
    body, header_length = tritonclient.http.InferenceServerClient.generate_request_body(
        [tensor("INPUT0", np.zeros((8, 3), np.float32))]
    )
    request = urllib.request.Request(
        f"{triton_server.url}/v2/models/identity_fp32/infer",
        body,
        {"Inference-Header-Content-Length": str(header_length), "Accept-Encoding": coding},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Encoding"] == coding
        json_length = int(answer.headers["Inference-Header-Content-Length"])
        raw = answer.read()
    result = tritonclient.http.InferenceServerClient.parse_response_body(
        raw, header_length=json_length, content_encoding=coding
    )
    assert result.as_numpy("OUTPUT0").tolist() == [[0, 0, 0]] * 8


def test_a_body_made_by_the_client_and_sent_by_another(triton_server: Serving) -> None:
    body, header_length = tritonclient.http.InferenceServerClient.generate_request_body(
        [tensor("INPUT0", rows("FP32"), binary=False)], outputs=[output("OUTPUT0", binary_data=False)]
    )
    assert header_length is None
    request = urllib.request.Request(f"{triton_server.url}/v2/models/identity_fp32/infer", body)
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Content-Type"] == "application/json"
        document = json.loads(answer.read())
    assert document["outputs"][0]["data"] == rows("FP32").ravel().tolist()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_classification(client: Any, binary: bool) -> None:
    sent = np.array([[0.5, 3.1, -1, 2, 0], [1, 2, 3, 4, 5]], np.float32)
    answer = client.infer(
        "labelled", [tensor("INPUT0", sent)], outputs=[output("OUTPUT0", class_count=2, binary_data=binary)]
    )
    row = answer.get_output("OUTPUT0")
    assert (row["datatype"], row["shape"]) == ("BYTES", [2, 2])
    expected = [["3.100000:1:bee", "2.000000:3:dog"], ["5.000000:4:eel", "4.000000:3:dog"]]
    if binary:
        assert [[one.decode() for one in line] for line in answer.as_numpy("OUTPUT0")] == expected
    else:
        assert row["data"] == expected[0] + expected[1]


def test_classification_without_labels(client: Any) -> None:
    sent = np.array([[3, -1, 7]], np.int32)
    answer = client.infer(
        "identity_int32", [tensor("INPUT0", sent, "INT32")], outputs=[output("OUTPUT0", class_count=9)]
    )
    assert answer.as_numpy("OUTPUT0").tolist() == [[b"7:2", b"3:0", b"-1:1"]]


def test_versions_are_chosen_by_number(client: Any) -> None:
    sent = np.array([[1, 5]], np.float32)
    for asked, answered, factor in (("1", "1", 1), ("2", "2", 2), ("", "2", 2)):
        answer = client.infer("versions", [tensor("INPUT0", sent)], model_version=asked)
        assert answer.get_response()["model_version"] == answered
        assert answer.as_numpy("OUTPUT0").tolist() == [[factor, 5 * factor]]


def test_concurrent_requests_share_a_batch(kind: str, client: Any, triton_server: Serving) -> None:
    """The model waits twenty seconds for four rows: they come together only if the requests are really concurrent."""

    def executions() -> dict[str, int]:
        (row,) = client.get_inference_statistics("gathering")["model_stats"]
        return {key: int(row[key]) for key in ("inference_count", "execution_count")}

    before = executions()
    answers = at_once(triton_server.http, kind, 4, "gathering")
    for index, answer in enumerate(answers):
        assert isinstance(answer, tritonclient.http.InferResult), answer
        assert answer.as_numpy("OUTPUT0").tolist() == [[index, index, index]]
    after = executions()
    assert after["inference_count"] - before["inference_count"] == 4
    assert after["execution_count"] - before["execution_count"] == 1


def test_one_connection_serves_many_requests(client: Any) -> None:
    for number in range(50):
        answer = client.infer("add_sub", [tensor("INPUT0", np.full((1, 4), number, np.float32)), pair()[1]])
        assert answer.as_numpy("OUTPUT0").tolist() == [[number + 10, number + 20, number + 30, number + 40]]


# aiohttp's advice to tritonclient's asyncio client, whose body is one piece of bytes.
@pytest.mark.filterwarnings("ignore:Sending a large body directly with raw bytes:ResourceWarning")
@pytest.mark.parametrize(
    ("count", "binary", "coding"),
    [(3 * 640 * 640, True, None), (400_000, True, "gzip"), (200_000, False, None), (200_000, False, "gzip")],
    ids=["binary", "binary-gzip", "json", "json-gzip"],
)
def test_large_tensors_travel_whole(client: Any, count: int, binary: bool, coding: str | None) -> None:
    sent = np.random.default_rng(3).integers(0, 255, (1, count)).astype(np.float32)
    answer = client.infer(
        "wide",
        [tensor("INPUT0", sent, binary=binary)],
        outputs=[output("OUTPUT0", binary_data=binary)],
        request_compression_algorithm=coding,
        response_compression_algorithm=coding,
    )
    assert np.array_equal(answer.as_numpy("OUTPUT0"), sent)
