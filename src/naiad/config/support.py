# SPDX-License-Identifier: Apache-2.0
"""What a config may ask of Triton that this server cannot do yet.

A model that asks for it is refused with the feature's name: served without it, it would give other answers.
May import protobuf and what lies beside it.
"""

from collections.abc import Callable
from typing import NamedTuple

from naiad.config.completion import ENSEMBLE_PLATFORM
from naiad.config.location import find_line, read_marks
from naiad.config.problems import Problem
from naiad.config.proto import ModelConfig


class _Feature(NamedTuple):
    """A feature, the field that asks for it, whether a config does, and what to do (by default: drop the field)."""

    name: str
    field: str
    is_asked: Callable[[ModelConfig], bool]
    fix: str = ""


_CALL_STEPS = "serve its steps as models of their own, and call them one after another"

_UNSUPPORTED = (
    _Feature("an ensemble", "platform", lambda config: config.platform == ENSEMBLE_PLATFORM, _CALL_STEPS),
    _Feature("an ensemble", "ensemble_scheduling", lambda config: config.HasField("ensemble_scheduling"), _CALL_STEPS),
    _Feature("sequence batching", "sequence_batching", lambda config: config.HasField("sequence_batching")),
    _Feature("the response cache", "response_cache.enable", lambda config: config.response_cache.enable),
    _Feature("ragged batching", "input", lambda config: any(tensor.allow_ragged_batch for tensor in config.input)),
    _Feature("batch inputs", "batch_input", lambda config: bool(config.batch_input)),
    _Feature("batch outputs", "batch_output", lambda config: bool(config.batch_output)),
    _Feature("model warmup", "model_warmup", lambda config: bool(config.model_warmup)),
    _Feature("custom operations", "model_operations", lambda config: bool(config.model_operations.op_library_filename)),
    _Feature(
        "repository agents", "model_repository_agents", lambda config: bool(config.model_repository_agents.agents)
    ),
)


def unsupported_features(config: ModelConfig, source: str = "config.pbtxt", text: str = "") -> tuple[Problem, ...]:
    """Return a problem for each feature that `config` asks for and that is not there yet.

    Args:
        config: any config, completed or not.
        source: its file name.
        text: the file's content, from which lines are told; empty where there is none.
    """
    marks = read_marks(text)
    return tuple(
        Problem(
            file=source,
            line=find_line(marks, feature.field),
            field=feature.field,
            message=f"{feature.name} is not supported yet",
            fix=feature.fix or f"take '{feature.field.rpartition('.')[2]}' away if the model can be served without it",
        )
        for feature in _UNSUPPORTED
        if feature.is_asked(config)
    )
