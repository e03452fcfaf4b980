# SPDX-License-Identifier: Apache-2.0
"""What the table's lines are written with: `Case`, requests and tensors."""

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from tests.conformance.wire import Headers, Request

_DTYPES = {
    "BOOL": "?",
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"<f{bits // 8}" for bits in (16, 32, 64)},
}


HUNG_UP = 0
"""The status of a case that Triton ends without an answer."""


@dataclass(frozen=True, slots=True)
class Case:
    """A line of the table: what is sent to both servers, and the status that Triton answers with.

    `sent` is a request or bytes of HTTP, with as many `answers` expected; `watch` compares too whether the
    connection is closed then.
    """

    name: str
    sent: Request | bytes
    status: int
    answers: int = 1
    watch: bool = False

    def encoded(self) -> bytes:
        """Return what goes over the wire."""
        return self.sent if isinstance(self.sent, bytes) else self.sent.encoded()

    @property
    def head_only(self) -> bool:
        """Whether the answer has no body."""
        return self.encoded().startswith(b"HEAD ")


class Input(NamedTuple):
    """One input of a request: its JSON object, and the bytes it has behind the JSON."""

    fields: dict[str, Any]
    binary: bytes = b""


def as_json(name: str, datatype: str, shape: Sequence[int], data: object, **fields: object) -> Input:
    """An input with its data in the JSON; `fields` are further members, or replace these."""
    return Input({"name": name, "shape": list(shape), "datatype": datatype, "data": data, **fields})


def as_binary(
    name: str, datatype: str, shape: Sequence[int], data: bytes | Sequence[Any], size: int | None = None
) -> Input:
    """An input with its data behind the JSON, `size` being what it says of their length instead of the truth."""
    binary = data if isinstance(data, bytes) else encode(datatype, data)
    parameters = {"binary_data_size": len(binary) if size is None else size}
    return Input({"name": name, "shape": list(shape), "datatype": datatype, "parameters": parameters}, binary)


def encode(datatype: str, data: Sequence[Any]) -> bytes:
    """Return tensor data in the binary form."""
    match datatype:
        case "BYTES":
            elements = [element.encode() if isinstance(element, str) else element for element in data]
            return b"".join(struct.pack("<I", len(element)) + element for element in elements)
        case "BF16":
            return (np.array(data, "<f4").view("<u4") >> 16).astype("<u2").tobytes()
        case _:
            return np.array(data, _DTYPES[datatype]).tobytes()


def output(name: str, **parameters: object) -> dict[str, Any]:
    """A requested output."""
    return {"name": name, "parameters": parameters} if parameters else {"name": name}


def infer(
    model: str,
    *inputs: Input,
    outputs: Sequence[Mapping[str, Any]] | None = None,
    headers: Headers = (),
    header_length: object = None,
    **fields: object,
) -> Request:
    """An inference request; `fields` are further members of the JSON.

    `header_length` goes into Inference-Header-Content-Length as it is; without it the header is there, and right,
    when an input is binary.
    """
    document: dict[str, Any] = {**fields, "inputs": [one.fields for one in inputs]}
    if outputs is not None:
        document["outputs"] = list(outputs)
    text, binary = json.dumps(document).encode(), b"".join(one.binary for one in inputs)
    if header_length is None and any("binary_data_size" in one.fields.get("parameters", {}) for one in inputs):
        header_length = len(text)
    return infer_body(model, text + binary, header_length, headers)


def infer_body(model: str, body: bytes, header_length: object = None, headers: Headers = ()) -> Request:
    """An inference request whose body is written by hand; `model` may go on as `m/versions/1`."""
    if header_length is not None:
        headers = (*headers, ("Inference-Header-Content-Length", str(header_length)))
    return Request("POST", f"/v2/models/{model}/infer", body, headers)


FOUR = as_json("INPUT0", "FP32", [4], [1.5, -2, 0.1, 4])
"""A good input of the model `fixed`."""
