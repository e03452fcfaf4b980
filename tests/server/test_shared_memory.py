# SPDX-License-Identifier: Apache-2.0
"""Shared memory is registered, told and forgotten over either protocol, in the same words."""

import base64
import json
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc
import pytest
from tests.server.grpc.serving import WAIT_S, served
from tests.server.responders import AnswersWhole
from tests.shm.cuda_stand_in import CudaStandIn
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol.http1.head import Limits, parse_head
from naiad.protocol.http1.responses import Headers
from naiad.server.http.exchange import Buffers, Exchange
from naiad.server.http.handlers.shared_memory import SharedMemoryHandlers
from naiad.shm.cudart import CudaMemory
from naiad.shm.regions import Regions

SIZE = 4096


@pytest.fixture
def key() -> Iterator[str]:
    memory = SharedMemory(create=True, size=SIZE)
    yield memory.name
    memory.close()
    memory.unlink()


class Answers(AnswersWhole):
    """Takes the answers of exchanges."""

    def __init__(self) -> None:
        self.given: list[tuple[int, bytes]] = []

    def answer(self, exchange: Exchange, status: int, headers: Headers, buffers: Buffers) -> None:
        self.given.append((status, b"".join(buffers)))


def ask(handler: Callable[[Exchange, str], None], region: str = "", body: bytes = b"") -> tuple[int, Any]:
    """Call a handler; return the status and the document of its answer."""
    answers = Answers()
    handler(Exchange(answers, parse_head(b"POST / HTTP/1.1\r\n\r\n", Limits()), body), region)
    ((status, text),) = answers.given
    return status, json.loads(text) if text else None


def cuda_body(handle: bytes) -> bytes:
    encoded = base64.b64encode(handle).decode()
    return json.dumps({"raw_handle": {"b64": encoded}, "device_id": 1, "byte_size": 64}).encode()


def cuda_regions(cudart: CudaStandIn) -> Regions:
    return Regions(allowed=True, cuda=CudaMemory(cudart, lambda size_bytes: memoryview(bytearray(size_bytes))))


def test_cuda_over_http() -> None:
    cudart = CudaStandIn()
    handle, _ = cudart.allocate(bytes(64), device=1)
    handlers = SharedMemoryHandlers(cuda_regions(cudart))
    told = [{"name": "r", "device_id": 1, "byte_size": 64}]
    assert ask(handlers.cuda_register, "r", cuda_body(handle)) == (200, None)
    assert ask(handlers.cuda_status) == ask(handlers.cuda_status, "r") == (200, told)
    assert ask(handlers.status) == (200, [])
    assert ask(handlers.cuda_unregister, "other") == ask(handlers.unregister) == (200, None)
    assert ask(handlers.cuda_status) == (200, told)
    assert ask(handlers.cuda_unregister, "r") == (200, None)
    assert ask(handlers.cuda_status) == (200, [])
    assert list(cudart.opened.values()) == [0]


def test_cuda_over_grpc() -> None:
    cudart = CudaStandIn()
    handle, _ = cudart.allocate(bytes(64), device=1)
    with served(regions=cuda_regions(cudart)) as serving, grpc.insecure_channel(serving.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        asked = pb.CudaSharedMemoryRegisterRequest(name="r", raw_handle=handle, device_id=1, byte_size=64)
        stub.CudaSharedMemoryRegister(asked, timeout=WAIT_S)
        for name in ("", "r"):
            status = stub.CudaSharedMemoryStatus(pb.CudaSharedMemoryStatusRequest(name=name), timeout=WAIT_S)
            (region,) = status.regions.values()
            assert (region.name, region.device_id, region.byte_size) == ("r", 1, 64)
        asked.raw_handle = b"short"
        asked.name = "s"
        with pytest.raises(grpc.RpcError, match="'raw_handle' must have 64 bytes, got 5"):
            stub.CudaSharedMemoryRegister(asked, timeout=WAIT_S)
        stub.CudaSharedMemoryUnregister(pb.CudaSharedMemoryUnregisterRequest(name="r"), timeout=WAIT_S)
        assert not stub.CudaSharedMemoryStatus(pb.CudaSharedMemoryStatusRequest(), timeout=WAIT_S).regions
    assert list(cudart.opened.values()) == [0]


def test_over_http(key: str) -> None:
    handlers = SharedMemoryHandlers(Regions(allowed=True))
    asked = json.dumps({"key": key, "offset": 16, "byte_size": 64}).encode()
    told = [{"name": "r", "key": key, "offset": 16, "byte_size": 64}]
    assert ask(handlers.register, "r", asked) == (200, None)
    assert ask(handlers.status) == ask(handlers.status, "r") == (200, told)
    assert ask(handlers.unregister, "r") == (200, None)
    assert ask(handlers.status) == (200, [])
    ask(handlers.register, "r", asked)
    assert ask(handlers.unregister) == (200, None)
    with pytest.raises(NotFoundError, match="Unable to find system shared memory region: 'r'"):
        ask(handlers.status, "r")
    assert ask(handlers.cuda_status) == (200, [])
    assert ask(handlers.cuda_unregister, "r") == (200, None)
    with pytest.raises(NotFoundError, match="Unable to find cuda shared memory region: 'r'"):
        ask(handlers.cuda_status, "r")
    with pytest.raises(InvalidArgumentError, match="GPUs not supported"):
        ask(handlers.cuda_register, "r", cuda_body(bytes(64)))
    with pytest.raises(InvalidArgumentError, match="Shared memory register request has no 'raw_handle' field"):
        ask(handlers.cuda_register, "r", b"{}")


def test_a_region_without_a_name_is_told_before_its_body_is_read() -> None:
    handlers = SharedMemoryHandlers(Regions(allowed=True))
    for kind, register in (("system", handlers.register), ("cuda", handlers.cuda_register)):
        with pytest.raises(InvalidArgumentError, match=f"'region name' is necessary to register {kind} shared memory"):
            ask(register, "", b"{")


def test_over_grpc(key: str) -> None:
    with served(regions=Regions(allowed=True)) as serving, grpc.insecure_channel(serving.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)

        def call(method: str, **fields: Any) -> Any:
            return getattr(stub, method)(getattr(pb, f"{method}Request")(**fields), timeout=WAIT_S)

        def error(method: str, **fields: Any) -> tuple[grpc.StatusCode, str]:
            with pytest.raises(grpc.RpcError) as caught:
                call(method, **fields)
            failure: Any = caught.value
            return failure.code(), failure.details()

        asked = {"name": "r", "key": key, "offset": 16, "byte_size": 64}
        call("SystemSharedMemoryRegister", **asked)
        for name in ("", "r"):
            region = call("SystemSharedMemoryStatus", name=name).regions["r"]
            assert (region.name, region.key, region.offset, region.byte_size) == tuple(asked.values())
        call("SystemSharedMemoryUnregister", name="r")
        assert not call("SystemSharedMemoryStatus").regions
        call("SystemSharedMemoryRegister", **asked)
        call("SystemSharedMemoryUnregister")
        assert error("SystemSharedMemoryStatus", name="r") == (
            grpc.StatusCode.NOT_FOUND,
            "Unable to find system shared memory region: 'r'",
        )
        assert not call("CudaSharedMemoryStatus").regions
        call("CudaSharedMemoryUnregister", name="r")
        assert error("CudaSharedMemoryStatus", name="r") == (
            grpc.StatusCode.NOT_FOUND,
            "Unable to find cuda shared memory region: 'r'",
        )
        assert error("CudaSharedMemoryRegister", name="r") == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "failed to register CUDA shared memory region: 'r', GPUs not supported",
        )
