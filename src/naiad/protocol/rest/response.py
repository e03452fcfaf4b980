# SPDX-License-Identifier: Apache-2.0
"""`InferResponse` → the body of an HTTP response, and the body of an error.

Mirrors KServe v2's REST protocol with Triton's binary tensor data and classification extensions. Binary outputs go
out as views of the arrays, never copied.
May import `errors`, `tensors`, `requests` and `protocol`'s own modules.
"""

import math
import secrets
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import orjson

from naiad.protocol.classification import classify
from naiad.protocol.rest import tensor_json
from naiad.protocol.rest.request import OutputEncodings
from naiad.requests import InferResponse
from naiad.tensors import Array, encode_bytes

_MEMOISED_TEXTS = 512
_PIECE_ELEMENTS = 16 * 1024
"""About a millisecond of orjson, which holds the interpreter's lock meanwhile."""


class EncodedInfer(NamedTuple):
    """The body of a response: `buffers` in order, of which the first, or the first ones, are JSON.

    `json_length` is what the header `Inference-Header-Content-Length` must say, in bytes, when binary tensors
    follow; None when the body is JSON alone.
    """

    buffers: list[bytes | memoryview]
    json_length: int | None


def encode_infer(
    response: InferResponse, encodings: OutputEncodings, labels: Mapping[str, tuple[str, ...]]
) -> EncodedInfer:
    """Write a response as the client asked; `labels` are the model's class labels by output.

    Raises:
        InvalidArgumentError: an output that has no JSON form, or cannot be classified (Triton's texts).
    """
    binary = _encode_binary(response, encodings)
    if binary is not None:
        return binary
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.model_name
    document["model_version"] = response.model_version
    if response.parameters:
        document["parameters"] = response.parameters
    outputs: list[dict[str, Any]] = []
    buffers: list[bytes | memoryview] = []
    for name, datatype, shape, data in response.outputs:
        if name in encodings.classification:
            count = encodings.classification[name]
            shape, data = classify(data, datatype, count, labels.get(name, ()), encodings.batching)  # noqa: PLW2901
            datatype = "BYTES"  # noqa: PLW2901
        output: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape}
        if name in encodings.shared:
            pass  # it is where the client wanted it, of which Triton says nothing
        elif encodings.all_binary or name in encodings.binary:
            buffer = _raw(data, datatype)
            output["parameters"] = {"binary_data_size": len(buffer)}
            if buffer:
                buffers.append(buffer)
        else:
            output["data"] = tensor_json.encode(data, datatype)
        outputs.append(output)
    document["outputs"] = outputs
    texts = _dumps_in_pieces(document, outputs)
    return EncodedInfer([*texts, *buffers], sum(map(len, texts)) if buffers else None)


def _encode_binary(response: InferResponse, encodings: OutputEncodings) -> EncodedInfer | None:
    """Write a response that is binary throughout, the usual one, whose JSON is remembered; None for any other."""
    if encodings.classification or encodings.shared or response.parameters:
        return None
    declared: list[tuple[str, str, tuple[int, ...], int]] = []
    buffers: list[bytes | memoryview] = [b""]
    for name, datatype, shape, data in response.outputs:
        if not data.size or datatype == "BYTES" or not (encodings.all_binary or name in encodings.binary):
            return None
        view = data.reshape(-1).data.cast("B")
        declared.append((name, datatype, shape, len(view)))
        buffers.append(view)
    if not declared:
        return None
    buffers[0] = text = _binary_text(response.id, response.model_name, response.model_version, tuple(declared))
    return EncodedInfer(buffers, len(text))


@lru_cache(_MEMOISED_TEXTS)
def _binary_text(
    request_id: str, model: str, version: str, declared: tuple[tuple[str, str, tuple[int, ...], int], ...]
) -> bytes:
    """Return the JSON of a response whose outputs are declared by name, datatype, shape and size in bytes."""
    document: dict[str, Any] = {"id": request_id} if request_id else {}
    document |= {
        "model_name": model,
        "model_version": version,
        "outputs": [
            {"name": name, "datatype": datatype, "shape": shape, "parameters": {"binary_data_size": size_bytes}}
            for name, datatype, shape, size_bytes in declared
        ],
    }
    return orjson.dumps(document)


def _raw(data: Array, datatype: str) -> memoryview | bytes:
    if datatype == "BYTES":
        return encode_bytes(data)
    return data.reshape(-1).data.cast("B") if data.size else b""


def _dumps_in_pieces(document: dict[str, Any], outputs: list[dict[str, Any]]) -> list[bytes | memoryview]:
    """Write the response; tensors of many numbers piece by piece, so that other threads get their turn."""
    large: list[Array] = []
    mark = ""
    for output in outputs:
        data = output.get("data")
        if isinstance(data, np.ndarray) and data.size > _PIECE_ELEMENTS:
            mark = mark or secrets.token_hex(16)
            output["data"] = mark
            large.append(data)
    if not large:
        return [_dumps(document)]
    start, *rests = _dumps(document).split(b'"%b"' % mark.encode())
    texts: list[bytes | memoryview] = [start]
    for data, rest in zip(large, rests, strict=True):
        for at in range(0, data.size, _PIECE_ELEMENTS):
            piece = _dumps_numbers(data[at : at + _PIECE_ELEMENTS])
            texts += (b"," if at else b"[", memoryview(piece)[1:-1])
        texts += (b"]", rest)
    return texts


def _dumps_numbers(data: Array) -> bytes:
    if np.isfinite(data).all():
        return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    return orjson.dumps(tensor_json.encode_numbers(data.tolist()))


def _dumps(document: dict[str, Any]) -> bytes:
    """Write the response; a `null` in it tells that there may be numbers JSON does not have."""
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if b"null" not in text:
        return text
    if "parameters" in document:
        document["parameters"] = {key: _finite(value) for key, value in document["parameters"].items()}
    for output in document["outputs"]:
        data = output.get("data")
        if isinstance(data, np.ndarray) and not np.isfinite(data).all():
            output["data"] = tensor_json.encode_numbers(data.tolist())
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _finite(value: object) -> object:
    return tensor_json.encode_numbers(value) if isinstance(value, float) and not math.isfinite(value) else value


def encode_error(text: str) -> bytes:
    """Write the body of an error; what is not valid Unicode in it becomes `?`."""
    return orjson.dumps({"error": text.encode(errors="replace").decode()})
