# SPDX-License-Identifier: Apache-2.0
"""Unmodified `ultralytics.YOLO` gives, for every task of YOLO11, over HTTP and gRPC, the numbers of the file run here.

ONNX Runtime's sums may differ in the last bit with the number of threads. The models' scores are spread (see
`exports`), so that this moves results by far less than the tolerance and decides no comparison within NMS.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import tritonclient.http
from tests.e2e.comparison import TOLERANCE, add_model, assert_same, predict
from tests.e2e.exports import TASKS, Exports, names_of
from tests.e2e.serving import Serving, serving
from tests.e2e.triton_clients import tensor

import naiad

_OUTPUTS = {"detect": ["output0"], "segment": ["output0", "output1"]}


def _name(task: str, is_dynamic: bool) -> str:
    return f"{task}_{'dynamic' if is_dynamic else 'fixed'}"


@pytest.fixture(scope="module")
def server(exports: Exports, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """One server with all the models, none of which has a config.pbtxt."""
    folder = tmp_path_factory.mktemp("tasks")
    repository = folder / "models"
    for task in TASKS:
        for is_dynamic in (True, False):
            add_model(repository, _name(task, is_dynamic), exports.random(task, is_dynamic).path)
    with serving(repository, log=folder / "log") as running:
        yield running


@pytest.mark.parametrize("is_dynamic", [True, False], ids=["dynamic", "fixed"])
@pytest.mark.parametrize("task", TASKS)
def test_a_served_model_gives_the_numbers_of_the_local_one(
    task: str, is_dynamic: bool, server: Serving, exports: Exports, bus: str, zidane: str
) -> None:
    export = exports.random(task, is_dynamic)
    url = f"{server.url}/{_name(task, is_dynamic)}"
    served: list[Any] = [result for photo in (bus, zidane) for result in predict(url, task, [photo], export.size)]
    local = [result for photo in (bus, zidane) for result in predict(str(export.path), task, [photo], export.size)]
    compared = assert_same(served, local)
    assert served[0].names == export.names == names_of(len(export.names))
    if task == "classify":
        assert compared.numbers == 2 * 1000
        assert served[0].probs.top5 != served[1].probs.top5
        assert all(result.probs.top1conf > 0.05 for result in served)
        return
    assert compared.boxes >= 100
    assert compared.numbers >= 6 * compared.boxes
    assert len({int(index) for result in served for index in _classes(result)}) >= 20
    if task == "segment":
        assert 0.02 < compared.mask_share < 0.98
        assert all(result.masks.data.flatten(1).any(1).float().mean() > 0.9 for result in served)
    if task == "pose":
        assert compared.numbers == compared.boxes * (6 + 17 * 3)


@pytest.mark.parametrize("task", ["detect", "segment", "pose", "obb"])
def test_a_batch_of_photos_gives_the_numbers_of_the_local_batch(
    task: str, server: Serving, exports: Exports, bus: str, zidane: str
) -> None:
    export = exports.random(task, is_dynamic=True)
    photos = [bus, zidane, bus]
    served = predict(f"{server.url}/{_name(task, True)}", task, photos, export.size)
    compared = assert_same(served, predict(str(export.path), task, photos, export.size))
    assert len(served) == 3
    assert compared.boxes >= 150
    assert assert_same([served[0]], [served[2]]).boxes >= 50


@pytest.mark.parametrize("task", TASKS)
def test_outputs_come_in_the_graphs_order(task: str, server: Serving) -> None:
    with tritonclient.http.InferenceServerClient(server.http) as client:
        for is_dynamic in (True, False):
            config = client.get_model_config(_name(task, is_dynamic))
            assert [output["name"] for output in config["output"]] == _OUTPUTS.get(task, ["output0"])


def _classes(result: object) -> list[float]:
    found = getattr(result, "obb", None) or getattr(result, "boxes", None)
    return [] if found is None else found.cls.tolist()


def test_the_server_needs_no_config_for_any_task(server: Serving) -> None:
    with tritonclient.http.InferenceServerClient(server.http) as client:
        index = client.get_model_repository_index()
    assert {row["name"]: row["state"] for row in index} == {
        _name(task, is_dynamic): "READY" for task in TASKS for is_dynamic in (True, False)
    }
    assert not [folder for folder in _model_folders(server) if (folder / "config.pbtxt").exists()]


@pytest.mark.parametrize("task", TASKS)
def test_ultralytics_gets_the_same_over_grpc(task: str, server: Serving, exports: Exports, bus: str) -> None:
    export, name = exports.random(task, is_dynamic=True), _name(task, True)
    over_grpc = predict(f"grpc://{server.grpc}/{name}", task, [bus], export.size)
    assert_same(over_grpc, predict(f"{server.url}/{name}", task, [bus], export.size))
    assert over_grpc[0].names == export.names


def _model_folders(server: Serving) -> list[Path]:
    return list((server.log.parent / "models").iterdir())


def test_a_server_inside_this_process_serves_ultralytics(exports: Exports, repository: Path, bus: str) -> None:
    export = exports.random("segment", is_dynamic=True)
    add_model(repository, "yolo", export.path)
    with naiad.Server(model_repository=repository, http_port=0, grpc_port=0, metrics_port=0) as server:
        server.wait_ready("yolo")
        served = predict(f"{server.http_url}/yolo", "segment", [bus], export.size)
        image = np.random.default_rng(2).random((2, 3, 64, 96), dtype=np.float32)
        direct = server.infer("yolo", {"images": image})
    assert assert_same(served, predict(str(export.path), "segment", [bus], export.size)).boxes >= 50
    session = onnxruntime.InferenceSession(export.path, providers=["CPUExecutionProvider"])
    expected = session.run(["output0", "output1"], {"images": image})
    assert [output.name for output in direct.outputs] == ["output0", "output1"]
    for output, array in zip(direct.outputs, expected, strict=True):
        np.testing.assert_allclose(output.data, array, rtol=1e-5, atol=TOLERANCE)


def test_concurrent_requests_of_mixed_shapes_get_their_own_rows(tmp_path: Path, exports: Exports) -> None:
    """Rows of equal shape are computed together, and each request gets what it would have got alone."""
    export = exports.random("detect", is_dynamic=True)
    version = tmp_path / "yolo" / "1"
    version.mkdir(parents=True)
    shutil.copy(export.path, version / "model.onnx")
    (version.parent / "config.pbtxt").write_text(
        "max_batch_size: 4 dynamic_batching { preferred_batch_size: 4 max_queue_delay_microseconds: 200000 }"
    )
    random = np.random.default_rng(7)
    shapes = [(rows, 3, 256, width) for width in (256, 320) for rows in (1, 2, 1, 3, 1, 1, 2, 1)]
    images = [random.random(shape, dtype=np.float32) for shape in shapes]
    with (
        naiad.Server(tmp_path, http_port=0, grpc_port=0, metrics_port=0) as server,
        tritonclient.http.InferenceServerClient(
            server.http_url.removeprefix("http://"), concurrency=len(images)
        ) as client,
    ):
        asked = [client.async_infer("yolo", [tensor("images", image)]) for image in images]
        answers = [one.get_result().as_numpy("output0") for one in asked]
        executed = client.get_inference_statistics("yolo")["model_stats"][0]["execution_count"]
    session = onnxruntime.InferenceSession(export.path, providers=["CPUExecutionProvider"])
    for image, answer in zip(images, answers, strict=True):
        (expected,) = session.run(["output0"], {"images": image})
        np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=TOLERANCE)
    assert executed < len(images)
