# SPDX-License-Identifier: Apache-2.0
"""A config's parameters as session options."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from naiad.backends.base import Placement
from naiad.backends.onnxruntime.providers import CPU, CUDA, OPENVINO
from naiad.backends.onnxruntime.session_plan import SessionPlan, instance_count, plan_session, threads_per_instance
from naiad.config.proto import ModelConfig
from naiad.errors import InvalidArgumentError


def config_of(text: str = "", parameters: dict[str, str] | None = None) -> ModelConfig:
    config = text_format.Parse(text, ModelConfig(name="m"))
    for key, value in (parameters or {}).items():
        config.parameters[key].string_value = value
    return config


def planned(
    text: str = "", cores: int = 8, placement: Placement | None = None, parameters: dict[str, str] | None = None
) -> SessionPlan:
    place = placement or Placement("m_0")
    return plan_session(config_of(text, parameters), place, cores, (CUDA, OPENVINO, CPU), Path("/repository/m/1"))


def test_without_parameters_instances_share_the_cores_and_nothing_spins() -> None:
    plan = planned()
    assert (plan.intra_op_threads, plan.inter_op_threads) == (4, 1)
    assert (plan.execution_mode, plan.optimization) == ("ORT_SEQUENTIAL", "ORT_ENABLE_ALL")
    assert (plan.memory_arena, plan.memory_pattern) == (True, False)
    assert plan.entries == {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 2),
        ("instance_group { kind: KIND_CPU count: 3 }", 3),
        ("instance_group { kind: KIND_CPU }", 2),
        ("instance_group { kind: KIND_AUTO }", 2),
        ("instance_group { kind: KIND_MODEL }", 1),
        ("instance_group { kind: KIND_CPU count: 1 } instance_group { kind: KIND_CPU count: 3 }", 4),
        ("instance_group { kind: KIND_CPU count: 1 } instance_group { kind: KIND_GPU count: 3 }", 1),
        ("instance_group { kind: KIND_GPU count: 3 }", 3),
    ],
)
def test_the_instances_that_share_the_cores_are_counted(text: str, count: int) -> None:
    assert instance_count(config_of(text)) == count


def test_parameters_decide_over_the_defaults() -> None:
    plan = planned(
        parameters={
            "execution_mode": "1",
            "intra_op_thread_count": "3",
            "inter_op_thread_count": "2",
            "enable_mem_arena": "0",
            "enable_mem_pattern": "1",
            "session.intra_op.allow_spinning": "1",
            "session.set_denormal_as_zero": "1",
            "other": "x",
        }
    )
    assert (plan.intra_op_threads, plan.inter_op_threads, plan.execution_mode) == (3, 2, "ORT_PARALLEL")
    assert (plan.memory_arena, plan.memory_pattern) == (False, True)
    assert plan.entries == {
        "session.intra_op.allow_spinning": "1",
        "session.inter_op.allow_spinning": "0",
        "session.set_denormal_as_zero": "1",
    }


@pytest.mark.parametrize(
    ("text", "asked", "threads"),
    [
        ("", "0", 4),
        ("", "3", 3),
        ("instance_group { kind: KIND_CPU count: 9 }", "0", 1),
        ("instance_group { kind: KIND_CPU count: 1 } instance_group { kind: KIND_GPU count: 3 }", "0", 8),
    ],
)
def test_the_number_of_threads_told_is_the_one_that_is_planned(text: str, asked: str, threads: int) -> None:
    parameters = {"intra_op_thread_count": asked}
    assert threads_per_instance(config_of(text, parameters), usable_cores=8) == threads
    assert planned(text, parameters=parameters).intra_op_threads == threads


def test_a_thread_count_of_zero_is_the_default() -> None:
    plan = planned(parameters={"intra_op_thread_count": "0", "inter_op_thread_count": "0"})
    assert (plan.intra_op_threads, plan.inter_op_threads) == (4, 1)


def test_parallel_execution_has_the_same_share_of_threads_between_operators() -> None:
    plan = planned(parameters={"execution_mode": "1"})
    assert (plan.execution_mode, plan.intra_op_threads, plan.inter_op_threads) == ("ORT_PARALLEL", 4, 4)


@pytest.mark.parametrize(
    ("level", "name"),
    [(-1, "ORT_ENABLE_BASIC"), (0, "ORT_ENABLE_ALL"), (1, "ORT_ENABLE_EXTENDED"), (2, "ORT_DISABLE_ALL")],
)
def test_graph_levels_are_tritons(level: int, name: str) -> None:
    assert planned(f"optimization {{ graph {{ level: {level} }} }}").optimization == name


def test_an_unknown_graph_level_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^optimization.graph.level of model 'm' is 3, expected -1 "):
        planned("optimization { graph { level: 3 } }")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("execution_mode", "2", "expected one of: 0 (ORT_SEQUENTIAL), 1 (ORT_PARALLEL)"),
        ("intra_op_thread_count", "many", "expected a whole number, 0 or more"),
        ("intra_op_thread_count", "-1", "expected a whole number, 0 or more"),
        ("inter_op_thread_count", "1.5", "expected a whole number, 0 or more"),
        ("enable_mem_arena", "true", "expected one of: 0, 1"),
        ("enable_mem_pattern", "", "expected one of: 0, 1"),
    ],
)
def test_a_wrong_parameter_names_key_value_and_what_is_expected(key: str, value: str, expected: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        planned(parameters={key: value})
    assert str(caught.value) == f"parameter '{key}' is '{value}', {expected}"


def test_a_session_of_one_thread_on_cpu_may_be_shared_and_no_other() -> None:
    openvino = 'optimization { execution_accelerators { cpu_execution_accelerator { name: "openvino" } } }'
    assert planned(cores=2).shareable
    assert not planned(cores=4).shareable
    assert not planned(cores=2, parameters={"execution_mode": "1"}).shareable
    assert not planned(openvino, cores=2).shareable
    assert not planned(cores=1, placement=Placement("m_0", "GPU")).shareable


def test_on_gpu_memory_patterns_stay_on() -> None:
    plan = planned(placement=Placement("m_0", "GPU", 2))
    assert plan.on_gpu
    assert plan.memory_pattern
    assert plan.providers[0].options == {"device_id": "2"}
