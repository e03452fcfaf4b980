# SPDX-License-Identifier: Apache-2.0
"""System shared memory, step by step over HTTP and gRPC: both servers map the same objects and must answer the same."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc
import numpy as np
import pytest
from tests.conformance.conftest import Servers
from tests.conformance.test_grpc import infer, outcome
from tests.conformance.wire import Request, converse
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_OBJECT_BYTES = 8192
_TIMEOUT_S = 30
_SYSTEM = "/v2/systemsharedmemory"


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """A shared memory object that holds 0, 1, 2, ... as FP32."""
    made = SharedMemory(create=True, size=_OBJECT_BYTES)
    assert made.buf is not None
    made.buf[:_OBJECT_BYTES] = np.arange(_OBJECT_BYTES // 4, dtype=np.float32).tobytes()
    yield made
    made.close()
    made.unlink()


def http(port: int, method: str, path: str, body: object = b"") -> object:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    (answer,) = converse(port, Request(method, path, sent).encoded()).answers
    return answer.status, json.loads(answer.body) if answer.body else None


def compare(ports: Sequence[int], *step: Any) -> object:
    triton, naiad = (http(port, *step) for port in ports)
    assert naiad == triton, step
    return triton


def test_over_http(servers: Servers, memory: SharedMemory) -> None:
    ask = partial(compare, (servers.triton.http, servers.naiad.http))
    register, key = f"{_SYSTEM}/region/r/register", f"/{memory.name}"
    for kind in ("systemsharedmemory", "cudasharedmemory"):
        ask("GET", f"/v2/{kind}/status")
        ask("GET", f"/v2/{kind}/region/r/status")
        ask("POST", f"/v2/{kind}/region/r/unregister")
        ask("POST", f"/v2/{kind}/status")
    for body in (
        *(b"", b"{", b"[]", {}, {"key": key}, {"byte_size": 4}, {"key": 1, "byte_size": 4}),
        *({"key": key, "byte_size": size} for size in ("4", -4, 1.5, None, 0, 2**64 - 1)),
        *({"key": key, "byte_size": 4, "offset": offset} for offset in ("4", -4, None)),
        *({"key": name, "byte_size": 4} for name in ("/nobody", "", "/a/b", "/../x", "..")),
        *({"key": key, "byte_size": size, "offset": offset} for size, offset in ((8193, 0), (8192, 1), (4096, 4097))),
    ):
        assert ask("POST", register, body) != (200, None), body
    assert ask("POST", f"{_SYSTEM}/register", {"key": key, "byte_size": 4}) == (400, _named("system"))
    assert ask("POST", register, {"key": memory.name, "byte_size": 4096}) == (200, None)
    ask("POST", register, {"key": key, "byte_size": 4})
    ask("GET", f"{_SYSTEM}/status")
    ask("GET", f"{_SYSTEM}/region/r/status")
    for place in _PLACES:
        ask("POST", "/v2/models/batched/infer", {"inputs": [_input(place)]})
        wanted = {"name": "OUTPUT0", "parameters": place}
        ask("POST", "/v2/models/batched/infer", {"id": "7", "inputs": [_input(_PLACES[0])], "outputs": [wanted]})
    ask("POST", f"{_SYSTEM}/region/r/unregister")
    ask("GET", f"{_SYSTEM}/status")
    ask("POST", f"{_SYSTEM}/unregister", b"{")


# In a region that begins with its object: of others Triton 2.51 counts the offset twice, and reads behind its mapping.
_PLACES: tuple[dict[str, Any], ...] = tuple(
    {"shared_memory_region": "r", **place}
    for place in (
        {"shared_memory_byte_size": 64},
        {"shared_memory_byte_size": 64, "shared_memory_offset": 4},
        {},
        {"shared_memory_byte_size": 60},
        {"shared_memory_byte_size": 0},
        {"shared_memory_byte_size": 64, "shared_memory_offset": 9000},
        {"shared_memory_byte_size": 9000},
        {"shared_memory_byte_size": 64, "shared_memory_region": "gone"},
    )
)


def _named(kind: str) -> dict[str, str]:
    return {"error": f"'region name' is necessary to register {kind} shared memory region"}


def _input(place: dict[str, Any]) -> dict[str, Any]:
    return {"name": "INPUT0", "datatype": "FP32", "shape": [1, 16], "parameters": place}


def test_over_grpc(servers: Servers, memory: SharedMemory) -> None:
    ports = servers.triton.grpc, servers.naiad.grpc
    triton, naiad = (grpc.insecure_channel(f"127.0.0.1:{port}") for port in ports)
    with triton, naiad:
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in (triton, naiad)]

        def ask(method: str, message: object) -> object:
            theirs, ours = (outcome(partial(getattr(stub, method), message, timeout=_TIMEOUT_S)) for stub in stubs)
            assert ours == theirs, (method, message)
            return theirs[0]

        key = f"/{memory.name}"
        register = partial(pb.SystemSharedMemoryRegisterRequest, name="r")
        ask("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest())
        ask("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name="r"))
        ask("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest())
        ask("CudaSharedMemoryStatus", pb.CudaSharedMemoryStatusRequest(name="r"))
        ask("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(name="r"))
        ask("SystemSharedMemoryRegister", register())
        ask("SystemSharedMemoryRegister", register(key="/nobody", byte_size=4))
        ask("SystemSharedMemoryRegister", register(key=key))
        ask("SystemSharedMemoryRegister", register(key=key, byte_size=8193))
        assert ask("SystemSharedMemoryRegister", register(key=key, byte_size=4096)) == "OK"
        ask("SystemSharedMemoryRegister", register(key=key, byte_size=4096))
        ask("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest())
        ask("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest(name="r"))
        for place in _PLACES:
            ask("ModelInfer", infer(partial(_put, place=place, at="inputs"), raw=False))
            ask("ModelInfer", infer(partial(_put, place=place, at="inputs")))
            ask("ModelInfer", infer(partial(_put, place=place, at="outputs")))
        ask("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="r"))
        ask("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest())
        ask("SystemSharedMemoryStatus", pb.SystemSharedMemoryStatusRequest())


def _put(made: pb.ModelInferRequest, place: dict[str, Any], at: str) -> None:
    tensor = made.inputs[0] if at == "inputs" else made.outputs.add(name="OUTPUT0")
    for key, value in place.items():
        if isinstance(value, str):
            tensor.parameters[key].string_param = value
        else:
            tensor.parameters[key].int64_param = value
