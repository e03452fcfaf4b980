# SPDX-License-Identifier: Apache-2.0
"""Rows go in together and come out to whom they belong, or not at all."""

import gc
import weakref
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.scheduling.execution import Outcome, execute
from naiad.engine.signature import BoundRequest, Signature
from naiad.errors import InternalError, NaiadError, UnavailableError
from naiad.tensors import Array

Compute = Callable[[Mapping[str, Array]], Mapping[str, Array]]


class FunctionInstance:
    """An instance that computes with a function of the test."""

    def __init__(self, compute: Compute) -> None:
        self._compute = compute

    def run(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> Mapping[str, Array]:
        return self._compute(inputs)

    def close(self) -> None:
        pass


def signature(max_batch_size: int = 64) -> Signature:
    config = ModelConfig(max_batch_size=max_batch_size)
    for tensors in (config.input, config.output):
        tensors.add(name="X", data_type=model_config_pb2.TYPE_FP32, dims=[2])
    return Signature.from_config(config, "m")


def bound(array: Array) -> BoundRequest:
    return BoundRequest({"X": array}, array.shape[0], (), ("X",))


def run(compute: Compute, *arrays: Array) -> Outcome:
    return execute(FunctionInstance(compute), signature(), [bound(array) for array in arrays])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_each_request_gets_its_own_rows(rows: list[int]) -> None:
    numbers = np.arange(2 * sum(rows), dtype=np.float32).reshape(-1, 2)
    pieces = np.split(numbers, np.cumsum(rows)[:-1])
    outcome = run(lambda inputs: {"X": inputs["X"] + 1}, *pieces)
    assert not isinstance(outcome.results, NaiadError)
    for piece, (output,) in zip(pieces, outcome.results, strict=True):
        assert output.shape == piece.shape
        assert output.data.tolist() == (piece + 1).tolist()


def test_a_single_request_is_neither_copied_in_nor_out() -> None:
    array = np.zeros((1, 2), np.float32)
    outcome = run(dict, array)
    assert not isinstance(outcome.results, NaiadError)
    assert outcome.results[0][0].data is array


def test_too_few_rows_out_fail_the_batch_and_say_why() -> None:
    two = np.zeros((2, 2), np.float32)
    outcome = run(lambda inputs: {"X": inputs["X"][:3]}, two, two)
    assert isinstance(outcome.results, InternalError)
    assert str(outcome.results).startswith("output 'X' of model 'm' has shape [3, 2] for a batch of 4 rows")


def test_a_models_own_error_keeps_its_class_and_text() -> None:
    def refuse(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        raise UnavailableError("not today")

    results = run(refuse, np.zeros((1, 2), np.float32)).results
    assert isinstance(results, UnavailableError)
    assert str(results) == "not today"


def test_a_failure_holds_no_inputs() -> None:
    """Not even until the garbage collector comes by: they may be much, or views of memory that is to be unmapped."""

    def refuse(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        raise UnavailableError("not today")

    array = np.zeros((1, 2), np.float32)
    held = weakref.ref(array)
    gc.disable()
    try:
        results = run(refuse, array).results
        del array
        assert held() is None
    finally:
        gc.enable()
    assert isinstance(results, UnavailableError)


def test_an_unexpected_exception_does_not_tell_the_client_its_text() -> None:
    def fail(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        raise ValueError("/home/secret/path")

    results = run(fail, np.zeros((1, 2), np.float32)).results
    assert isinstance(results, InternalError)
    assert str(results) == "model 'm' failed with ValueError; see the server's log"


def test_a_model_that_wants_to_exit_fails_its_batch_only() -> None:
    def leave(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        raise SystemExit(3)

    results = run(leave, np.zeros((1, 2), np.float32)).results
    assert str(results) == "model 'm' failed with SystemExit; see the server's log"


def test_timings_are_in_order() -> None:
    timings = run(dict, np.zeros((1, 2), np.float32)).timings
    assert timings.start_ns <= timings.input_end_ns <= timings.infer_end_ns <= timings.output_end_ns


def test_reshaped_outputs_are_given_back_in_the_configs_dims() -> None:
    config = ModelConfig(max_batch_size=4)
    config.input.add(name="X", data_type=model_config_pb2.TYPE_FP32, dims=[2])
    config.output.add(name="X", data_type=model_config_pb2.TYPE_FP32, dims=[2]).reshape.shape.extend([1, 2])
    instance = FunctionInstance(lambda inputs: {"X": inputs["X"].reshape(-1, 1, 2)})
    outcome = execute(instance, Signature.from_config(config, "m"), [bound(np.zeros((3, 2), np.float32))])
    assert not isinstance(outcome.results, NaiadError)
    assert outcome.results[0][0].shape == (3, 2)
