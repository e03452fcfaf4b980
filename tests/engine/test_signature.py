# SPDX-License-Identifier: Apache-2.0
"""A request held against a model: what is accepted, and Triton's words for what is not."""

import math
import re
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.pbtxt import parse
from naiad.engine.signature import Signature
from naiad.errors import InvalidArgumentError
from naiad.requests import InferRequest, InputTensor, RequestedOutput
from naiad.tensors import encode_bytes

BATCHING = """
max_batch_size: 8
input [ { name: "A" data_type: TYPE_FP32 dims: [ 3 ] }, { name: "B" data_type: TYPE_FP32 dims: [ 3 ] } ]
output { name: "Y" data_type: TYPE_FP32 dims: [ 3 ] }
"""
PLAIN = """
input { name: "A" data_type: TYPE_INT32 dims: [ -1, 2 ] }
output [ { name: "Y" data_type: TYPE_INT32 dims: [ 2 ] }, { name: "Z" data_type: TYPE_INT32 dims: [ 2 ] } ]
"""
ANY = """
input { name: "A" data_type: TYPE_INT32 dims: [ -1, -1 ] }
output { name: "Y" data_type: TYPE_INT32 dims: [ -1, -1 ] }
"""
STRINGS = """
input { name: "S" data_type: TYPE_STRING dims: [ 2 ] }
output { name: "Y" data_type: TYPE_STRING dims: [ 2 ] }
"""
BATCHING_STRINGS = """
max_batch_size: 8
input { name: "S" data_type: TYPE_STRING dims: [ 1 ] }
output { name: "Y" data_type: TYPE_STRING dims: [ 1 ] }
"""
OPTIONAL = """
max_batch_size: 8
input [ { name: "A" data_type: TYPE_FP32 dims: [ 1 ] }, { name: "B" data_type: TYPE_FP32 dims: [ 1 ] optional: true } ]
output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
"""


def signature(text: str) -> Signature:
    return Signature.from_config(parse(text, "config.pbtxt"), "m")


def tensor(name: str, shape: tuple[int, ...], datatype: str = "FP32") -> InputTensor:
    dtype = {"FP32": np.float32, "INT32": np.int32}[datatype]
    count = max(int(np.prod(shape)), 0)
    return InputTensor(name, datatype, shape, np.arange(count, dtype=dtype))


def request(*inputs: InputTensor, outputs: tuple[str, ...] = (), id: str = "") -> InferRequest:  # noqa: A002
    return InferRequest("m", inputs, tuple(RequestedOutput(name) for name in outputs), id=id)


def refusal(text: str, asked: InferRequest) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        signature(text).bind(asked)
    return str(caught.value)


