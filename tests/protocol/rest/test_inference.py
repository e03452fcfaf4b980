# SPDX-License-Identifier: Apache-2.0
"""Requests decoded and answered by an identity model, beside what Triton 2.51 answered to the very same bytes.

`triton_infer.jsonl` holds one exchange a line, bytes as Latin-1. Floats may be spelt otherwise than by Triton
(1e+16, 10000000000000000.0), so replies that are not equal as bytes are compared as values.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from naiad.errors import NaiadError
from naiad.protocol.rest.request import decode_infer, parse_header_length
from naiad.protocol.rest.response import encode_error, encode_infer
from naiad.protocol.shared_memory import no_regions
from naiad.requests import InferRequest, InferResponse, InputTensor, OutputTensor
from naiad.snapshots import ModelMetadata, TensorMetadata
from naiad.tensors import DATATYPES, Array, decode_bytes

LABELS = {"O_X": ("cat", "dog"), "O_A": ("cat", "dog")}
SIMPLE = ("BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64", "FP16", "FP32", "FP64")


def model(name: str, max_batch_size: int, *inputs: tuple[str, str, tuple[int, ...]]) -> ModelMetadata:
    tensors = tuple(TensorMetadata(*tensor) for tensor in inputs)
    return ModelMetadata(name, ("1",), "python", tensors, (), max_batch_size)


MODELS = {
    metadata.name: metadata
    for metadata in (
        model("fixed", 0, ("X", "FP32", (4,))),
        model("vari", 0, ("X", "FP32", (-1,))),
        model("vari2", 0, ("X", "FP32", (-1, -1))),
        model("varib", 4, ("X", "FP32", (-1, 2, -1))),
        model("str1", 0, ("X", "BYTES", (1,))),
        model("str1b", 4, ("X", "BYTES", (-1, 1))),
        model("strn", 0, ("X", "BYTES", (-1,))),
        model("two", 4, ("A", "FP32", (-1, 3)), ("B", "INT32", (-1, 2))),
        model("many", 0, *((name, name, (-1,)) for name in SIMPLE), ("STRING", "BYTES", (-1,))),
    )
}
EXCHANGES = [json.loads(line) for line in Path(__file__).with_name("triton_infer.jsonl").read_text().splitlines()]


def array_of(tensor: InputTensor) -> Array:
    """Return an input's elements, as an engine would after its checks."""
    if not isinstance(tensor.data, memoryview):
        return tensor.data.reshape(tensor.shape)
    if tensor.datatype == "BYTES":
        return decode_bytes(tensor.data, tensor.shape, tensor.name, "m")
    return np.frombuffer(tensor.data, DATATYPES[tensor.datatype].dtype).reshape(tensor.shape)


def identity(request: InferRequest) -> InferResponse:
    """Answer each input X as output O_X, if it is asked for."""
    wanted = {output.name for output in request.outputs}
    outputs = tuple(
        OutputTensor(f"O_{tensor.name}", tensor.datatype, tensor.shape, array_of(tensor))
        for tensor in request.inputs
        if not wanted or f"O_{tensor.name}" in wanted
    )
    return InferResponse(request.model_name, "1", outputs, request.id)


def exchange(name: str, body: bytes, header: str | None) -> tuple[int, bytes, int | None]:
    """Return status, body and `Inference-Header-Content-Length` of the answer."""
    try:
        length = parse_header_length(None if header is None else header.encode(), len(body))
        request, encodings = decode_infer(memoryview(body), length, MODELS[name], "", 64 << 20)
        for place in encodings.shared.values():
            no_regions(place)
        buffers, json_length = encode_infer(identity(request), encodings, LABELS)
    except NaiadError as error:
        return error.http_status, encode_error(str(error)), None
    return 200, b"".join(buffers), json_length


def values(reply: bytes, json_length: int | None) -> tuple[Any, bytes]:
    end = len(reply) if json_length is None else json_length
    text = reply[:end].decode(errors="surrogateescape").replace("NaN", '"NaN"')  # which equals itself
    return json.loads(text), reply[end:]


@pytest.mark.parametrize("row", EXCHANGES, ids=[row["name"] for row in EXCHANGES])
def test_answers_what_triton_answered(row: dict[str, Any]) -> None:
    status, reply, json_length = exchange(row["model"], row["body"].encode("latin-1"), row["header_length"])
    expected_length = None if row["reply_header_length"] is None else int(row["reply_header_length"])
    expected = row["reply"].encode("latin-1")
    assert status == row["status"], reply
    if status != 200:
        assert reply == expected
    elif reply != expected:
        assert values(reply, json_length) == values(expected, expected_length)
    else:
        assert json_length == expected_length


def test_float32_is_written_as_the_exact_double_and_whole_numbers_with_a_fraction() -> None:
    body = b'{"inputs":[{"name":"X","shape":[4],"datatype":"FP32","data":[0.1,2,-0.5,16777217]}]}'
    _, reply, _ = exchange("fixed", body, None)
    assert b'"data":[0.10000000149011612,2.0,-0.5,16777216.0]' in reply
