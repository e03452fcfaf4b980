# SPDX-License-Identifier: Apache-2.0
"""Raw bodies, compression, and the length of the JSON before binary data."""

import gzip
import zlib
from collections.abc import Iterator

from tests.conformance.cases import FOUR, Case, as_binary, as_json, encode, infer, infer_body, output
from tests.conformance.wire import Request

_BYTES = encode("FP32", [1, 2, 3, 4])
_ACCEPTED = (
    *("gzip", "deflate", "identity", "*", "br", "", "GZIP", "gzip, deflate", "deflate, gzip", "br, gzip"),
    *(
        "gzip;q=0.5, deflate",
        "gzip;q=0.5, deflate;q=0.6",
        "gzip;q=0",
        "identity, gzip;q=0.9",
        "gzip, deflate, br, zstd",
    ),
)


def cases() -> Iterator[Case]:
    yield from _raw()
    yield from _compression()
    yield from _header_lengths()


def _raw() -> Iterator[Case]:
    for model, body, status in (
        ("fixed", _BYTES, 200),
        ("fixed", _BYTES[:-4], 400),
        ("fixed", _BYTES + b"abcd", 400),
        ("fixed", b"", 400),
        ("batched", _BYTES * 4, 200),
        ("batched", _BYTES * 8, 400),
        ("matrix", _BYTES, 200),
        ("matrix", _BYTES[:-4], 400),
        ("matrix", b"", 200),
        ("plane", _BYTES, 400),
        ("word", b"hello", 200),
        ("word", b"", 200),
        ("text", b"hello", 400),
        ("addsub", _BYTES, 400),
        ("every", _BYTES, 400),
    ):
        yield Case(f"raw: {len(body)} bytes to {model}", infer_body(model, body, 0), status)
    yield Case("raw: an empty body without the header", infer_body("matrix", b""), 200)
    yield Case("raw: bytes that aren't a whole number", infer_body("matrix", b"abc", 0), 400)


def _compression() -> Iterator[Case]:
    plain = infer("fixed", FOUR, outputs=[output("OUTPUT0")])
    binary = infer("fixed", as_binary("INPUT0", "FP32", [4], _BYTES), outputs=[output("OUTPUT0", binary_data=True)])
    for kind, request in {"JSON": plain, "binary": binary}.items():
        for coding, body in {
            "gzip": gzip.compress(request.body),
            "deflate": zlib.compress(request.body),
            "identity": request.body,
            "": request.body,
        }.items():
            sent = Request("POST", request.target, body, (*request.headers, ("Content-Encoding", coding)))
            yield Case(f"Content-Encoding {coding!r}, {kind}", sent, 200 if coding else 501)
        for accepted in _ACCEPTED:
            sent = Request("POST", request.target, request.body, (*request.headers, ("Accept-Encoding", accepted)))
            yield Case(f"Accept-Encoding {accepted!r}, {kind}", sent, 200)
    for coding in ("br", "compress", "gzip, deflate", "zstd", "x"):
        sent = Request("POST", plain.target, plain.body, (("Content-Encoding", coding),))
        yield Case(f"Content-Encoding {coding!r}", sent, 501)
    for coding in ("gzip", "deflate"):
        sent = Request("POST", plain.target, b"this is not compressed at all", (("Content-Encoding", coding),))
        yield Case(f"corrupt {coding}", sent, 400)
    refused = infer("fixed", as_json("INPUT0", "FP32", [5], [1] * 5), headers=(("Accept-Encoding", "gzip"),))
    yield Case("an error isn't compressed", refused, 400)
    yield Case(
        "metadata isn't compressed", Request("GET", "/v2/models/fixed", headers=(("Accept-Encoding", "gzip"),)), 200
    )
    raw = Request(
        "POST",
        plain.target,
        gzip.compress(_BYTES),
        (("Content-Encoding", "gzip"), ("Inference-Header-Content-Length", "0")),
    )
    yield Case("raw and compressed", raw, 200)


def _header_lengths() -> Iterator[Case]:
    body = plain = infer("fixed", FOUR).body
    for value, status in (
        (len(body), 200),
        (len(body) + 1, 400),
        (-1, 400),
        (5, 500),
        (2147483647, 400),
        (2147483648, 400),
        ("abc", 400),
        ("+5", 500),
        (10**20, 400),
        (-(10**20), 400),
    ):
        yield Case(f"header length {value}", infer_body("fixed", plain, value), status)
    binary = as_binary("INPUT0", "FP32", [4], _BYTES)
    longer = as_binary("INPUT0", "FP32", [4], _BYTES + b"abcd", size=16)
    shorter = as_binary("INPUT0", "FP32", [4], _BYTES[:-4], size=16)
    yield Case("bytes left over", infer("fixed", longer), 400)
    yield Case("bytes missing", infer("fixed", shorter), 400)
    yield Case("bytes and JSON left over", infer("fixed", FOUR, header_length=len(body) - 1), 500)
    yield Case("binary without the header", infer_body("fixed", infer("fixed", binary).body), 400)
    other = as_binary("INPUT0", "FP32", [4], b"\xff" * 16)
    yield Case("binary without the header, no zero byte", infer_body("fixed", infer("fixed", other).body), 500)
    for size, status in ((-1, 500), ("16", 500), (1.5, 500), (None, 500), (0, 400), (8, 400), (20, 400)):
        one = as_binary("INPUT0", "FP32", [4], _BYTES)
        one.fields["parameters"]["binary_data_size"] = size
        yield Case(f"binary_data_size {size!r}", infer("fixed", one), status)
    both = as_json("INPUT0", "FP32", [4], [1, 2, 3, 4], parameters={"binary_data_size": 16})
    yield Case("data and binary_data_size", infer("fixed", both, header_length=len(infer("fixed", both).body)), 400)
    shared = {"shared_memory_region": "r", "shared_memory_byte_size": 16}
    yield Case(
        "data and shared memory", infer("fixed", as_json("INPUT0", "FP32", [4], [1, 2, 3, 4], parameters=shared)), 400
    )
