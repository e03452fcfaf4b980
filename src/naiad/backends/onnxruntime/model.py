# SPDX-License-Identifier: Apache-2.0
"""An opened ONNX file: it completes configs and makes instances. Imports onnxruntime."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnxruntime

from naiad.backends.base import BackendSettings, ModelFiles, ModelInstance, Placement
from naiad.backends.onnxruntime.agreement import check_agreement
from naiad.backends.onnxruntime.failures import RUNTIME_ERRORS, translated
from naiad.backends.onnxruntime.instance import ConvertingInstance, OnnxInstance, needs_conversion
from naiad.backends.onnxruntime.parameters import string_parameters, whole_number
from naiad.backends.onnxruntime.providers import CUDA
from naiad.backends.onnxruntime.session_plan import (
    SHRINK_KEY,
    SessionPlan,
    plan_session,
    threads_per_instance,
)
from naiad.backends.onnxruntime.signature import artifact_tensor, signature_of
from naiad.config.completion import complete_from_signature
from naiad.config.proto import ModelConfig, copy_of, model_config_pb2
from naiad.errors import UnavailableError

_log = logging.getLogger(__name__)

_DEFAULT_MAX_BATCH_SIZE = 4
"""`default-max-batch-size` of Triton's onnxruntime_backend: for models that can batch and whose config does not say."""

_FATAL_ONLY = 4
"""ONNX Runtime's log severity: its errors come as exceptions too, its warnings by the hundred, about the graph."""


class OnnxModel:
    """One version of a model.

    The session that was opened to read the graph becomes the first instance's; instances that may share a session do.
    """

    def __init__(
        self, path: Path, files: ModelFiles, config: ModelConfig, settings: BackendSettings, package: str
    ) -> None:
        self._path = path
        self._files = files
        self._name = config.name or files.directory.name
        self._settings = settings
        self._package = package
        self._warned: set[str] = set()
        self._sessions: list[tuple[SessionPlan, onnxruntime.InferenceSession]] = []
        """Sessions the next instance of that plan may take; shared ones stay."""
        plan = self._planned(config, _first_placement(config))
        session = self._open(plan)
        self._sessions.append((plan, session))
        self._signature = signature_of(session)
        self._overridable = tuple(artifact_tensor(item) for item in session.get_overridable_initializers())
        self._metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The graph's `metadata_props`."""
        return self._metadata

    def complete(self, config: ModelConfig) -> ModelConfig:
        """Return a copy of `config` with inputs, outputs and batching read from the graph, checked against it.

        Raises:
            InvalidArgumentError: the config contradicts the graph (texts of Triton's onnxruntime_backend).
        """
        completed = copy_of(config)
        if self._settings.auto_complete:
            completed = complete_from_signature(completed, self._signature, self._default_max_batch_size(), self._name)
        check_agreement(completed, self._signature, self._name, self._overridable)
        return completed

    def create_instance(self, config: ModelConfig, placement: Placement) -> ModelInstance:
        """Make one instance, out of a session that is there or a new one.

        Raises:
            NaiadError: a parameter is wrong, the placement has no provider here, or ONNX Runtime failed.
        """
        plan = self._planned(config, placement)
        session = self._session(plan)
        repository = self._files.directory.parent
        options = _run_options(config)
        tensors = replace(self._signature, inputs=(*self._signature.inputs, *self._overridable))
        if not needs_conversion(tensors):
            return OnnxInstance(session, repository, options)
        ranks = {item.name: len(item.dims) for item in config.output if not item.HasField("reshape")}
        scalars = {tensor.name: ranks.get(tensor.name, 0) for tensor in tensors.outputs if not tensor.dims}
        return ConvertingInstance(session, repository, options, tensors, scalars)

    def threads_per_instance(self, config: ModelConfig) -> int:
        """Return how many threads each instance computes with.

        Raises:
            InvalidArgumentError: `intra_op_thread_count` is no whole number.
        """
        return threads_per_instance(config, self._settings.usable_cores)

    def close(self) -> None:
        """Let go of the sessions; each dies with the last instance that has it."""
        self._sessions.clear()

    def _default_max_batch_size(self) -> int:
        key = "default-max-batch-size"
        return whole_number(key, self._settings.options.get(key, str(_DEFAULT_MAX_BATCH_SIZE)))

    def _planned(self, config: ModelConfig, placement: Placement) -> SessionPlan:
        plan = plan_session(
            config,
            placement,
            self._settings.usable_cores,
            onnxruntime.get_available_providers(),
            self._files.version_directory,
        )
        for warning in plan.warnings:
            if warning not in self._warned:
                self._warned.add(warning)
                _log.warning("model '%s': %s", self._name, warning)
        return plan

    def _session(self, plan: SessionPlan) -> onnxruntime.InferenceSession:
        for position, (existing, session) in enumerate(self._sessions):
            if existing == plan:
                if not plan.shareable:
                    del self._sessions[position]
                return session
        session = self._open(plan)
        if plan.shareable:
            self._sessions.append((plan, session))
        return session

    def _open(self, plan: SessionPlan) -> onnxruntime.InferenceSession:
        if plan.on_gpu and hasattr(onnxruntime, "preload_dlls"):
            onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(
                self._path,
                _session_options(plan, self._name),
                providers=[(provider.name, dict(provider.options)) for provider in plan.providers],
                enable_fallback=0,  # it prints, and hides that the GPU is not used
            )
        except RUNTIME_ERRORS as error:
            raise translated(error, self._files.directory.parent, self._package) from error
        used = session.get_providers()
        if plan.on_gpu and CUDA not in used:
            raise UnavailableError(
                f"model '{self._name}' is to run on a GPU, but {CUDA} does not start here, got {', '.join(used)}; "
                "check that nvidia-smi shows the GPU and run: pip install 'onnxruntime-gpu[cuda,cudnn]', or write "
                "instance_group [ { kind: KIND_CPU } ]"
            )
        return session


def _first_placement(config: ModelConfig) -> Placement:
    """Return where the first instance will probably be, so that it can have the session opened to read the graph."""
    for group in config.instance_group:
        if group.kind == model_config_pb2.ModelInstanceGroup.KIND_GPU:
            return Placement(group.name, "GPU", next(iter(group.gpus), 0))
        break
    return Placement("")


def _session_options(plan: SessionPlan, name: str) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.logid = name
    options.log_severity_level = _FATAL_ONLY
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, plan.optimization)
    options.execution_mode = getattr(onnxruntime.ExecutionMode, plan.execution_mode)
    options.intra_op_num_threads = plan.intra_op_threads
    options.inter_op_num_threads = plan.inter_op_threads
    options.enable_cpu_mem_arena = plan.memory_arena
    options.enable_mem_pattern = plan.memory_pattern
    for key, value in plan.entries.items():
        options.add_session_config_entry(key, value)
    return options


def _run_options(config: ModelConfig) -> onnxruntime.RunOptions:
    options = onnxruntime.RunOptions()
    arenas = string_parameters(config).get(SHRINK_KEY)
    if arenas:
        options.add_run_config_entry(SHRINK_KEY, arenas)
    return options
