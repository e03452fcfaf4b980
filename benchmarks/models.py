# SPDX-License-Identifier: Apache-2.0
"""The model repositories of the measurements, made anew for each run: ONNX for Naiad, `model.py` for Triton."""

import shutil
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_IDENTITY_PY = """\
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [
            pb_utils.InferenceResponse(
                [pb_utils.Tensor("OUTPUT0", pb_utils.get_input_tensor_by_name(request, "INPUT0").as_numpy())]
            )
            for request in requests
        ]
"""

_CONFIG = """\
{backend}
max_batch_size: 8
input {{ name: "INPUT0" data_type: TYPE_FP32 dims: [ -1 ] }}
output {{ name: "OUTPUT0" data_type: TYPE_FP32 dims: [ -1 ] }}
instance_group {{ count: 1 kind: KIND_CPU }}
"""

_BATCHING = "dynamic_batching { }\n"


def identity_onnx(repository: Path, *, batching: bool) -> None:
    """Write the model `identity`, FP32 [N, -1] → the same, as ONNX, with dynamic batching or without."""
    version = repository / "identity" / "1"
    version.mkdir(parents=True)
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "width"]) for name in ("INPUT0", "OUTPUT0")
    ]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["INPUT0"], ["OUTPUT0"])], "identity", tensors[:1], tensors[1:]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), version / "model.onnx"
    )
    (version.parent / "config.pbtxt").write_text(
        _CONFIG.format(backend='backend: "onnxruntime"') + _BATCHING * batching
    )


def identity_python(repository: Path, *, batching: bool) -> None:
    """Write the same model as a `model.py` of Triton's python backend."""
    version = repository / "identity" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(_IDENTITY_PY)
    (version.parent / "config.pbtxt").write_text(_CONFIG.format(backend='backend: "python"') + _BATCHING * batching)


def yolo_onnx(repository: Path, cache: Path) -> Path:
    """Write the model `yolo`, YOLO11n with random weights and dynamic axes, bare; return the ONNX file.

    Exporting takes a while, so the file is kept in `cache`.
    """
    exported = cache / "yolo11n.onnx"
    if not exported.exists():
        # Heavy, and only needed once; it is loaded lazily, which its annotations do not tell.
        from ultralytics import YOLO  # type: ignore[attr-defined]  # noqa: PLC0415

        cache.mkdir(parents=True, exist_ok=True)
        made = YOLO("yolo11n.yaml", task="detect").export(format="onnx", dynamic=True, verbose=False)
        shutil.move(made, exported)  # it came to the working directory, maybe on another file system
    version = repository / "yolo" / "1"
    version.mkdir(parents=True)
    target = version / "model.onnx"
    target.write_bytes(exported.read_bytes())
    return target
