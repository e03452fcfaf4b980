# SPDX-License-Identifier: Apache-2.0
"""Triton's generate extension: status, type and body of each answer must be Triton's."""

import json
from typing import Any

import pytest
from tests.conformance.conftest import Servers
from tests.conformance.wire import Request, converse

_ROW = [float(number) for number in range(16)]
_PARAMETERS: tuple[object, ...] = (1, 1.5, True, "x", None, [1], {})
_OF_ONE: dict[str, Any] = {"INPUT0": _ROW}

BODIES: dict[str, tuple[str, object]] = {
    "empty": ("batched", b""),
    "broken": ("batched", b"{"),
    "an array": ("batched", b"[]"),
    "a number": ("batched", b"1"),
    "nothing": ("batched", {}),
    "one row": ("batched", _OF_ONE),
    "two rows": ("batched", {"INPUT0": _ROW * 2}),
    "too many rows": ("batched", {"INPUT0": _ROW * 99}),
    "an id": ("batched", {"id": "7", **_OF_ONE}),
    "an id, last": ("batched", {"INPUT0": _ROW[1:], "id": "7"}),
    "an id of no rows": ("batched", {"id": "7", "INPUT0": []}),
    "a number as id": ("batched", {"id": 7, **_OF_ONE}),
    "one element": ("batched", {"INPUT0": 1.0}),
    "a nested row": ("batched", {"INPUT0": [_ROW]}),
    "texts": ("batched", {"INPUT0": ["a"] * 16}),
    "integers": ("batched", {"INPUT0": [1] * 16}),
    "null": ("batched", {"INPUT0": None}),
    "true": ("batched", {"INPUT0": True}),
    "an object": ("batched", {"INPUT0": {}}),
    "not finite": ("batched", b'{"INPUT0":[NaN,Infinity,-Infinity,0,0,0,0,0,0,0,0,0,0,0,0,0]}'),
    **{f"parameter {value!r}": ("batched", {"foo": value, **_OF_ONE}) for value in _PARAMETERS},
    "a reserved parameter": ("batched", {"triton_x": 1, **_OF_ONE}),
    "no hints": ("batched", {"timeout": "x", "priority": 1.5, "sequence_start": 1, "binary_data_output": 1, **_OF_ONE}),
    "parameters": ("batched", {"parameters": {"a": 1, "id": 5}, **_OF_ONE}),
    "parameters of another kind": ("batched", {"parameters": 1, **_OF_ONE}),
    "input in parameters": ("batched", {"parameters": _OF_ONE}),
    "input twice": ("batched", {**_OF_ONE, "parameters": _OF_ONE}),
    "input repeated": ("versions", b'{"INPUT0":5,"INPUT0":6}'),
    "input repeated, wrong": ("versions", b'{"INPUT0":[[]],"INPUT0":6}'),
    "input repeated in parameters": ("versions", b'{"parameters":{"INPUT0":5,"INPUT0":6}}'),
    "parameter repeated, first wrong": ("versions", b'{"INPUT0":5,"a":"INPUT0","b":[1],"b":2}'),
    "an input's name as a text": ("text", {"INPUT0": ["INPUT0", "a"], "INPUT": "INPUT0"}),
    "nested parameter": ("batched", {"parameters": {"n": {}}, **_OF_ONE}),
    "unknown model": ("nobody", {}),
    "unknown version": ("batched/versions/9", {}),
    "a model that fails": ("failing", {"INPUT0": 1}),
    "a decoupled model, no response": ("repeat", {"IN": [], "DELAY": [], "WAIT": 0}),
    "a decoupled model, one response": ("repeat", {"IN": 5, "DELAY": 0, "WAIT": 0, "id": "7"}),
    "a decoupled model, two responses": ("repeat", {"IN": [5, 6], "DELAY": [0, 0], "WAIT": 0}),
    "a decoupled model, an error": ("repeat", {"IN": 13, "DELAY": 0, "WAIT": 0}),
    "a decoupled model, an error first": ("repeat", {"IN": [13, 5], "DELAY": [0, 0], "WAIT": 0}),
    "a decoupled model, an error in between": ("repeat", {"IN": [5, 13, 6], "DELAY": [0, 0, 0], "WAIT": 0}),
    "a decoupled model, nothing": ("repeat", {}),
    "a fixed shape": ("fixed", {"INPUT0": [1, 2, 3, 4]}),
    "a fixed shape, twice": ("fixed", {"INPUT0": [1, 2, 3, 4] * 2}),
    **{
        f"{model} of {values!r}": (model, {"INPUT0": values})
        for model, values in (
            *(("word", "text"), ("word", "null"), ("word", ["a", "", "\N{SNOWMAN}"]), ("word", 1), ("word", [None])),
            *(("text", ["a", "b"]), ("text", "a"), ("text", []), ("text", [["a"], ["b"]])),
            *(("versions", 2**31), ("versions", [5]), ("versions", 1.5), ("versions", True), ("versions", None)),
            *(("matrix", [1, 2]), ("matrix", [1, 2, 3]), ("matrix", [0.1] * 8), ("matrix", []), ("matrix", 1)),
            *(("plane", [1, 2, 3]), ("plane", 0.1), ("plane", [])),
        )
    },
}

GOOD = {
    *("one row", "two rows", "an id", "integers", "not finite", "no hints", "parameters", "input in parameters"),
    *("parameter 1", "parameter 1.5", "parameter True", "parameter 'x'", "a reserved parameter", "a fixed shape"),
    "an input's name as a text",
    *("word of 'text'", "word of 'null'", "word of ['a', '', '\N{SNOWMAN}']"),
    *("text of ['a', 'b']", "text of 'a'", "text of []", "text of [['a'], ['b']]"),
    *("versions of 2147483648", "versions of [5]", "plane of [1, 2, 3]", "plane of 0.1", "plane of []"),
    *("matrix of [1, 2]", f"matrix of {[0.1] * 8}", "matrix of []"),
    *(f"a decoupled model, {what}" for what in ("one response", "two responses", "no response", "an error in between")),
}
"""Those that Triton answers with 200, even where the text is an error after all."""


@pytest.mark.parametrize("path", ["generate", "generate_stream"])
@pytest.mark.parametrize("name", BODIES)
def test_a_request_is_answered_as_triton_does(path: str, name: str, servers: Servers) -> None:
    model, body = BODIES[name]
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = Request("POST", f"/v2/models/{model}/{path}", sent).encoded()
    triton, naiad = (converse(port, request).answers[0] for port in (servers.triton.http, servers.naiad.http))
    assert (naiad.status, naiad.body.decode()) == (triton.status, triton.body.decode())
    assert (triton.status == 200) is (name in GOOD)
    assert naiad.headers["content-type"] == triton.headers["content-type"]


@pytest.mark.parametrize("coding", ["gzip", "identity", "", "x"])
def test_bodies_are_plain(coding: str, servers: Servers) -> None:
    headers = (("Content-Encoding", coding), ("Accept-Encoding", "gzip"))
    request = Request("POST", "/v2/models/batched/generate", json.dumps(_OF_ONE).encode(), headers).encoded()
    triton, naiad = (converse(port, request).answers[0] for port in (servers.triton.http, servers.naiad.http))
    assert (naiad.status, naiad.body) == (triton.status, triton.body)
