# SPDX-License-Identifier: Apache-2.0
"""The models without a file."""

import time
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

from naiad.backends.base import BackendModel, BackendSettings, ModelFiles, Placement
from naiad.backends.builtin import BuiltinBackend
from naiad.config.proto import ModelConfig
from naiad.errors import InternalError, InvalidArgumentError

TENSORS = """
input { name: "A" data_type: TYPE_FP32 dims: 2 } input { name: "B" data_type: TYPE_STRING dims: -1 }
output { name: "C" data_type: TYPE_FP32 dims: 2 } output { name: "D" data_type: TYPE_STRING dims: -1 }
"""


def config_of(text: str = "", tensors: str = TENSORS, **parameters: str) -> ModelConfig:
    config = text_format.Parse(tensors + text, ModelConfig(name="m", backend="builtin"))
    for key, value in parameters.items():
        config.parameters[key].string_value = value
    return config


def opened(config: ModelConfig, tmp_path: Path) -> BackendModel:
    """Open a model of which no file is there."""
    return BuiltinBackend().open(ModelFiles(tmp_path / "m", tmp_path / "m" / "1"), config, BackendSettings())


def run(config: ModelConfig, tmp_path: Path, outputs: tuple[str, ...] = ("C", "D")) -> dict[str, object]:
    model = opened(config, tmp_path)
    instance = model.create_instance(model.complete(config), Placement("m_0"))
    inputs = {"A": np.array([1.0, 2.0], np.float32), "B": np.array([b"x", b""], dtype=object)}
    results = {name: array.tolist() for name, array in instance.run(inputs, outputs).items()}
    instance.close()
    model.close()
    return results


@pytest.mark.parametrize("parameters", [{}, {"kind": "identity"}, {"kind": "delay"}])
def test_outputs_are_the_inputs_in_order(tmp_path: Path, parameters: dict[str, str]) -> None:
    assert run(config_of(**parameters), tmp_path) == {"C": [1.0, 2.0], "D": [b"x", b""]}


def test_only_the_outputs_asked_for_are_given(tmp_path: Path) -> None:
    assert run(config_of(), tmp_path, ("D",)) == {"D": [b"x", b""]}


def test_an_output_without_its_input_is_refused_with_the_fix(tmp_path: Path) -> None:
    instance = opened(config_of(), tmp_path).create_instance(config_of(), Placement("m_0"))
    inputs = {"A": np.array([1.0], np.float32)}
    assert list(instance.run(inputs, ("C",))) == ["C"]
    with pytest.raises(
        InvalidArgumentError, match="input 'B' is not in the request; send it, or name in 'outputs' only"
    ):
        instance.run(inputs, ("C", "D"))


def test_a_delay_lasts_as_long_as_the_config_says(tmp_path: Path) -> None:
    start_ns = time.perf_counter_ns()
    run(config_of(kind="delay", delay_us="20000"), tmp_path)
    assert time.perf_counter_ns() - start_ns >= 20_000_000


def test_a_failing_model_loads_and_fails_each_request_with_its_message(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"^out of luck$"):
        run(config_of(kind="fail", message="out of luck"), tmp_path)


def test_a_model_that_fails_to_load_gives_its_message(tmp_path: Path) -> None:
    with pytest.raises(InternalError, match=r"^no luck today$"):
        opened(config_of(kind="fail_load", message="no luck today"), tmp_path)


def test_an_unknown_kind_is_refused_with_the_kinds_there_are(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        opened(config_of(kind="echo"), tmp_path)
    assert str(caught.value) == (
        "parameter 'kind' of model 'm' with backend 'builtin' is 'echo', expected one of: identity, delay, fail, "
        "fail_load"
    )


@pytest.mark.parametrize("delay", ["-1", "soon", "1.5", ""])
def test_a_delay_that_is_no_number_is_refused(tmp_path: Path, delay: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"'delay_us' of model 'm' is '{delay}', expected microseconds"):
        opened(config_of(kind="delay", delay_us=delay), tmp_path)


@pytest.mark.parametrize(
    "extra",
    ['output { name: "E" data_type: TYPE_FP32 dims: 2 }', 'input { name: "E" data_type: TYPE_FP32 dims: 2 }'],
)
def test_outputs_that_cannot_be_the_inputs_are_refused(tmp_path: Path, extra: str) -> None:
    config = config_of(extra)
    with pytest.raises(InvalidArgumentError, match="gives its inputs back") as caught:
        opened(config, tmp_path).complete(config)
    assert "E TYPE_FP32" in str(caught.value)


def test_completion_returns_a_copy(tmp_path: Path) -> None:
    config = config_of()
    completed = opened(config, tmp_path).complete(config)
    assert completed == config
    assert completed is not config
