# SPDX-License-Identifier: Apache-2.0
"""The models without a file."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from naiad.backends.base import (
    BackendModel,
    BackendSettings,
    ModelFiles,
    ModelInstance,
    ModelRequest,
    Placement,
    RespondingInstance,
)
from naiad.backends.builtin import BuiltinBackend
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.errors import InternalError, InvalidArgumentError, NaiadError
from naiad.requests import NO_PARAMETERS, ParameterValue
from naiad.tensors import Array

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
    assert isinstance(instance, ModelInstance)
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
    assert isinstance(instance, ModelInstance)
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
        "fail_load, parameters, repeat"
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


class Sent:
    """A sender that notes what was sent."""

    def __init__(self) -> None:
        self.is_cancelled = False
        self.errors: list[NaiadError] = []
        self.ended = threading.Event()
        self.responses: list[tuple[dict[str, object], dict[str, object], bool]] = []

    def send(
        self,
        outputs: Mapping[str, Array],
        parameters: Mapping[str, ParameterValue] = NO_PARAMETERS,
        final: bool = False,
    ) -> None:
        arrays = {name: (array.dtype.name, array.tolist()) for name, array in outputs.items()}
        self.responses.append((arrays, dict(parameters), final))  # type: ignore[arg-type]

    def fail(self, error: NaiadError, final: bool = True) -> None:
        self.errors.append(error)

    def close(self) -> None:
        self.responses.append(({}, {}, True))
        self.ended.set()


class TestParameters:
    def serve(self, config: ModelConfig, tmp_path: Path, **request: Any) -> Sent:
        model = opened(config, tmp_path)
        completed = model.complete(config)
        instance = model.create_instance(completed, Placement("m_0"))
        assert isinstance(instance, RespondingInstance)
        sent = Sent()
        instance.serve([ModelRequest(outputs=[output.name for output in completed.output], sender=sent, **request)])
        return sent

    def test_they_come_back_as_parameters_and_as_json(self, tmp_path: Path) -> None:
        parameters = {"a": 1, "b": "x", "c": True, "d": 1.5}
        sent = self.serve(config_of(kind="parameters", tensors=""), tmp_path, inputs={}, parameters=parameters)
        text = b'{"a":1,"b":"x","c":true,"d":1.5}'
        assert sent.responses == [({"OUTPUT0": ("object", [text])}, parameters, True)]

    def test_every_row_of_a_batch_has_them(self, tmp_path: Path) -> None:
        config = config_of("max_batch_size: 4", kind="parameters", tensors="")
        inputs = {"INPUT0": np.array([[b""]] * 3, dtype=object)}
        assert self.serve(config, tmp_path, inputs=inputs).responses == [
            ({"OUTPUT0": ("object", [[b"{}"]] * 3)}, {}, True)
        ]

    def test_inputs_may_be_any_but_outputs_are_strings(self, tmp_path: Path) -> None:
        tensors = 'input { name: "A" data_type: TYPE_FP32 dims: 2 }'
        config = config_of(kind="parameters", tensors=tensors)
        completed = opened(config, tmp_path).complete(config)
        assert [item.name for item in completed.input] == ["A"]
        assert [item.name for item in completed.output] == ["OUTPUT0"]
        config = config_of(kind="parameters", tensors=tensors + 'output { name: "B" data_type: TYPE_FP32 dims: 1 }')
        with pytest.raises(
            InvalidArgumentError, match=r"output 'B' .* expected data_type TYPE_STRING and dims \[ 1 \]"
        ):
            opened(config, tmp_path).complete(config)


class TestRepeat:
    def serve(self, tmp_path: Path, values: list[int], delays: list[int], wait: int = 0, **parameters: str) -> Sent:
        config = config_of(kind="repeat", tensors="", **parameters)
        model = opened(config, tmp_path)
        instance = model.create_instance(model.complete(config), Placement("m_0"))
        assert isinstance(instance, RespondingInstance)
        arrays = {"IN": np.array(values, np.int32), "DELAY": np.array(delays, np.uint32)}
        arrays["WAIT"] = np.array([wait], np.uint32)
        sent = Sent()
        instance.serve([ModelRequest(arrays, ("OUT", "IDX"), sent)])
        return sent

    def test_two_lines_of_config_are_enough(self, tmp_path: Path) -> None:
        config = config_of(kind="repeat", tensors="")
        completed = opened(config, tmp_path).complete(config)
        tensors = [(item.name, item.data_type, list(item.dims)) for item in completed.input]
        tensors += [(item.name, item.data_type, list(item.dims)) for item in completed.output]
        int32, uint32 = model_config_pb2.TYPE_INT32, model_config_pb2.TYPE_UINT32
        inputs = [("IN", int32, [-1]), ("DELAY", uint32, [-1]), ("WAIT", uint32, [1])]
        assert tensors == [*inputs, ("OUT", int32, [1]), ("IDX", uint32, [1])]
        assert completed.model_transaction_policy.decoupled
        assert opened(config, tmp_path).complete(completed) == completed

    @pytest.mark.parametrize("text", ["max_batch_size: 2", 'input { name: "IN" data_type: TYPE_INT64 dims: -1 }'])
    def test_a_config_that_says_otherwise_is_refused(self, tmp_path: Path, text: str) -> None:
        config = config_of(text, kind="repeat", tensors="")
        with pytest.raises(InvalidArgumentError, match="kind 'repeat' has inputs, outputs or policies of its own"):
            opened(config, tmp_path).complete(config)

    def test_each_element_is_a_response_then_comes_a_last_one_without_outputs(self, tmp_path: Path) -> None:
        sent = self.serve(tmp_path, [7, -1], [0, 1])
        assert sent.ended.wait(10)
        assert sent.responses == [
            ({"OUT": ("int32", [7]), "IDX": ("uint32", [0])}, {}, False),
            ({"OUT": ("int32", [-1]), "IDX": ("uint32", [1])}, {}, False),
            ({}, {}, True),
        ]

    def test_the_instance_is_busy_for_as_long_as_asked_and_not_for_the_delays(self, tmp_path: Path) -> None:
        start_ns = time.perf_counter_ns()
        sent = self.serve(tmp_path, [1], [60_000], wait=20)
        assert 20e6 <= time.perf_counter_ns() - start_ns < 10e9
        sent.is_cancelled = True
        assert sent.ended.wait(10)
        assert sent.responses == [({}, {}, True)]

    def test_a_value_may_stand_for_an_error(self, tmp_path: Path) -> None:
        sent = self.serve(tmp_path, [1, 13], [0, 0], fail_value="13", message="unlucky")
        assert sent.ended.wait(10)
        assert [str(error) for error in sent.errors] == ["unlucky"]
        assert len(sent.responses) == 2

    def test_elements_without_a_delay_are_refused(self, tmp_path: Path) -> None:
        sent = self.serve(tmp_path, [1, 2], [0])
        assert str(sent.errors[0]).startswith("expected IN and DELAY to have the same number of elements, got 2 and 1")

    def test_a_value_that_is_no_number_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgumentError, match="'fail_value' of model 'm' is 'x', expected a whole number"):
            opened(config_of(kind="repeat", fail_value="x"), tmp_path)
