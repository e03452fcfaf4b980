# SPDX-License-Identifier: Apache-2.0
"""Shared memory is registered, told and forgotten over either protocol, in the same words."""

import json
from collections.abc import Callable, Iterator
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import grpc
import pytest
from tests.server.grpc.serving import WAIT_S, served
from tests.server.responders import AnswersWhole
from tritonclient.grpc import service_pb2_grpc

from naiad.config.proto import service_pb2 as pb
from naiad.errors import InvalidArgumentError, NotFoundError
from naiad.protocol.http1 import Headers
from naiad.protocol.http1_head import Limits, parse_head
from naiad.server.http.exchange import Buffers, Exchange
from naiad.server.http.handlers.shared_memory import SharedMemoryHandlers
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
        ask(handlers.cuda_register, "r")


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
