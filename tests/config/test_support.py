# SPDX-License-Identifier: Apache-2.0
"""A model that asks for a feature that isn't there yet is told which, and where it asks."""

import pytest

from naiad.config.pbtxt import parse
from naiad.config.support import unsupported_features


@pytest.mark.parametrize(
    ("text", "feature", "field"),
    [
        ('platform: "ensemble"', "an ensemble", "platform"),
        ("ensemble_scheduling { }", "an ensemble", "ensemble_scheduling"),
        ("sequence_batching { }", "sequence batching", "sequence_batching"),
        ("response_cache { enable: true }", "the response cache", "response_cache.enable"),
        ("input { allow_ragged_batch: true }", "ragged batching", "input"),
        ("batch_input { }", "batch inputs", "batch_input"),
        ("batch_output { }", "batch outputs", "batch_output"),
        ("model_warmup { }", "model warmup", "model_warmup"),
        ('model_operations { op_library_filename: "x" }', "custom operations", "model_operations"),
        ("model_repository_agents { agents { } }", "repository agents", "model_repository_agents"),
    ],
)
def test_unsupported_feature_is_named_with_its_line(text: str, feature: str, field: str) -> None:
    text = f"# comment\n{text}"
    (problem,) = unsupported_features(parse(text, "m/config.pbtxt"), "m/config.pbtxt", text)
    assert (problem.file, problem.line, problem.field) == ("m/config.pbtxt", 2, field)
    assert problem.message == f"{feature} is not supported yet"
    assert problem.fix


@pytest.mark.parametrize(
    "text",
    [
        "",
        "max_batch_size: 4 dynamic_batching { preserve_ordering: true priority_levels: 1 default_priority_level: 1 }",
        "max_batch_size: 4 dynamic_batching { priority_levels: 3 default_priority_level: 2 }",
        "model_transaction_policy { decoupled: true } response_cache { enable: false }",
        "instance_group { rate_limiter { priority: 1 } }",
    ],
)
def test_what_is_served_or_makes_no_difference_is_no_problem(text: str) -> None:
    assert unsupported_features(parse(text, "c")) == ()
