# SPDX-License-Identifier: Apache-2.0
"""A repository of small models that show what Triton's protocol can say."""

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "BF16", "FP32", "FP64", "BYTES"),
)

FAILURE = 'it fails: "always", says 東京'


def write_repository(repository: Path) -> None:
    """Write all the models."""
    for datatype in DATATYPES:
        builtin(repository, f"identity_{datatype.lower()}", datatype=datatype)
    folder = builtin(repository, "labelled", dims="5", output_extra='label_filename: "labels.txt"')
    (folder / "labels.txt").write_text("ant\nbee\ncat\ndog\neel\n", encoding="utf-8")
    builtin(
        repository,
        "gathering",
        max_batch_size=4,
        extra="dynamic_batching { preferred_batch_size: [ 4 ] max_queue_delay_microseconds: 20000000 }",
    )
    builtin(
        repository,
        "full",
        max_batch_size=1,
        extra="dynamic_batching { default_queue_policy { max_queue_size: 1 } }",
        parameters={"kind": "delay", "delay_us": "1000000"},
    )
    builtin(
        repository,
        "impatient",
        max_batch_size=1,
        extra="dynamic_batching { default_queue_policy "
        "{ default_timeout_microseconds: 20000000 allow_timeout_override: true } }",
        parameters={"kind": "delay", "delay_us": "1000000"},
    )
    builtin(repository, "left", max_batch_size=1, parameters={"kind": "delay", "delay_us": "500000"})
    builtin(repository, "failing", parameters={"kind": "fail", "message": FAILURE})
    builtin(repository, "counted")
    bare(repository, "parameters")
    bare(repository, "repeat")
    builtin(repository, "wide", dims="-1")
    _add_sub(repository / "add_sub" / "1" / "model.onnx")
    for version in (1, 2, 3):
        _multiply(repository / "versions" / str(version) / "model.onnx", version)
    (repository / "versions" / "config.pbtxt").write_text("version_policy { specific { versions: [ 1, 2 ] } }\n")


def builtin(
    repository: Path,
    name: str,
    *,
    datatype: str = "FP32",
    dims: str = "3",
    max_batch_size: int = 8,
    extra: str = "",
    output_extra: str = "",
    parameters: dict[str, str] | None = None,
) -> Path:
    """Write a model of the backend `builtin` with one input and one output; return its folder."""
    folder = repository / name
    (folder / "1").mkdir(parents=True)
    tensor = f"data_type: TYPE_{'STRING' if datatype == 'BYTES' else datatype} dims: [ {dims} ]"
    lines = [
        'backend: "builtin"',
        f"max_batch_size: {max_batch_size}",
        f'input [ {{ name: "INPUT0" {tensor} }} ]',
        f'output [ {{ name: "OUTPUT0" {tensor} {output_extra} }} ]',
        "instance_group [ { kind: KIND_CPU count: 1 } ]",
        extra,
        *(
            f"parameters {{ key: \"{key}\" value {{ string_value: '{value}' }} }}"
            for key, value in (parameters or {}).items()
        ),
    ]
    (folder / "config.pbtxt").write_text("\n".join(lines), encoding="utf-8")
    return folder


def bare(repository: Path, kind: str) -> None:
    """Write a model of the backend `builtin` that brings its inputs and outputs with it, called as its kind."""
    (repository / kind / "1").mkdir(parents=True)
    lines = ['backend: "builtin"', f'parameters {{ key: "kind" value {{ string_value: "{kind}" }} }}']
    (repository / kind / "config.pbtxt").write_text("\n".join(lines), encoding="utf-8")


def _add_sub(path: Path) -> None:
    """OUTPUT0 is the sum of the inputs, OUTPUT1 their difference; the batch is dynamic."""
    shape: list[str | int] = ["batch", 4]
    nodes = [
        helper.make_node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]),
        helper.make_node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"]),
    ]
    _save(path, nodes, ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1"), shape)


def _multiply(path: Path, factor: int) -> None:
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [1], [float(factor)])
    nodes = [
        helper.make_node("Constant", [], ["factor"], value=constant),
        helper.make_node("Mul", ["INPUT0", "factor"], ["OUTPUT0"]),
    ]
    _save(path, nodes, ("INPUT0",), ("OUTPUT0",), ["batch", 2])


def _save(
    path: Path, nodes: list[onnx.NodeProto], inputs: Sequence[str], outputs: Sequence[str], shape: list[str | int]
) -> None:
    def info(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names]

    graph = helper.make_graph(nodes, "small", info(inputs), info(outputs))
    path.parent.mkdir(parents=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
