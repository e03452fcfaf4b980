# SPDX-License-Identifier: Apache-2.0
"""System shared memory with tritonclient's own helper and all of its clients."""

import base64
import queue
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.grpc.aio
import tritonclient.http
import tritonclient.http.aio
import tritonclient.utils.shared_memory as shm
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_clients import KINDS, BlockingAioClient
from tests.e2e.triton_models import FAILURE, write_repository
from tritonclient.utils import InferenceServerException, serialize_byte_tensor

_NUMBERS = np.arange(12, dtype=np.float32).reshape(4, 3)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server that takes tensors in shared memory."""
    folder = tmp_path_factory.mktemp("shared")
    write_repository(folder / "models")
    with serving(folder / "models", log=folder / "log", flags=("--allow-client-shm=true",)) as running:
        yield running


@pytest.fixture(params=["http", "grpc"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return tritonclient.http if request.param == "http" else tritonclient.grpc


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, protocol: Any, server: Serving) -> Iterator[Any]:
    """Any of tritonclient's four clients."""
    address = server.http if protocol is tritonclient.http else server.grpc
    with (
        BlockingAioClient(address, tritonclient.http.aio if protocol is tritonclient.http else tritonclient.grpc.aio)
        if request.param == "aio"
        else protocol.InferenceServerClient(address)
    ) as made:
        yield made
        made.unregister_system_shared_memory()


@contextmanager
def memory(size_bytes: int) -> Iterator[tuple[Any, str]]:
    """Yield a handle of a new shared memory object, and its key."""
    key = f"naiad-test-{uuid.uuid4().hex}"
    handle = shm.create_shared_memory_region("test", key, size_bytes)
    try:
        yield handle, "/" + key
    finally:
        shm.destroy_shared_memory_region(handle)


def names(client: Any) -> list[str]:
    status = client.get_system_shared_memory_status()
    return sorted(one["name"] for one in status) if isinstance(status, list) else sorted(status.regions)


