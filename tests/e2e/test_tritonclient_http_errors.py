# SPDX-License-Identifier: Apache-2.0
"""What `tritonclient.http` is told when something is wrong: Triton's statuses and texts, with both of its clients."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.serving import Serving, started, wait_live, wait_until
from tests.e2e.triton_clients import at_once, connected, output, tensor
from tests.e2e.triton_models import FAILURE, builtin
from tritonclient.http import InferenceServerException, InferResult

_NO_ID = "[request id: <id_unknown>] "
_NO_SHARED_MEMORY = "Client shared memory is disabled. Start the server with '--allow-client-shm=true' to enable."
_NO_CONTROL = "explicit model load / unload is not allowed if polling is enabled"


def refused(call: Callable[..., Any], *args: Any, **options: Any) -> tuple[str, str]:
    """Return the status and the text of the error that a call must give."""
    with pytest.raises(InferenceServerException) as caught:
        call(*args, **options)
    return str(caught.value.status()), str(caught.value.message())


def row(*values: float) -> np.ndarray:
    """Return one row of FP32."""
    return np.array([values], np.float32)


def test_unknown_models_and_versions(client: Any) -> None:
    inputs = [tensor("INPUT0", row(1, 2, 3))]
    no_model = ("404", "Request for unknown model: 'missing' is not found")
    no_version = ("404", "Request for unknown model: 'versions' version 9 is not found")
    assert refused(client.infer, "missing", inputs) == no_model
    assert refused(client.infer, "versions", inputs, model_version="9") == no_version
    assert refused(client.get_model_metadata, "missing") == no_model
    assert refused(client.get_model_metadata, "versions", "9") == no_version
    assert refused(client.get_model_config, "missing") == no_model
    assert refused(client.get_model_config, "versions", "9") == no_version
    assert refused(client.get_inference_statistics, "missing") == (
        "400",
        "requested model 'missing' is not available",
    )
    assert refused(client.get_inference_statistics, "versions", "9") == (
        "400",
        "requested model version is not available for model 'versions'",
    )


def test_a_version_outside_the_policy_is_not_served(client: Any) -> None:
    assert refused(client.infer, "versions", [tensor("INPUT0", row(1, 2))], model_version="3") == (
        "404",
        "Request for unknown model: 'versions' version 3 is not found",
    )


def test_a_model_called_v2_is_a_mistaken_url(client: Any) -> None:
    status, text = refused(client.get_model_config, "v2")
    assert status == "404"
    assert "http://host:port/<model>" in text
    assert "add_sub" in text


def test_wrong_inputs(client: Any) -> None:
    one, other = tensor("INPUT0", row(1, 2, 3, 4)), tensor("INPUT1", row(1, 2, 3, 4))
    assert refused(client.infer, "add_sub", [one], request_id="r1") == (
        "400",
        (
            "[request id: r1] expected 2 inputs but got 1 inputs for model 'add_sub'. Got input(s) ['INPUT0'], but "
            "missing required input(s) ['INPUT1']. Please provide all required input(s)."
        ),
    )
    assert refused(client.infer, "add_sub", [one, tensor("OTHER", row(1, 2, 3, 4))]) == (
        "400",
        "unexpected inference input 'OTHER' for model 'add_sub'",
    )
    assert refused(client.infer, "add_sub", [one, one]) == (
        "400",
        f"{_NO_ID}input 'INPUT0' already exists in request",
    )
    assert refused(client.infer, "add_sub", [one, tensor("INPUT1", np.zeros((2, 4), np.float32))])[1].endswith(
        "batch size does not match other inputs for 'add_sub'"
    )
    assert refused(client.infer, "add_sub", [one, other], outputs=[output("OTHER")]) == (
        "400",
        "unexpected inference output 'OTHER' for model 'add_sub'",
    )


def test_wrong_datatype_shape_and_batch(client: Any) -> None:
    assert refused(client.infer, "identity_fp32", [tensor("INPUT0", np.zeros((1, 3), np.int32), "INT32")]) == (
        "400",
        f"{_NO_ID}inference input 'INPUT0' data-type is 'INT32', but model 'identity_fp32' expects 'FP32'",
    )
    status, text = refused(client.infer, "identity_fp32", [tensor("INPUT0", row(1, 2, 3, 4))])
    assert status == "400"
    assert text.startswith(
        f"{_NO_ID}unexpected shape for input 'INPUT0' for model 'identity_fp32'. Expected [-1,3], got [1,4]. NOTE: "
    )
    assert refused(client.infer, "identity_fp32", [tensor("INPUT0", np.zeros((9, 3), np.float32))]) == (
        "400",
        f"{_NO_ID}inference request batch-size must be <= 8 for 'identity_fp32'",
    )


def test_what_json_and_classification_cannot_say(client: Any) -> None:
    half = [tensor("INPUT0", np.zeros((1, 3), np.float16), "FP16")]
    assert refused(client.infer, "identity_fp16", half, outputs=[output("OUTPUT0", binary_data=False)]) == (
        "400",
        "sending FP16 data via JSON is not supported. Please use the binary data format for output",
    )
    text = [tensor("INPUT0", np.array([[b"a", b"b", b"c"]], object), "BYTES")]
    assert refused(client.infer, "identity_bytes", text, outputs=[output("OUTPUT0", class_count=1)]) == (
        "400",
        "class result not available for output due to unsupported type 'BYTES'",
    )


def test_a_model_that_fails_says_why(client: Any) -> None:
    status, text = refused(client.infer, "failing", [tensor("INPUT0", row(1, 2, 3))])
    assert status == "500"
    assert FAILURE in text


def test_a_full_queue_refuses(kind: str, triton_server: Serving) -> None:
    answers = at_once(triton_server.http, kind, 4, "full")
    served = [answer for answer in answers if isinstance(answer, InferResult)]
    errors = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(served) == 2  # one computing, one waiting
    assert {(error.status(), error.message()) for error in errors} == {("503", f"{_NO_ID}Exceeds maximum queue size")}


def test_a_request_waits_no_longer_than_its_timeout(kind: str, triton_server: Serving) -> None:
    answers = at_once(triton_server.http, kind, 2, "impatient", timeout=50_000)
    served = [answer for answer in answers if isinstance(answer, InferResult)]
    errors = [answer for answer in answers if isinstance(answer, InferenceServerException)]
    assert len(served) == 1
    assert [(error.status(), error.message()) for error in errors] == [("503", "Request timeout expired")]


def test_loading_and_unloading_are_off_in_mode_none(client: Any) -> None:
    assert refused(client.load_model, "add_sub") == ("503", _NO_CONTROL)
    assert refused(client.load_model, "missing", config="{}") == ("503", _NO_CONTROL)
    assert refused(client.unload_model, "add_sub") == ("503", _NO_CONTROL)
    assert client.is_model_ready("add_sub") is True


def test_wrong_settings_of_the_log_are_refused(client: Any) -> None:
    text = "log file location can not be updated through network protocol"
    assert refused(lambda: client.update_log_settings({"log_file": "x"})) == ("501", text)
    assert refused(lambda: client.update_log_settings({"log_info": 1}))[0] == "500"


def test_wrong_settings_of_traces_are_refused(client: Any) -> None:
    text = "trace file location can not be updated through network protocol"
    assert refused(lambda: client.update_trace_settings(settings={"trace_file": "x"})) == ("501", text)
    assert refused(lambda: client.get_trace_settings("missing")) == ("400", "Request for unknown model : missing")
    assert refused(lambda: client.update_trace_settings(settings={"trace_rate": 1}))[0] == "500"


def test_features_of_later_work_are_refused_by_name(client: Any) -> None:
    handle = bytes(64)
    for call in (
        lambda: client.register_system_shared_memory("region", "/key", 16),
        client.unregister_system_shared_memory,
        lambda: client.register_cuda_shared_memory("region", handle, 0, 16),
        client.unregister_cuda_shared_memory,
    ):
        assert refused(call) == ("501", _NO_SHARED_MEMORY)


def test_a_tensor_in_shared_memory_is_refused(client: Any) -> None:
    asked = tensor("INPUT0", row(1, 2, 3))
    asked.set_shared_memory("region", 12)
    assert refused(client.infer, "identity_fp32", [asked]) == (
        "404",
        "Unable to find shared memory region: 'region'",
    )
    assert client.get_system_shared_memory_status() == []


def test_a_model_that_does_not_load_says_why_and_stops_no_other(kind: str, repository: Path, tmp_path: Path) -> None:
    builtin(repository, "good")
    builtin(repository, "bad", parameters={"kind": "fail_load", "message": "the weights are gone"})
    with started(repository, log=tmp_path / "log", flags=("--exit-on-error=false",)) as server:
        wait_live(server)
        with connected(kind, server.http) as client:
            assert client.is_server_live() is True
            assert client.is_server_ready() is False
            wait_until(server, "serving the good model", lambda: bool(client.is_model_ready("good")))
            assert (client.is_model_ready("good"), client.is_model_ready("bad")) == (True, False)
            answer = client.infer("good", [tensor("INPUT0", row(1, 2, 3))])
            assert answer.as_numpy("OUTPUT0").tolist() == [[1, 2, 3]]
            index = {one["name"]: one for one in client.get_model_repository_index()}
            assert (index["bad"]["state"], index["good"]["state"]) == ("UNAVAILABLE", "READY")
            assert index["bad"]["reason"].startswith("Internal: ")
            assert "the weights are gone" in index["bad"]["reason"]
            row_of_three = [tensor("INPUT0", row(1, 2, 3))]
            assert refused(client.infer, "bad", row_of_three) == (
                "404",
                "Request for unknown model: 'bad' has no available versions",
            )
            assert refused(client.infer, "bad", row_of_three, model_version="1") == (
                "503",
                "Request for unknown model: 'bad' version 1 is not at ready state",
            )
