# SPDX-License-Identifier: Apache-2.0
"""A whole server on a stand-in for CUDA: tensors go through the memory of a GPU, over either protocol."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc
import tritonclient.http
from tests.builtin_models import FREE_PORTS, identity, write_model
from tests.shm.cuda_stand_in import CudaStandIn

import naiad
from naiad.server import app


@pytest.fixture
def cudart(monkeypatch: pytest.MonkeyPatch) -> CudaStandIn:
    made = CudaStandIn()
    monkeypatch.setattr(app, "find_cudart", lambda: made)
    return made


@pytest.fixture
def server(cudart: CudaStandIn, tmp_path: Path) -> Iterator[naiad.Server]:
    write_model(tmp_path, "identity", identity(max_batch_size=4))
    with naiad.Server(tmp_path, allow_client_shm=True, http_max_bytes_in_flight=4096, **FREE_PORTS) as running:
        yield running


@pytest.fixture(params=[tritonclient.http, tritonclient.grpc])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(protocol: Any, server: naiad.Server) -> Iterator[Any]:
    url = server.http_url if protocol is tritonclient.http else server.grpc_url
    with protocol.InferenceServerClient(url.partition("://")[2] or url) as made:
        yield made


def test_tensors_go_through_a_gpu(client: Any, protocol: Any, cudart: CudaStandIn) -> None:
    numbers = np.arange(4, dtype=np.float32)
    source, _ = cudart.allocate(bytes(8) + numbers.tobytes())
    target, written = cudart.allocate(bytes(32), device=1)
    client.register_cuda_shared_memory("in", base64.b64encode(source), 0, 24)
    client.register_cuda_shared_memory("out", base64.b64encode(target), 1, 32)
    for _ in range(300):  # 300 times 16 bytes are over the server's limit, if they were held
        asked = protocol.InferInput("X", [2, 2], "FP32")
        asked.set_shared_memory("in", 16, 8)
        wanted = protocol.InferRequestedOutput("Y")
        wanted.set_shared_memory("out", 16, 4)
        client.infer("identity", [asked], outputs=[wanted])
    assert written.raw == bytes(4) + numbers.tobytes() + bytes(12)
    client.unregister_cuda_shared_memory()
    assert set(cudart.opened.values()) == {0}


def test_a_copy_counts_as_the_body_of_a_request(client: Any, protocol: Any, cudart: CudaStandIn) -> None:
    source, _ = cudart.allocate(bytes(8192))
    client.register_cuda_shared_memory("in", base64.b64encode(source), 0, 8192)
    asked = protocol.InferInput("X", [1, 1024], "FP32")
    asked.set_shared_memory("in", 4100)
    with pytest.raises(Exception, match="request bodies in flight would exceed 4096 bytes"):
        client.infer("identity", [asked])


def test_the_extension_is_listed_where_it_works(server: naiad.Server, tmp_path: Path) -> None:
    listed = _extensions(server)
    assert listed[listed.index("system_shared_memory") + 1] == "cuda_shared_memory"
    with naiad.Server(tmp_path, **FREE_PORTS) as closed:
        assert not [name for name in _extensions(closed) if "shared_memory" in name]


def test_it_is_not_listed_without_a_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(app, "find_cudart", lambda: None)
    with naiad.Server(tmp_path, allow_client_shm=True, **FREE_PORTS) as running:
        listed = _extensions(running)
    assert [name for name in listed if "shared_memory" in name] == ["system_shared_memory"]


def _extensions(server: naiad.Server) -> list[str]:
    with tritonclient.http.InferenceServerClient(server.http_url.partition("://")[2]) as client:
        return list(client.get_server_metadata()["extensions"])
