# SPDX-License-Identifier: Apache-2.0
"""Each row of Triton's table of errors, and JSON that is no request."""

import json
import math
from collections.abc import Iterator
from typing import Any

from tests.conformance.cases import FOUR, Case, as_binary, as_json, encode, infer, infer_body, output
from tests.conformance.wire import Request

_LEFT = as_json("INPUT0", "INT32", [1, 16], list(range(16)))
_BYTES = encode("FP32", [1, 2, 3, 4])
_WRONG_SHAPES = {
    "fixed": ([3], [1, 4], [4, 1], []),
    "batched": ([1, 15], [16], [0, 16], [1, 4, 4]),
    "matrix": ([1, 3, 2], [1, 2]),
    "plane": ([4],),
}
_ODD: tuple[object, ...] = (None, 1, "text", {}, [], [[]], True)
_ODD_OUTPUTS: tuple[object, ...] = (1, {}, "OUTPUT0", [1], ["OUTPUT0"], [{}], [{"name": 1}])


def cases() -> Iterator[Case]:
    yield from _errors()
    yield from _malformed()


def _errors() -> Iterator[Case]:
    for model in ("nobody", "v2", "nobody/versions/1", "fixed/versions/9", "picked/versions/1", "versions/versions/2"):
        yield Case(f"infer: unknown {model}", infer(model, FOUR), 404)
    yield Case("infer: a version", infer("versions/versions/3", as_json("INPUT0", "INT32", [1], [1])), 200)
    yield Case("infer: the largest version", infer("versions", as_json("INPUT0", "INT32", [1], [1])), 200)
    yield Case("infer: the picked version", infer("picked", as_json("INPUT0", "INT32", [1], [1])), 200)
    yield Case("infer: a version with leading zeros", infer("fixed/versions/001", FOUR), 200)
    yield Case("infer: version 0", infer("fixed/versions/0", FOUR), 404)
    yield Case("infer: a version beyond 64 bits", infer("fixed/versions/99999999999999999999", FOUR), 400)
    yield Case("infer: a model that didn't load", infer("broken", as_json("INPUT0", "FP32", [1], [1])), 404)
    yield Case(
        "infer: a version that didn't load", infer("broken/versions/1", as_json("INPUT0", "FP32", [1], [1])), 503
    )
    yield Case("infer: a decoupled model", infer("repeat", as_json("IN", "INT32", [1], [1])), 501)
    yield Case("infer: a model that fails", infer("failing", as_json("INPUT0", "FP32", [1], [1])), 500)
    named: tuple[tuple[str, dict[str, Any]], ...] = (("", {}), (" with an id", {"id": "mine"}))
    for prefix, identifier in named:
        yield Case(f"an input missing{prefix}", infer("addsub", _LEFT, **identifier), 400)
        yield Case(f"no input{prefix}", infer("addsub", **identifier), 400)
        yield Case(
            f"an input too many{prefix}", infer("fixed", FOUR, as_json("MORE", "FP32", [1], [1]), **identifier), 400
        )
        yield Case(
            f"another input{prefix}", infer("fixed", as_json("MORE", "FP32", [4], [1, 2, 3, 4]), **identifier), 400
        )
        yield Case(f"an input twice{prefix}", infer("fixed", FOUR, FOUR, **identifier), 400)
        yield Case(f"another output{prefix}", infer("fixed", FOUR, outputs=[output("MORE")], **identifier), 400)
        yield Case(f"an output twice{prefix}", infer("fixed", FOUR, outputs=[output("OUTPUT0")] * 2, **identifier), 200)
        yield Case(
            f"batch too large{prefix}",
            infer("batched", as_json("INPUT0", "FP32", [9, 16], [0] * 144), **identifier),
            400,
        )
        yield Case(
            f"no batch dimension{prefix}", infer("batched", as_json("INPUT0", "FP32", [], [1]), **identifier), 400
        )
        right = as_json("INPUT1", "INT32", [2, 16], [2] * 32)
        yield Case(f"batches differ{prefix}", infer("addsub", _LEFT, right, **identifier), 400)
    for data in ([1, 2], ["x"], "x", None):
        yield Case(
            f"an input with nothing in it, and data {data}",
            infer("plane", as_json("INPUT0", "FP32", [4, 0], data)),
            200,
        )
    nothing = as_json("IN_FP16", "FP16", [1, 0], [1])
    yield Case(
        "FP16 in JSON with nothing in it", infer("every", nothing, outputs=[output("OUT_FP16", binary_data=True)]), 200
    )
    yield Case("a datatype nobody knows with nothing in it", infer("plane", as_json("INPUT0", "FPX", [4, 0], [])), 400)
    yield Case(
        "inputs that nobody knows among optional ones", infer("every", as_json("MORE", "FP32", [1, 1], [1])), 400
    )
    for model, shapes in _WRONG_SHAPES.items():
        for shape in shapes:
            wrong = as_json("INPUT0", "FP32", shape, [1] * math.prod(shape))
            yield Case(f"shape {shape} for {model}", infer(model, wrong), 400)
    for datatype in ("INT32", "FP64", "BYTES", "BOOL"):
        value = {"BYTES": "a", "BOOL": True}.get(datatype, 1)
        yield Case(f"datatype {datatype}", infer("fixed", as_json("INPUT0", datatype, [4], [value] * 4)), 400)
    for datatype in ("FLOAT", "fp32", "TYPE_FP32", "STRING", ""):
        yield Case(f"datatype {datatype!r}", infer("fixed", as_json("INPUT0", datatype, [4], [1] * 4)), 400)
    yield Case("size against shape", infer("fixed", as_binary("INPUT0", "FP32", [4], _BYTES + b"1234")), 400)
    for elements in (3, 5, 0):
        yield Case(
            f"{elements} elements for shape [4]", infer("fixed", as_json("INPUT0", "FP32", [4], [1] * elements)), 500
        )
    unknown = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    one = as_json("INPUT0", "FP32", [4], [])
    one.fields["parameters"] = unknown
    del one.fields["data"]
    yield Case("an input in unknown shared memory", infer("fixed", one), 404)
    yield Case("an output in unknown shared memory", infer("fixed", FOUR, outputs=[output("OUTPUT0", **unknown)]), 404)


