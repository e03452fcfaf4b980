# SPDX-License-Identifier: Apache-2.0
"""Every field of a text is found on its line, and a broken text is read up to its mistake."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.location import find_line, parent_path, read_marks

_TEXT = """\
# a comment { with [ brackets
backend: "x"
input [
  { name: "a"
          "b"
    dims: [ 1,
            2 ] },
  { name: "c", dims: 3 dims: 4
    reshape: { shape: [ ] } }
]
output < name: "o" >
parameters: { key: "m"
  value { string_value: "}" } }
parameters { key: "n" }
dynamic_batching { preferred_batch_size: [4]; max_queue_delay_microseconds: 3 }
max_batch_size: 8
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("backend", 2),
        ("input", 3),
        ("input[0].name", 4),
        ("input[0].dims", 6),
        ("input[0].dims[0]", 6),
        ("input[0].dims[1]", 7),
        ("input[1]", 8),
        ("input[1].dims[1]", 8),
        ("input[1].reshape.shape", 9),
        ("output[0].name", 11),
        ("parameters[0].value.string_value", 13),
        ("parameters[1]", 14),
        ("dynamic_batching.max_queue_delay_microseconds", 15),
        ("max_batch_size", 16),
        ("input[1].data_type", 8),
        ("dynamic_batching.default_queue_policy.max_queue_size", 15),
        ("instance_group[0].gpus", 0),
    ],
)
def test_field_is_found_on_its_line_and_a_missing_one_on_that_of_what_holds_it(path: str, line: int) -> None:
    assert find_line(read_marks(_TEXT), path) == line


@pytest.mark.parametrize(
    ("path", "parent"),
    [("a[0].b[1]", "a[0].b"), ("a[0].b", "a[0]"), ("a[0]", "a"), ("a", ""), ("", "")],
)
def test_parent_is_what_holds_the_field(path: str, parent: str) -> None:
    assert parent_path(path) == parent


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        ("{{{{", ["{"]),
        ("backend: 'a' nonsense: 3 name: 'b'", ["backend", "nonsense"]),
        ("input [ 1 2", ["input", "input[0]", "input[1]"]),
        ("input: ]]]]", ["input", "input[0]", "]"]),
        ("name", ["name"]),
        ("", []),
    ],
)
def test_broken_text_is_read_up_to_its_first_unknown_field(text: str, paths: list[str]) -> None:
    assert [mark.path for mark in read_marks(text)] == paths


@given(
    st.text("{}[]<>:;,\"'ab 1\n#-", max_size=40), st.sampled_from(["", "input ", "input [ { name: ", "parameters {"])
)
def test_any_text_can_be_read(tail: str, head: str) -> None:
    marks = read_marks(head + tail)
    assert all(1 <= mark.line <= (head + tail).count("\n") + 1 for mark in marks)
