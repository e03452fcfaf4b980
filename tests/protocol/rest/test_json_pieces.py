# SPDX-License-Identifier: Apache-2.0
"""A large request is the same request when it is parsed in pieces, and whatever is wrong with it has the same error."""

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.errors import NaiadError
from naiad.protocol.rest import json_pieces
from naiad.protocol.rest.request import DecodedInfer, decode_infer
from naiad.snapshots import ModelMetadata

MODEL = ModelMetadata("m", ("1",), "p", (), ())
LIMIT = 64 << 20


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut small texts too, so that a test needs no megabytes."""
    monkeypatch.setattr(json_pieces, "WORTH_BYTES", 0)
    monkeypatch.setattr(json_pieces, "_PIECE_BYTES", 32)


def decode(text: bytes) -> DecodedInfer | str:
    try:
        return decode_infer(memoryview(text), None, MODEL, "", LIMIT)
    except NaiadError as error:
        return f"{type(error).__name__}: {error}"


def decode_whole(text: bytes) -> DecodedInfer | str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_pieces, "WORTH_BYTES", LIMIT)
        return decode(text)


def check_same(text: bytes) -> None:
    """Assert that a text gives the same request, to the bit, or the same error, in pieces and whole."""
    pieces, whole = decode(text), decode_whole(text)
    if isinstance(whole, str) or isinstance(pieces, str):
        assert pieces == whole
        return
    assert pieces.encodings == whole.encodings
    assert pieces.request._replace(inputs=()) == whole.request._replace(inputs=())
    for one, other in zip(pieces.request.inputs, whole.request.inputs, strict=True):
        assert one[:3] == other[:3]
        assert type(one.data) is type(other.data)
        if isinstance(one.data, np.ndarray) and isinstance(other.data, np.ndarray):
            assert one.data.dtype == other.data.dtype
            assert one.data.tolist() == other.data.tolist() or one.data.tobytes() == other.data.tobytes()  # NaN


def request_text(data: object, count: int, datatype: str = "FP32", **more: object) -> bytes:
    entry = {"name": "X", "datatype": datatype, "shape": [count], "data": data}
    return json.dumps({"id": "1,2", "inputs": [entry], **more}).encode()


def test_long_runs_are_taken_out_of_the_text() -> None:
    document = json_pieces.loads(memoryview(request_text([*range(500)], 500)))
    assert document is not None
    arrays = [element for element in document["inputs"][0]["data"] if isinstance(element, np.ndarray)]
    assert sum(array.size for array in arrays) > 450
    assert all(array.dtype == np.int64 for array in arrays)


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.integers(-3, 300), st.floats(allow_nan=False, allow_infinity=False), st.just(0)
)
DATATYPES = st.sampled_from(["FP32", "FP64", "INT8", "INT64", "UINT8", "UINT64", "BOOL", "FP16", "BYTES"])


@given(
    st.lists(NUMBERS, min_size=20, max_size=80),
    DATATYPES,
    st.sampled_from([0, 0, -1, 1]),
    st.sampled_from([0, 0, 1, 3, 7]),
)
def test_numbers_are_the_same(numbers: list[float], datatype: str, off: int, width: int) -> None:
    rows = [numbers[at : at + width] for at in range(0, len(numbers), width)] if width else numbers
    check_same(request_text(rows, len(numbers) + off, datatype))


@given(st.lists(st.integers(0, 300), min_size=20, max_size=80), st.sampled_from(["UINT8", "INT32", "FP32", "FP64"]))
def test_integers_of_every_datatype_are_the_same(numbers: list[int], datatype: str) -> None:
    check_same(request_text(numbers, len(numbers), datatype))


@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 9), st.sampled_from([(",", ":"), (", ", ": "), (",\n\t", ":")])
)
def test_nested_arrays_are_the_same(channels: int, rows: int, columns: int, separators: tuple[str, str]) -> None:
    data = np.arange(channels * rows * columns, dtype=np.float64).reshape(1, channels, rows, columns) / 7
    entry = {"name": "X", "datatype": "FP32", "shape": [*data.shape], "data": data.tolist()}
    check_same(json.dumps({"inputs": [entry, entry], "id": "x"}, separators=separators).encode())


@given(st.integers(0, 2**32))
def test_damaged_texts_are_the_same(seed: int) -> None:
    rng = random.Random(seed)
    data = [[rng.choice((0, 1, -2.5, 1e300, 12345678)) for _ in range(5)] for _ in range(24)]
    text = bytearray(
        request_text(
            data if rng.random() < 0.7 else [number for row in data for number in row], 120, outputs=[{"name": "Y"}]
        )
    )
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text))
        text[at : at + rng.choice((0, 1, 1, 9))] = rng.choice(
            (
                b",",
                b"[",
                b"]",
                b"],[",
                b"],",
                b",[",
                b" ",
                b"",
                b"-",
                b"1",
                b'"',
                b"{",
                b"}",
                b"NaN",
                b"null",
                b"[]",
                b",,",
                b"\\",
            )
        )
    check_same(bytes(text))


@pytest.mark.parametrize(
    "text",
    [
        b'{"id":"%b","inputs":[]}' % (b"1," * 200),
        b'{"inputs":[{"name":"X","datatype":"BYTES","shape":[1],"data":["%b"]}]}' % (b"1," * 200),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[%b1],"data":[1]}]}' % (b"1," * 200),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[200],"data":[%b1]}],"other":[%b1]}'
        % (b"1," * 199, b"1," * 99),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[200],"data":[%b1' % (b"1," * 199),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[200],"data":[%b1],%b"a":1}]}' % (b"1," * 199, b"1," * 50),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[200],"data":%b1%b}]}' % (b"[" * 120, b"]" * 120),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[60],"data":[%b1]}]}' % (b"[[[[1]]]]," * 59),
        b'{"inputs":[{"name":"X","datatype":"FP32","shape":[60],"data":[%b1]}]}'
        % (b"%b1%b," % (b"[" * 60, b"]" * 60) * 59),
        b"[%b1]" % (b"1," * 200),
        b"%b1" % (b"1," * 200),
        b"1," * 200,
        b"[" * 400,
        b"," * 400,
    ],
)
def test_what_is_out_of_the_ordinary_is_the_same(text: bytes) -> None:
    check_same(text)