def _malformed() -> Iterator[Case]:
    """JSON that is not a request; `tests/protocol` has many more, as recorded."""
    for body, status in (
        *((b'{"inputs": [1]}', 400), (b'{"inputs": [{}]}', 400), (b'{"inputs": [], "inputs": []}', 400)),
        *((body, 500) for body in (b"{", b"[]", b"null", b"{} x", b"\0", b"\xef\xbb\xbf{}", b"// a comment\n{}")),
        *((b'{"inputs": %b}' % value, 500) for value in (b"1", b"{}", b"null", b"[],", b"[], x", b"[] {}", b"[1, 2}")),
        *(
            (b'{"id": %b}' % value, 500)
            for value in (b'"\\q"', b'"\xff"', b"01", b"1e400", b".5", b"nul", b'"open', b"'x'")
        ),
        *((b"[" * depth, 500) for depth in (101, 5000)),
    ):
        yield Case(f"JSON {body[:40]!r} of {len(body)}", infer_body("fixed", body), status)
    output_of_odd_parameters = infer("fixed", FOUR, outputs=[{"name": "OUTPUT0", "parameters": 1}])
    yield Case("outputs with parameters 1", output_of_odd_parameters, 200)
    good = FOUR.fields
    for member in ("name", "shape", "datatype", "data"):
        without = {key: value for key, value in good.items() if key != member}
        yield Case(f"input without {member}", _with_input(without), 400 if member == "data" else 500)
        for value in _ODD:
            right_kind = (member in {"name", "datatype"} and value == "text") or (member == "shape" and value == [])
            status = 400 if right_kind else 500
            yield Case(f"input with {member} {value!r}", _with_input({**good, member: value}), status)
    for shape in ([-1], ["4"], [4.0], [None], [[4]]):
        yield Case(f"input with shape {shape}", _with_input({**good, "shape": shape}), 500)
    for asked in _ODD_OUTPUTS:
        body = json.dumps({"inputs": [good], "outputs": asked}).encode()
        yield Case(f"outputs {asked!r}", infer_body("fixed", body), 500)


def _with_input(fields: dict[str, object]) -> Request:
    return infer_body("fixed", json.dumps({"inputs": [fields]}).encode())
