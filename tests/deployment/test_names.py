# SPDX-License-Identifier: Apache-2.0
import pytest
from hypothesis import given
from hypothesis import strategies as st

from naiad.deployment.names import check_model_name, suggest_model_name
from naiad.errors import InvalidArgumentError


@pytest.mark.parametrize("name", ["yolo", "yolo11n", "YOLO_11-n", "my.model", "9lives", "_a"])
def test_ordinary_names_are_accepted(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize(
    ("name", "reason", "suggestion"),
    [
        ("a/b", "expected letters, digits", "a-b"),
        ("..", "expected letters, digits", "model"),
        ("my model", "expected letters, digits", "my-model"),
        (".hidden", "expected letters, digits", "hidden"),
        ("-rf", "expected letters, digits", "rf"),
        ("yolo\n", "expected letters, digits", "yolo"),
        ("größe", "expected letters, digits", "gr-e"),
        ("stats", "statistics of all models", "model"),
        ("best.pt", "a name with '.pt' in it for a file", "best-pt"),
        ("yolo_openvino_model", "a name with '_openvino_model' in it for a file", "yolo_openvino"),
    ],
)
def test_a_name_that_cannot_work_is_refused_with_one_that_can(name: str, reason: str, suggestion: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        check_model_name(name)
    assert reason in str(caught.value)
    assert str(caught.value).endswith(f"; use --name {suggestion}")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="the model name is empty"):
        check_model_name("")


@given(st.one_of(st.text(), st.from_regex(r"[a-z._-]{0,6}(\.pt|_saved_model|stats)[a-z._-]{0,6}", fullmatch=True)))
def test_a_suggestion_is_always_acceptable(text: str) -> None:
    check_model_name(suggest_model_name(text))