def refusal(call: Any, *arguments: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(InferenceServerException) as caught:
        call(*arguments, **options)
    return str(caught.value.status()), str(caught.value.message())


def maps(server: Serving) -> str:
    """Return what the server has mapped."""
    return Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")


def in_region(protocol: Any, shape: list[int], place: tuple[Any, ...], datatype: str = "FP32") -> Any:
    asked = protocol.InferInput("INPUT0", shape, datatype)
    asked.set_shared_memory(*place)
    return asked


def into_region(protocol: Any, place: tuple[Any, ...]) -> Any:
    wanted = protocol.InferRequestedOutput("OUTPUT0")
    wanted.set_shared_memory(*place)
    return wanted


def test_inputs_come_from_regions_and_outputs_go_to_them(client: Any, protocol: Any) -> None:
    with memory(4096 + 256) as (handle, key):
        shm.set_shared_memory_region(handle, [_NUMBERS], offset=4096)
        client.register_system_shared_memory("in", key, 48, offset=4096)
        client.register_system_shared_memory("out", key, 256)
        asked = [in_region(protocol, [2, 3], ("in", 24, 24))]
        client.infer("identity_fp32", asked, outputs=[into_region(protocol, ("out", 100, 64))])
        assert shm.get_contents_as_numpy(handle, np.float32, [2, 3], offset=64).tolist() == _NUMBERS[2:].tolist()
        assert client.infer("identity_fp32", asked).as_numpy("OUTPUT0").tolist() == _NUMBERS[2:].tolist()


def test_both_in_the_same_place_and_with_a_runtime(client: Any, protocol: Any) -> None:
    with memory(64) as (handle, key):
        client.register_system_shared_memory("both", key, 64)
        shm.set_shared_memory_region(handle, [np.full((2, 4), 3, np.float32)])
        inputs = [protocol.InferInput(name, [1, 4], "FP32") for name in ("INPUT0", "INPUT1")]
        inputs[0].set_shared_memory("both", 16)
        inputs[1].set_shared_memory("both", 16, 16)
        client.infer("add_sub", inputs, outputs=[into_region(protocol, ("both", 16, 0))])
        assert shm.get_contents_as_numpy(handle, np.float32, [2, 4]).tolist() == [[6] * 4, [3] * 4]


def test_strings(client: Any, protocol: Any) -> None:
    texts = np.array([[b"a", b"", b"\xff\0"]], object)
    coded = serialize_byte_tensor(texts)
    with memory(64) as (handle, key):
        client.register_system_shared_memory("texts", key, 64)
        shm.set_shared_memory_region(handle, [coded])
        size = len(coded.item())
        asked = [in_region(protocol, [1, 3], ("texts", size), "BYTES")]
        client.infer("identity_bytes", asked, outputs=[into_region(protocol, ("texts", 32, 32))])
        assert shm.get_contents_as_numpy(handle, np.object_, [1, 3], offset=32).tolist() == texts.tolist()


def test_the_status_tells_what_is_registered(client: Any) -> None:
    assert names(client) == []
    with memory(64) as (_, key):
        client.register_system_shared_memory("a", key, 16, offset=8)
        client.register_system_shared_memory("b", key, 64)
        assert names(client) == ["a", "b"]
        status = client.get_system_shared_memory_status("a")
        row = status[0] if isinstance(status, list) else status.regions["a"]
        told = row if isinstance(row, dict) else {field.name: value for field, value in row.ListFields()}
        assert told == {"name": "a", "key": key, "offset": 8, "byte_size": 16}
        client.unregister_system_shared_memory("a")
        assert names(client) == ["b"]
        client.unregister_system_shared_memory("a")
        client.unregister_system_shared_memory()
        assert names(client) == []


def test_what_is_wrong_is_told_in_tritons_words(client: Any, protocol: Any) -> None:
    def status(http: str, grpc: str) -> str:
        return http if protocol is tritonclient.http else f"StatusCode.{grpc}"

    def infer(place: tuple[Any, ...], *outputs: tuple[Any, ...]) -> tuple[str, str]:
        wanted = [into_region(protocol, one) for one in outputs] or None
        return refusal(client.infer, "identity_fp32", [in_region(protocol, [1, 3], place)], outputs=wanted)

    missing, invalid = status("404", "NOT_FOUND"), status("400", "INVALID_ARGUMENT")
    internal = status("500", "INTERNAL")
    assert refusal(client.register_system_shared_memory, "r", "/nobody", 16) == (
        internal,
        "Unable to open shared memory region: '/nobody'",
    )
    assert refusal(client.get_system_shared_memory_status, "r") == (
        missing,
        "Unable to find system shared memory region: 'r'",
    )
    with memory(64) as (handle, key):
        before = bytes(shm.get_contents_as_numpy(handle, np.uint8, [64]))
        assert refusal(client.register_system_shared_memory, "r", key, 64, 4096) == (
            invalid,
            "failed to register shared memory region 'r': invalid args",
        )
        client.register_system_shared_memory("r", key, 32)
        assert refusal(client.register_system_shared_memory, "r", key, 32) == (
            status("400", "ALREADY_EXISTS"),
            "shared memory region 'r' already in manager",
        )
        assert infer(("gone", 12)) == (missing, "Unable to find shared memory region: 'gone'")
        assert infer(("r", 12), ("gone", 12)) == (missing, "Unable to find shared memory region: 'gone'")
        assert infer(("r", 12, 32)) == (invalid, "Invalid offset for shared memory region: 'r'")
        assert infer(("r", 12, 24)) == (invalid, "Invalid offset + byte size for shared memory region: 'r'")
        assert infer(("r", 12), ("r", 12, 24)) == (
            invalid,
            "Invalid offset + byte size for shared memory region: 'r'",
        )
        assert infer(("r", 8)) == (
            invalid,
            (
                "[request id: <id_unknown>] input byte size mismatch for input 'INPUT0' for model 'identity_fp32'. "
                "Expected 12, got 8"
            ),
        )
        assert infer(("r", 12), ("r", 8)) == (
            internal,
            (
                "shared memory size specified with the request for output 'OUTPUT0' (8 bytes) should be at least 12 "
                "bytes to hold the results"
            ),
        )
        assert bytes(shm.get_contents_as_numpy(handle, np.uint8, [64])) == before


def test_without_a_gpu_there_is_no_cuda_memory(client: Any, protocol: Any) -> None:
    code, text = refusal(client.register_cuda_shared_memory, "r", base64.b64encode(bytes(64)), 0, 16)
    assert code in ("400", "StatusCode.INVALID_ARGUMENT")
    assert text == "failed to register CUDA shared memory region: 'r', GPUs not supported"
    assert refusal(client.get_cuda_shared_memory_status, "r")[1] == "Unable to find cuda shared memory region: 'r'"
    client.unregister_cuda_shared_memory("r")
    status = client.get_cuda_shared_memory_status()
    assert (status if isinstance(status, list) else list(status.regions)) == []


def test_a_region_may_be_unregistered_while_a_request_uses_it(client: Any, protocol: Any, server: Serving) -> None:
    def ask(rows: int, place: tuple[Any, ...], outputs: Any = None) -> Any:
        with protocol.InferenceServerClient(server.http if protocol is tritonclient.http else server.grpc) as own:
            return own.infer("gathering", [in_region(protocol, [rows, 3], place)], outputs=outputs)

    with memory(256) as (handle, key), ThreadPoolExecutor() as threads:
        shm.set_shared_memory_region(handle, [_NUMBERS])
        client.register_system_shared_memory("gone", key, 256)
        client.register_system_shared_memory("stays", key, 256)
        under_way = threads.submit(ask, 1, ("gone", 12), [into_region(protocol, ("gone", 12, 128))])
        while 'nv_inference_pending_request_count{model="gathering",version="1"} 1' not in server.metrics():
            assert not under_way.done()
        client.unregister_system_shared_memory("gone")
        assert names(client) == ["stays"]
        assert ask(3, ("stays", 36)).as_numpy("OUTPUT0").tolist() == _NUMBERS[:3].tolist()  # it completes the batch
        under_way.result()
        assert shm.get_contents_as_numpy(handle, np.float32, [3], offset=128).tolist() == _NUMBERS[0].tolist()


_DYING_CLIENT = """
import os, sys, numpy as np, tritonclient.http as http, tritonclient.utils.shared_memory as shm
handle = shm.create_shared_memory_region("r", sys.argv[2], 64)
shm.set_shared_memory_region(handle, [np.arange(3, dtype=np.float32)])
client = http.InferenceServerClient(sys.argv[1])
client.register_system_shared_memory("r", "/" + sys.argv[2], 64)
asked = http.InferInput("INPUT0", [1, 3], "FP32")
asked.set_shared_memory("r", 12)
assert client.infer("identity_fp32", [asked]).as_numpy("OUTPUT0").tolist() == [[0, 1, 2]]
os.kill(os.getpid(), 9)
"""


def test_of_a_client_that_dies_nothing_is_left_but_its_registration(client: Any, server: Serving) -> None:
    key = f"naiad-test-{uuid.uuid4().hex}"
    died = subprocess.run([sys.executable, "-c", _DYING_CLIENT, server.http, key], check=False)
    assert died.returncode == -signal.SIGKILL
    assert names(client) == ["r"]
    assert key in maps(server)
    client.unregister_system_shared_memory("r")
    assert key not in maps(server)


def test_a_region_that_a_stream_has_used_is_unmapped_once_it_is_unregistered(server: Serving) -> None:
    """At once, although the stream is still open, and not when the garbage collector comes by."""
    answers: queue.Queue[Any] = queue.Queue()
    with memory(64) as (handle, key), tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        shm.set_shared_memory_region(handle, [_NUMBERS[0]])
        client.register_system_shared_memory("streamed", key, 64)
        client.start_stream(lambda result, error: answers.put((result, error)))
        asked = [in_region(tritonclient.grpc, [1, 3], ("streamed", 12))]
        wanted = [into_region(tritonclient.grpc, ("streamed", 12, 32))]
        for model in ("identity_fp32", "failing", "identity_fp32"):
            client.async_stream_infer(model, asked, outputs=wanted)
        assert [str(answers.get(timeout=30)[1]) for _ in range(3)] == ["None", FAILURE, "None"]
        assert shm.get_contents_as_numpy(handle, np.float32, [3], offset=32).tolist() == _NUMBERS[0].tolist()
        client.unregister_system_shared_memory("streamed")
        assert key not in maps(server)
        client.stop_stream()


@pytest.mark.parametrize(("model", "place"), [("failing", ("failed", 12, 32)), ("identity_fp32", ("failed", 12, 60))])
def test_a_region_of_a_failure_that_ends_the_stream_is_unmapped_once_it_is_unregistered(
    server: Serving, model: str, place: tuple[Any, ...]
) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    with memory(64) as (_, key), tritonclient.grpc.InferenceServerClient(server.grpc) as client:
        client.register_system_shared_memory("failed", key, 64)
        client.start_stream(lambda **answer: answers.put(answer["error"]), headers={"triton_grpc_error": "true"})
        asked = [in_region(tritonclient.grpc, [1, 3], ("failed", 12))]
        client.async_stream_infer(model, asked, outputs=[into_region(tritonclient.grpc, place)])
        assert answers.get(timeout=30) is not None
        client.unregister_system_shared_memory("failed")
        assert key not in maps(server)


def test_the_extension_is_announced(client: Any) -> None:
    metadata = client.get_server_metadata()
    assert "system_shared_memory" in (metadata["extensions"] if isinstance(metadata, dict) else metadata.extensions)