def test_raw_bytes_become_a_view_without_a_copy() -> None:
    raw = bytearray(np.arange(6, dtype="<i4").tobytes())
    bound = signature(PLAIN).bind(request(InputTensor("A", "INT32", (3, 2), memoryview(raw))))
    assert bound.arrays["A"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert np.shares_memory(bound.arrays["A"], np.frombuffer(raw, np.uint8))
    assert bound.rows == 1
    assert bound.outputs == ("Y", "Z")


def test_rows_are_the_first_dimension_and_do_not_count_for_the_batch_key() -> None:
    bind = signature(BATCHING).bind
    two, five = (
        bind(request(tensor("A", (2, 3)), tensor("B", (2, 3)))),
        bind(request(tensor("A", (5, 3)), tensor("B", (5, 3)))),
    )
    assert (two.rows, five.rows) == (2, 5)
    assert two.batch_key == five.batch_key


def test_different_optional_inputs_never_share_a_batch() -> None:
    bind = signature(OPTIONAL).bind
    both, one = bind(request(tensor("A", (1, 1)), tensor("B", (1, 1)))), bind(request(tensor("A", (1, 1))))
    assert both.batch_key != one.batch_key


def test_requested_outputs_keep_the_requests_order() -> None:
    assert signature(PLAIN).bind(request(tensor("A", (1, 2), "INT32"), outputs=("Z", "Y"))).outputs == ("Z", "Y")


def test_strings_are_decoded() -> None:
    raw = memoryview(encode_bytes(np.array([b"a", b""], dtype=object)))
    bound = signature(STRINGS).bind(request(InputTensor("S", "BYTES", (2,), raw)))
    assert bound.arrays["S"].tolist() == [b"a", b""]


def test_reshape_gives_the_model_its_own_dims() -> None:
    text = """
    max_batch_size: 4
    input { name: "A" data_type: TYPE_FP32 dims: [ -1, 2 ] reshape { shape: [ 1, -1, 2 ] } }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
    """
    assert signature(text).bind(request(tensor("A", (4, 5, 2)))).arrays["A"].shape == (4, 1, 5, 2)


NOTE = (
    "NOTE: Setting a non-zero max_batch_size in the model config requires a batch dimension to be prepended to each "
    "input shape. If you want to specify the full shape including the batch dim in your input dims config, try "
    "setting max_batch_size to zero. See the model configuration docs for more info on max_batch_size."
)


@pytest.mark.parametrize(
    ("config", "asked", "text"),
    [
        (
            BATCHING,
            request(tensor("A", (1, 3))),
            (
                "[request id: <id_unknown>] expected 2 inputs but got 1 inputs for model 'm'. Got input(s) ['A'], but "
                "missing required input(s) ['B']. Please provide all required input(s)."
            ),
        ),
        (
            PLAIN,
            request(tensor("A", (1, 2), "INT32"), tensor("B", (1, 2), "INT32"), id="q"),
            (
                "[request id: q] expected 1 inputs but got 2 inputs for model 'm'. Got input(s) ['B','A'], but missing "
                "required input(s) ]. Please provide all required input(s)."
            ),
        ),
        (
            OPTIONAL,
            request(),
            (
                "[request id: <id_unknown>] expected number of inputs between 1 and 2 but got 0 inputs for model 'm'. "
                "Got input(s) [], but missing required input(s) ['A']. Please provide all required input(s)."
            ),
        ),
        (PLAIN, request(tensor("X", (1, 2), "INT32")), "unexpected inference input 'X' for model 'm'"),
        (
            PLAIN,
            request(tensor("A", (1, 2), "INT32"), outputs=("Q",)),
            "unexpected inference output 'Q' for model 'm'",
        ),
        (
            BATCHING,
            request(tensor("A", (1, 3)), tensor("A", (1, 3)), id="q"),
            "[request id: q] input 'A' already exists in request",
        ),
        (
            PLAIN,
            request(tensor("A", (1, 2), "INT32"), outputs=("Y", "Y"), id="q"),
            "[request id: q] output 'Y' already exists in request",
        ),
        (
            PLAIN,
            request(tensor("A", (1, 2)), id="q"),
            "[request id: q] inference input 'A' data-type is 'FP32', but model 'm' expects 'INT32'",
        ),
        (
            PLAIN,
            request(tensor("A", (1, 3), "INT32"), id="q"),
            "[request id: q] unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [1,3]. ",
        ),
        (
            BATCHING,
            request(tensor("A", (1, 3)), tensor("B", (1, 4)), id="q"),
            f"[request id: q] unexpected shape for input 'B' for model 'm'. Expected [-1,3], got [1,4]. {NOTE}",
        ),
        (
            PLAIN,
            request(tensor("A", (3, -1, 4), "INT32"), id="q"),
            "[request id: q] unexpected shape for input 'A' for model 'm'. Expected [-1,2], got [3,-1,4]. ",
        ),
        *(
            (
                ANY,
                request(InputTensor("A", "INT32", shape, memoryview(bytes(16))), id="q"),
                f"[request id: q] All input dimensions should be specified for input 'A' for model 'm', got {listed}",
            )
            for shape, listed in (((-2, -2), "[-2,-2]"), ((4, -1), "[4,-1]"), ((-4, -1), "[-4,-1]"))
        ),
        (
            BATCHING,
            request(tensor("A", (-1, 3)), tensor("B", (-1, 3)), id="q"),
            "[request id: q] All input dimensions should be specified for input 'A' for model 'm', got [-1,3]",
        ),
        (
            PLAIN,
            request(tensor("A", (1, -1), "INT32"), id="q"),
            "[request id: q] All input dimensions should be specified for input 'A' for model 'm', got [1,-1]",
        ),
        (
            BATCHING,
            request(tensor("A", ()), tensor("B", (1, 3)), id="q"),
            "[request id: q] input 'A' has no shape but model requires batch dimension for 'm'",
        ),
        (
            BATCHING,
            request(tensor("A", (1, 3)), tensor("B", (2, 3)), id="q"),
            "[request id: q] input 'B' batch size does not match other inputs for 'm'",
        ),
        (
            BATCHING,
            request(tensor("A", (9, 3)), tensor("B", (9, 3)), id="q"),
            "[request id: q] inference request batch-size must be <= 8 for 'm'",
        ),
        (
            BATCHING,
            request(tensor("A", (0, 3)), tensor("B", (0, 3)), id="q"),
            "[request id: q] input byte size mismatch for input 'A' for model 'm'. Expected 12, got 0",
        ),
        (
            PLAIN,
            request(InputTensor("A", "INT32", (1, 2), memoryview(b"123456789")), id="q"),
            "[request id: q] input byte size mismatch for input 'A' for model 'm'. Expected 8, got 9",
        ),
        (
            STRINGS,
            request(InputTensor("S", "BYTES", (2,), memoryview(b"\x01\x00\x00\x00a")), id="q"),
            "[request id: q] expected 2 string elements for inference input 'S' for model 'm', got 1",
        ),
        (
            BATCHING_STRINGS,
            request(InputTensor("S", "BYTES", (0, 1), memoryview(b"")), id="q"),
            "[request id: q] expected 1 string elements for inference input 'S' for model 'm', got 0",
        ),
        (
            BATCHING_STRINGS,
            request(InputTensor("S", "BYTES", (0, 1), np.empty(0, object)), id="q"),
            "[request id: q] expected 1 string elements for inference input 'S' for model 'm', got 0",
        ),
        (
            BATCHING_STRINGS,
            request(InputTensor("S", "BYTES", (0, 1), memoryview(b"\x01\x00\x00\x00a")), id="q"),
            "[request id: q] inference request batch-size must be >= 1 for 'm'",
        ),
        (
            BATCHING,
            request(InputTensor("A", "FP32", (0, 3), memoryview(bytes(12))), tensor("B", (0, 3)), id="q"),
            "[request id: q] inference request batch-size must be >= 1 for 'm'",
        ),
    ],
)
def test_a_request_that_does_not_fit_is_refused_in_tritons_words(config: str, asked: InferRequest, text: str) -> None:
    assert refusal(config, asked) == text


def test_bytes_cut_short_name_the_input() -> None:
    text = refusal(STRINGS, request(InputTensor("S", "BYTES", (2,), memoryview(b"\x01\x00\x00\x00a\x01\x00"))))
    assert re.match(
        r"\[request id: <id_unknown>\] incomplete string length indicator for inference input 'S' for model 'm', "
        r"expecting 4 bytes but only 2 bytes available\. Please make sure ",
        text,
    )


def test_what_was_found_good_once_is_found_good_again_with_other_data() -> None:
    bind = signature(PLAIN).bind
    for first in (0, 10):
        raw = memoryview(np.arange(first, first + 4, dtype="<i4").tobytes())
        bound = bind(request(InputTensor("A", "INT32", (2, 2), raw), outputs=("Z",)))
        assert bound.arrays["A"].ravel().tolist() == list(range(first, first + 4))
        assert (bound.rows, bound.outputs) == (1, ("Z",))


def test_the_size_of_the_data_is_checked_however_often_the_same_was_declared() -> None:
    bind = signature(PLAIN).bind
    good = request(InputTensor("A", "INT32", (1, 2), memoryview(b"12345678")))
    for _ in range(2):
        bind(good)
    with pytest.raises(InvalidArgumentError, match="Expected 8, got 7"):
        bind(request(InputTensor("A", "INT32", (1, 2), memoryview(b"1234567"))))


def test_any_other_declaration_is_checked_anew() -> None:
    bind = signature(PLAIN).bind
    bind(request(tensor("A", (1, 2), "INT32")))
    with pytest.raises(InvalidArgumentError, match="unexpected inference output 'Q'"):
        bind(request(tensor("A", (1, 2), "INT32"), outputs=("Q",)))
    with pytest.raises(InvalidArgumentError, match="data-type is 'FP32'"):
        bind(request(tensor("A", (1, 2))))
    assert bind(request(tensor("A", (3, 2), "INT32"))).arrays["A"].shape == (3, 2)


ANY_ROWS = f"max_batch_size: 4 {ANY}"
ANY_STRINGS = ANY_ROWS.replace("INT32", "STRING")
DIMENSIONS = st.sampled_from([-2, -1, 0, 1, 2, 3, 4, -(2**63), -(2**32) + 1, 2**31, 2**63 - 1])


@given(
    st.sampled_from([ANY, ANY_ROWS, ANY_STRINGS]),
    st.lists(DIMENSIONS, min_size=1, max_size=3),
    st.sampled_from([0, 0, 0, 1]),
)
def test_any_shape_is_taken_as_it_is_or_refused(text: str, shape: list[int], surplus: int) -> None:
    count = abs(math.prod(shape)) % 512 + surplus
    data = memoryview(bytes(4 * count))  # so many integers, or strings of no bytes
    asked = InputTensor("A", "BYTES" if text is ANY_STRINGS else "INT32", tuple(shape), data)
    with suppress(InvalidArgumentError):
        array = signature(text).bind(request(asked)).arrays["A"]
        assert (array.shape, array.size) == (tuple(shape), count)


def test_what_is_remembered_is_bounded() -> None:
    held = signature(PLAIN)
    for rows in range(1, 1000):
        held.bind(request(tensor("A", (rows, 2), "INT32")))
    assert len(held.forms) <= 256
