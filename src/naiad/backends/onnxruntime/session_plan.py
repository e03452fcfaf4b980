# SPDX-License-Identifier: Apache-2.0
"""Everything that makes one ONNX Runtime session differ from another, as one value made from a config.

Two instances with equal plans can share what one session cost. Pure functions. May import `base`, `config`, `errors`,
`threads`.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from naiad.backends.base import Placement
from naiad.backends.onnxruntime.parameters import choice, string_parameters, switch, whole_number
from naiad.backends.onnxruntime.providers import CUDA, Provider, choose_providers
from naiad.backends.threads import intra_op_threads
from naiad.config.completion import CPU_INSTANCES
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.errors import InvalidArgumentError

_DEFAULT_CPU_INSTANCES = CPU_INSTANCES["onnxruntime"]

SHRINK_KEY = "memory.enable_memory_arena_shrinkage"
"""The parameter that is an option of each run, not of the session; "cpu:0;gpu:0" names the arenas."""

_Group = model_config_pb2.ModelInstanceGroup

_SPINNING_OFF = {
    # A spinning thread burns a core for the next request; with several instances it burns the others' cores.
    "session.intra_op.allow_spinning": "0",
    "session.inter_op.allow_spinning": "0",
}

SEQUENTIAL = "ORT_SEQUENTIAL"
_EXECUTION_MODES = {"0": SEQUENTIAL, "1": "ORT_PARALLEL"}

_OPTIMIZATIONS = {-1: "ORT_ENABLE_BASIC", 0: "ORT_ENABLE_ALL", 1: "ORT_ENABLE_EXTENDED", 2: "ORT_DISABLE_ALL"}
"""`optimization.graph.level` → `GraphOptimizationLevel`, as in Triton: 0 is unset, and means all."""


@dataclass(frozen=True)
class SessionPlan:
    """The options of a session. `entries` are session config entries; `warnings` is what to tell the user."""

    providers: tuple[Provider, ...]
    optimization: str
    execution_mode: str
    intra_op_threads: int
    inter_op_threads: int
    memory_arena: bool
    memory_pattern: bool
    entries: dict[str, str]
    warnings: tuple[str, ...]

    @property
    def shareable(self) -> bool:
        """Whether instances on several threads may run one session without waiting for each other.

        A session with one intra-op thread computes on the caller's thread alone. Measured on two cores with YOLOv8n
        (640², two threads): one shared session 19.5 images/s at 186 MB, two sessions 16 images/s at 220 MB; the
        weights lie in memory once.
        """
        alone_on_cpu = len(self.providers) == 1
        return alone_on_cpu and self.intra_op_threads == 1 and self.execution_mode == SEQUENTIAL

    @property
    def on_gpu(self) -> bool:
        """Whether the session needs a GPU that works."""
        return any(provider.name == CUDA for provider in self.providers)


def plan_session(
    config: ModelConfig,
    placement: Placement,
    usable_cores: int,
    available_providers: Collection[str],
    version_directory: Path,
) -> SessionPlan:
    """Return the plan for an instance of `config` at `placement`.

    Raises:
        InvalidArgumentError: a parameter or accelerator is wrong.
        UnavailableError: the placement needs a provider that the installed runtime lacks.
    """
    parameters = string_parameters(config)
    choice_of_providers = choose_providers(config, placement, available_providers, version_directory)
    on_gpu = placement.kind == "GPU"
    execution_mode = choice("execution_mode", parameters.get("execution_mode", "0"), _EXECUTION_MODES)
    return SessionPlan(
        providers=choice_of_providers.providers,
        optimization=_optimization(config),
        execution_mode=execution_mode,
        intra_op_threads=threads_per_instance(config, usable_cores),
        # With one inter-op thread ONNX Runtime turns parallel execution into sequential.
        inter_op_threads=_thread_count(
            "inter_op_thread_count", parameters, 1 if execution_mode == SEQUENTIAL else _share(config, usable_cores)
        ),
        # Without the arena YOLOv8n needs 20-40 MB more, not less: big blocks then come and go with malloc.
        memory_arena=switch("enable_mem_arena", parameters.get("enable_mem_arena", "1")),
        # A pattern plans one big block for each input shape: 35 MB more on CPU (154 MB to 187 MB) and not faster.
        memory_pattern=switch("enable_mem_pattern", parameters.get("enable_mem_pattern", "1" if on_gpu else "0")),
        entries=_SPINNING_OFF | {key: value for key, value in parameters.items() if key.startswith("session.")},
        warnings=choice_of_providers.warnings,
    )


def threads_per_instance(config: ModelConfig, usable_cores: int) -> int:
    """Return the threads an instance computes with: what `intra_op_thread_count` says, else its share of the cores.

    Raises:
        InvalidArgumentError: the parameter is no whole number.
    """
    return _thread_count("intra_op_thread_count", string_parameters(config), _share(config, usable_cores))


def instance_count(config: ModelConfig) -> int:
    """Return how many instances of the model share the cores.

    The config need not be completed yet: a count that is missing is what it will be completed to. GPU instances have
    hardly any work for the cores, and count only where there are no others.
    """
    groups = [group for group in config.instance_group if group.kind != _Group.KIND_GPU]
    if not config.instance_group:
        return _DEFAULT_CPU_INSTANCES
    return sum(_count(group) for group in groups or config.instance_group)


def _share(config: ModelConfig, usable_cores: int) -> int:
    return intra_op_threads(usable_cores, instance_count(config))


def _thread_count(key: str, parameters: Mapping[str, str], default: int) -> int:
    """Return the threads asked for; 0 leaves it to the server, as no parameter does."""
    return whole_number(key, parameters.get(key, "0")) or default


def _count(group: model_config_pb2.ModelInstanceGroup) -> int:
    return group.count or (_DEFAULT_CPU_INSTANCES if group.kind in (_Group.KIND_AUTO, _Group.KIND_CPU) else 1)


def _optimization(config: ModelConfig) -> str:
    level = config.optimization.graph.level
    if level not in _OPTIMIZATIONS:
        raise InvalidArgumentError(
            f"optimization.graph.level of model '{config.name}' is {level}, expected -1 (basic), 0 (all), 1 (extended) "
            "or 2 (none)"
        )
    return _OPTIMIZATIONS[level]
