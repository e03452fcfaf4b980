# SPDX-License-Identifier: Apache-2.0
"""Shared memory, step by step over HTTP and gRPC: both servers map the same objects and must answer the same.

Neither has a GPU, so that CUDA's is refused, in Triton's words but for memory that could only be opened on one.
"""

import base64
import json
from collections.abc import Iterator
from functools import partial
from multiprocessing.shared_memory import SharedMemory
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from tests.conformance.conftest import Servers
from tests.conformance.test_grpc import Case, infer, outcome
from tests.conformance.wire import Request, converse
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb

_OBJECT_BYTES = 8192
_SYSTEM = "/v2/systemsharedmemory"
_CUDA = "/v2/cudasharedmemory"
_CUDA_BODY = {"raw_handle": {"b64": base64.b64encode(bytes(64)).decode()}, "device_id": 0, "byte_size": 4}
_TIMEOUT_S = 30


@pytest.fixture
def memory() -> Iterator[SharedMemory]:
    """A shared memory object that holds 0, 1, 2, ... as FP32."""
    made = SharedMemory(create=True, size=_OBJECT_BYTES)
    assert made.buf is not None
    made.buf[:_OBJECT_BYTES] = np.arange(_OBJECT_BYTES // 4, dtype=np.float32).tobytes()
    yield made
    made.close()
    made.unlink()


# In a region that begins with its object: of others Triton 2.51 counts the offset twice, and reads behind its mapping.
_PLACES: tuple[tuple[dict[str, Any], bool], ...] = tuple(
    ({"shared_memory_region": "r", **place}, ok)
    for place, ok in (
        ({"shared_memory_byte_size": 64}, True),
        ({"shared_memory_byte_size": 64, "shared_memory_offset": 4}, True),
        ({}, False),
        ({"shared_memory_byte_size": 60}, False),
        ({"shared_memory_byte_size": 0}, False),
        ({"shared_memory_byte_size": 0, "shared_memory_offset": 4}, False),
        ({"shared_memory_byte_size": 64, "shared_memory_offset": 9000}, False),
        ({"shared_memory_byte_size": 9000}, False),
        ({"shared_memory_byte_size": 64, "shared_memory_region": "gone"}, False),
    )
)


class Step(NamedTuple):
    """A request over HTTP, and whether Triton answers it well."""

    method: str
    path: str
    body: object
    ok: bool


def http_steps(key: str) -> Iterator[Step]:
    """Yield what is asked over HTTP, one after the other; `key` is that of `memory`."""
    for kind in ("systemsharedmemory", "cudasharedmemory"):
        yield Step("GET", f"/v2/{kind}/status", b"", True)
        yield Step("GET", f"/v2/{kind}/region/r/status", b"", False)
        yield Step("POST", f"/v2/{kind}/region/r/unregister", b"", True)
        yield Step("POST", f"/v2/{kind}/status", b"", False)
    register = f"{_SYSTEM}/region/r/register"
    for body in (
        *(b"", b"{", b"[]", {}, {"key": key}, {"byte_size": 4}, {"key": 1, "byte_size": 4}),
        *({"key": key, "byte_size": size} for size in ("4", -4, 1.5, None, 0, 2**64 - 1)),
        *({"key": key, "byte_size": 4, "offset": offset} for offset in ("4", -4, None)),
        *({"key": name, "byte_size": 4} for name in ("/nobody", "", "/a/b", "/../x", "..")),
        *({"key": key, "byte_size": size, "offset": offset} for size, offset in ((8193, 0), (8192, 1), (4096, 4097))),
    ):
        yield Step("POST", register, body, False)
    for wrong in ({"key": key, "byte_size": 4}, {"key": 1}, b"{"):
        yield Step("POST", f"{_SYSTEM}/register", wrong, False)
        yield Step("POST", f"{_CUDA}/register", wrong, False)
    for bad in _bad_cuda_bodies():
        yield Step("POST", f"{_CUDA}/region/r/register", bad, False)
    yield Step("POST", f"{_CUDA}/register", _CUDA_BODY, False)
    for first_wrong in ({"key": 1}, {"key": key, "offset": "x"}, {"key": key, "offset": -1, "byte_size": -1}):
        yield Step("POST", register, first_wrong, False)
    yield Step("POST", register, {"key": key.removeprefix("/"), "byte_size": 4096}, True)
    yield Step("POST", register, {"key": key, "byte_size": 4}, False)
    yield Step("GET", f"{_SYSTEM}/status", b"", True)
    yield Step("GET", f"{_SYSTEM}/region/r/status", b"", True)
    yield Step("GET", f"{_CUDA}/region/r/status", b"", False)
    yield Step("POST", f"{_CUDA}/region/r/register", _CUDA_BODY, False)
    yield Step("POST", f"{_CUDA}/region/r/unregister", b"", True)
    yield Step("POST", f"{_CUDA}/unregister", b"", True)
    yield Step("GET", f"{_SYSTEM}/status", b"", True)
    infer_path = "/v2/models/batched/infer"
    for place, ok in _PLACES:
        yield Step("POST", infer_path, {"inputs": [_input(place)]}, ok)
        wanted = {"name": "OUTPUT0", "parameters": place}
        yield Step("POST", infer_path, {"id": "7", "inputs": [_input(_PLACES[0][0])], "outputs": [wanted]}, ok)
    yield Step("POST", f"{_SYSTEM}/region/r/unregister", b"", True)
    yield Step("GET", f"{_SYSTEM}/status", b"", True)
    yield Step("POST", f"{_SYSTEM}/unregister", b"{", True)


def _bad_cuda_bodies() -> Iterator[object]:
    """Yield what can't be read as a handle, a size and a device."""
    yield from (b"", b"{", b"[]", {}, {"byte_size": 4, "device_id": 0}, {"raw_handle": 3}, {"raw_handle": {}})
    yield from ({"raw_handle": {"b64": 3}}, {"raw_handle": {"b64": "AAAA"}})
    for changed in ({"device_id": "0"}, {"device_id": -1}, {"byte_size": "4"}, {"byte_size": -4}, {"byte_size": 4.5}):
        yield _CUDA_BODY | changed
    for missing in ("device_id", "byte_size"):
        yield {member: value for member, value in _CUDA_BODY.items() if member != missing}
    for encoded in ("", "A", "AAAA", "A?AA", "AAAA====", base64.b64encode(bytes(65)).decode()):
        yield _CUDA_BODY | {"raw_handle": {"b64": encoded}}


def _input(place: dict[str, Any]) -> dict[str, Any]:
    return {"name": "INPUT0", "datatype": "FP32", "shape": [1, 16], "parameters": place}


def test_over_http(servers: Servers, memory: SharedMemory) -> None:
    for step in http_steps(f"/{memory.name}"):
        triton, naiad = (_asked(port, step) for port in (servers.triton.http, servers.naiad.http))
        assert naiad == triton, step
        assert (triton[0] == 200) is step.ok, (step, triton)


def _asked(port: int, step: Step) -> tuple[int, object]:
    sent = step.body if isinstance(step.body, bytes) else json.dumps(step.body).encode()
    (answer,) = converse(port, Request(step.method, step.path, sent).encoded()).answers
    return answer.status, json.loads(answer.body) if answer.body else None


def grpc_steps(key: str) -> Iterator[Case]:
    """Yield what is asked over gRPC, one after the other; `key` is that of `memory`."""
    status, cuda_status = pb.SystemSharedMemoryStatusRequest, pb.CudaSharedMemoryStatusRequest
    register = partial(pb.SystemSharedMemoryRegisterRequest, name="r")
    yield Case("SystemSharedMemoryStatus", status(), True)
    yield Case("SystemSharedMemoryStatus", status(name="r"), False)
    yield Case("CudaSharedMemoryStatus", cuda_status(), True)
    yield Case("CudaSharedMemoryStatus", cuda_status(name="r"), False)
    yield Case("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(name="r"), True)
    yield Case("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(), True)
    yield Case("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="r"), True)
    yield Case("SystemSharedMemoryRegister", register(), False)
    for name in ("/nobody", "", "/a/b", "/../x", ".."):
        yield Case("SystemSharedMemoryRegister", register(key=name, byte_size=4), False)
    yield Case("SystemSharedMemoryRegister", register(key=key), False)
    for size, offset in ((8193, 0), (8192, 1), (4096, 4097)):
        yield Case("SystemSharedMemoryRegister", register(key=key, byte_size=size, offset=offset), False)
    yield Case("SystemSharedMemoryRegister", register(key=key, byte_size=4096), True)
    yield Case("SystemSharedMemoryRegister", register(key=key, byte_size=4096), False)
    yield Case("SystemSharedMemoryStatus", status(), True)
    yield Case("SystemSharedMemoryStatus", status(name="r"), True)
    handle = pb.CudaSharedMemoryRegisterRequest(name="r", raw_handle=bytes(64), device_id=0, byte_size=4)
    yield Case("CudaSharedMemoryRegister", handle, False)
    yield Case("CudaSharedMemoryStatus", cuda_status(name="r"), False)
    yield Case("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(name="r"), True)
    yield Case("CudaSharedMemoryUnregister", pb.CudaSharedMemoryUnregisterRequest(), True)
    yield Case("SystemSharedMemoryStatus", status(), True)
    for place, ok in _PLACES:
        yield Case("ModelInfer", infer(partial(_put, place=place, at="inputs"), raw=False), ok)
        yield Case("ModelInfer", infer(partial(_put, place=place, at="inputs")), ok)
        yield Case("ModelInfer", infer(partial(_put, place=place, at="outputs")), ok)
    yield Case("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(name="r"), True)
    yield Case("SystemSharedMemoryUnregister", pb.SystemSharedMemoryUnregisterRequest(), True)
    yield Case("SystemSharedMemoryStatus", status(), True)


def test_over_grpc(servers: Servers, memory: SharedMemory) -> None:
    ports = servers.triton.grpc, servers.naiad.grpc
    triton, naiad = (grpc.insecure_channel(f"127.0.0.1:{port}") for port in ports)
    with triton, naiad:
        stubs = [service_pb2_grpc.GRPCInferenceServiceStub(channel) for channel in (triton, naiad)]
        for step in grpc_steps(f"/{memory.name}"):
            ask = (partial(getattr(stub, step.method), step.message, timeout=_TIMEOUT_S) for stub in stubs)
            theirs, ours = map(outcome, ask)
            assert ours == theirs, step
            assert (theirs[0] == "OK") is step.ok, (step, theirs)


def _put(made: pb.ModelInferRequest, place: dict[str, Any], at: str) -> None:
    tensor = made.inputs[0] if at == "inputs" else made.outputs.add(name="OUTPUT0")
    for key, value in place.items():
        if isinstance(value, str):
            tensor.parameters[key].string_param = value
        else:
            tensor.parameters[key].int64_param = value
