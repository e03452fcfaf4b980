# SPDX-License-Identifier: Apache-2.0
"""The models of the comparison, and the two repositories that hold them: for Triton a `model.py` each, for Naiad its
`builtin` backend or an ONNX file. Name, tensors and scheduling are the same in both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_MODELS = Path(__file__).with_name("models")

DATATYPES = (
    *("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
    *("FP16", "BF16", "FP32", "FP64", "STRING"),
)


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output of a config; `datatype` as in `TYPE_FP32`."""

    name: str
    datatype: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """One model of both repositories. `code` names a file of `models/`; `more` is config text that both have."""

    name: str
    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]
    max_batch_size: int = 0
    code: str = "builtin"
    optional: bool = False
    labels: Sequence[str] = ()
    versions: Sequence[str] = ("1",)
    parameters: dict[str, str] = field(default_factory=dict)
    more: str = ""

    def config(self, backend: str) -> str:
        """Return the text of config.pbtxt."""
        optional = " optional: true" if self.optional else ""
        labels = ' label_filename: "labels.txt"' if self.labels else ""
        lines = [
            f'name: "{self.name}"',
            f'backend: "{backend}"',
            f"max_batch_size: {self.max_batch_size}",
            *(f"input {{ {_described(tensor)}{optional} }}" for tensor in self.inputs),
            *(f"output {{ {_described(tensor)}{labels} }}" for tensor in self.outputs),
            *(f'parameters {{ key: "{k}" value {{ string_value: "{v}" }} }}' for k, v in self.parameters.items()),
            self.more,
        ]
        return "\n".join(lines) + "\n"


def _identity(name: str, datatype: str, dims: tuple[int, ...], max_batch_size: int = 0, **others: object) -> Model:
    source, result = Tensor("INPUT0", datatype, dims), Tensor("OUTPUT0", datatype, dims)
    return Model(name, (source,), (result,), max_batch_size, **others)  # type: ignore[arg-type]


_ONE_INSTANCE = "instance_group { count: 1 kind: KIND_CPU }"

MODELS = (
    Model(  # every datatype, any length, in batches
        "every",
        [Tensor(f"IN_{datatype}", datatype, (-1,)) for datatype in DATATYPES],
        [Tensor(f"OUT_{datatype}", datatype, (-1,)) for datatype in DATATYPES],
        max_batch_size=4,
        optional=True,
        labels=("cat", "dog"),
    ),
    _identity("fixed", "FP32", (4,), labels=("cat", "dog")),
    _identity("batched", "FP32", (16,), 8, more="dynamic_batching { }"),
    _identity("counted", "FP32", (2,), 8),
    _identity("matrix", "FP32", (2, -1), 4),
    _identity("plane", "FP32", (-1, -1)),
    _identity("word", "STRING", (1,), 4),
    _identity("text", "STRING", (-1,)),
    _identity("versions", "INT32", (1,), versions=("1", "3", "10"), more="version_policy { all { } }"),
    _identity(
        "picked", "INT32", (1,), versions=("1", "2", "3"), more="version_policy { specific { versions: [ 2 ] } }"
    ),
    _identity("failing", "FP32", (1,), parameters={"kind": "fail", "message": "the model failed, as it should"}),
    _identity("broken", "FP32", (1,), parameters={"kind": "fail_load", "message": "the model does not load"}),
    _identity(
        "full",
        "FP32",
        (1,),
        8,
        parameters={"kind": "delay", "delay_us": "200000"},
        more=f"dynamic_batching {{ default_queue_policy {{ max_queue_size: 1 }} }} {_ONE_INSTANCE}",
    ),
    _identity(
        "late",
        "FP32",
        (1,),
        8,
        parameters={"kind": "delay", "delay_us": "200000"},
        more=f"dynamic_batching {{ default_queue_policy {{ default_timeout_microseconds: 20000 }} }} {_ONE_INSTANCE}",
    ),
    _identity(
        "urgent",
        "FP32",
        (1,),
        8,
        parameters={"kind": "delay", "delay_us": "400000"},
        more="dynamic_batching { priority_levels: 2 default_priority_level: 2 priority_queue_policy { key: 2 value { "
        f"max_queue_size: 3 }} }} }} {_ONE_INSTANCE}",
    ),
    Model(
        "addsub",
        [Tensor("INPUT0", "INT32", (16,)), Tensor("INPUT1", "INT32", (16,))],
        [Tensor("OUTPUT0", "INT32", (16,)), Tensor("OUTPUT1", "INT32", (16,))],
        max_batch_size=8,
        code="addsub",
        more=_ONE_INSTANCE,
    ),
    Model(
        "repeat",
        [Tensor("IN", "INT32", (-1,)), Tensor("DELAY", "UINT32", (-1,)), Tensor("WAIT", "UINT32", (1,))],
        [Tensor("OUT", "INT32", (1,)), Tensor("IDX", "UINT32", (1,))],
        code="repeat",
        parameters={"kind": "repeat", "fail_value": "13", "message": "out of luck"},
        more=f"model_transaction_policy {{ decoupled: true }} {_ONE_INSTANCE}",
    ),
    Model(
        "parameters",
        [Tensor("INPUT0", "STRING", (1,))],
        [Tensor("OUTPUT0", "STRING", (1,))],
        code="parameters",
        optional=True,
        parameters={"kind": "parameters"},
        more=_ONE_INSTANCE,
    ),
)


def write_triton_repository(folder: Path) -> None:
    """Fill an empty folder for the real Triton."""
    for model in MODELS:
        _write(folder, model, "python", "model.py", (_MODELS / f"{model.code}.py").read_bytes())


def write_naiad_repository(folder: Path) -> None:
    """Fill an empty folder for Naiad."""
    for model in MODELS:
        if model.code == "addsub":
            _write(folder, model, "onnxruntime", "model.onnx", _addsub().SerializeToString())
        else:
            _write(folder, model, "builtin")


def _write(folder: Path, model: Model, backend: str, filename: str = "", content: bytes = b"") -> None:
    for version in model.versions:
        (folder / model.name / version).mkdir(parents=True)
        if filename:
            (folder / model.name / version / filename).write_bytes(content)
    (folder / model.name / "config.pbtxt").write_text(model.config(backend), encoding="utf-8")
    if model.labels:
        (folder / model.name / "labels.txt").write_text(
            "".join(f"{label}\n" for label in model.labels), encoding="utf-8"
        )


def _described(tensor: Tensor) -> str:
    return f'name: "{tensor.name}" data_type: TYPE_{tensor.datatype} dims: {list(tensor.dims)}'


def _addsub() -> onnx.ModelProto:
    names = ("INPUT0", "INPUT1"), ("OUTPUT0", "OUTPUT1")
    inputs, outputs = (
        [helper.make_tensor_value_info(name, TensorProto.INT32, ["batch", 16]) for name in group] for group in names
    )
    nodes = [helper.make_node("Add", names[0], ["OUTPUT0"]), helper.make_node("Sub", names[0], ["OUTPUT1"])]
    graph = helper.make_graph(nodes, "addsub", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
