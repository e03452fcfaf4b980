# SPDX-License-Identifier: Apache-2.0
"""A model version that serves: its completed config, its instances and what schedules them.

A value with a life: `load` makes one (in a loader's thread), requests go through `submit` and `cancel` (on the loop's),
`stop`, then `close` end it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from naiad.backends.base import BackendModel, Instance, Placement, RespondingInstance
from naiad.config.proto import ModelConfig, model_config_pb2
from naiad.engine.loop import Clock, Loop
from naiad.engine.pending import OnResponse, Pending
from naiad.engine.scheduling.batching import BatchPolicy, DynamicBatching, OneByOne
from naiad.engine.scheduling.instances import InstanceThread, Mailbox
from naiad.engine.scheduling.queue import RequestQueue
from naiad.engine.scheduling.responding import RespondingScheduler, RespondingThread
from naiad.engine.scheduling.scheduler import MergingScheduler, Scheduler
from naiad.engine.signature import Signature
from naiad.engine.tracing import note_start, noting_responses
from naiad.options import MetricsSettings
from naiad.requests import InferRequest
from naiad.snapshots import ModelMetadata, ModelStatistics
from naiad.telemetry.statistics import FailureReason, StatisticsRecorder
from naiad.telemetry.traces.trace import Trace


@dataclass(frozen=True, slots=True)
class EngineContext:
    """What all models of a server share: event loop, the way back to it, clock (monotonic ns), and what to count."""

    loop: Loop
    mailbox: Mailbox
    clock: Clock = time.monotonic_ns
    metrics: MetricsSettings = field(default_factory=MetricsSettings)

    @classmethod
    def on(cls, loop: Loop, metrics: MetricsSettings | None = None) -> "EngineContext":
        """Return the context of a server that lives on `loop`."""
        return cls(loop, Mailbox(loop), metrics=metrics or MetricsSettings())


class Model:
    """One loaded version of a model; each of its instances computes with `threads_per_instance` threads."""

    def __init__(
        self,
        *,
        name: str,
        version: int,
        config: ModelConfig,
        labels: Mapping[str, tuple[str, ...]],
        instances: Sequence[InstanceThread | RespondingThread],
        threads_per_instance: int,
        signature: Signature,
        context: EngineContext,
        release: Callable[[], None],
        load_duration_ns: int = 0,
    ) -> None:
        self.name = name
        self.version = str(version)
        self.config = config
        self.is_decoupled = config.model_transaction_policy.decoupled
        self.threads_per_instance = threads_per_instance
        self.metadata = _metadata(name, self.version, config, signature, labels)
        self._signature = signature
        self._instances = instances
        self._release = release
        self._clock = context.clock
        self._load_duration_ns = load_duration_ns
        self._tags = dict(config.metric_tags)
        is_streaming = self.is_decoupled and any(isinstance(one, RespondingThread) for one in instances)
        self._statistics = StatisticsRecorder(context.metrics, counts_responses=is_streaming)
        self._scheduler = self._make_scheduler(context)

    @classmethod
    def load(
        cls,
        name: str,
        version: int,
        *,
        config: ModelConfig,
        backend_model: BackendModel,
        labels: Mapping[str, tuple[str, ...]],
        context: EngineContext,
        began_ns: int | None = None,
    ) -> "Model":
        """Make the instances that the completed `config` asks for; blocks, so call it in a loader's thread.

        `labels` are the class labels by output name, `began_ns` is when the load began (monotonic ns; None: now). The
        model owns `backend_model` from here on, and closes it also when this fails.

        Raises:
            NaiadError: an instance could not be made.
        """
        began_ns = context.clock() if began_ns is None else began_ns
        signature = Signature.from_config(config, name)
        instances: list[InstanceThread | RespondingThread] = []
        is_decoupled = config.model_transaction_policy.decoupled
        try:
            for placement in placements(config):
                instance = backend_model.create_instance(config, placement)
                instances.append(_thread(placement.name, instance, signature, context.mailbox, is_decoupled))
            threads_per_instance = backend_model.threads_per_instance(config)
        except BaseException:
            _close(instances, backend_model)
            raise
        return cls(
            name=name,
            version=version,
            config=config,
            labels=labels,
            instances=instances,
            threads_per_instance=threads_per_instance,
            signature=signature,
            context=context,
            release=lambda: _close(instances, backend_model),
            load_duration_ns=context.clock() - began_ns,
        )

    def _make_scheduler(self, context: EngineContext) -> Scheduler[InstanceThread] | Scheduler[RespondingThread]:
        config = self.config
        policy, queue = _batch_policy(config), RequestQueue.from_config(config)
        keeps_order = config.dynamic_batching.preserve_ordering
        responding = [one for one in self._instances if isinstance(one, RespondingThread)]
        if responding:
            return RespondingScheduler(
                model=self.name,
                policy=policy,
                queue=queue,
                instances=responding,
                statistics=self._statistics,
                loop=context.loop,
                mailbox=context.mailbox,
                clock=context.clock,
                is_decoupled=self.is_decoupled,
                preserve_ordering=keeps_order,
            )
        return MergingScheduler(
            policy=policy,
            queue=queue,
            instances=[one for one in self._instances if isinstance(one, InstanceThread)],
            statistics=self._statistics,
            loop=context.loop,
            clock=context.clock,
            preserve_ordering=keeps_order,
        )

    @property
    def is_idle(self) -> bool:
        """Whether no request waits, is being computed, or is open for further responses."""
        return self._scheduler.is_idle

    @property
    def instance_count(self) -> int:
        """How many copies of the model compute side by side."""
        return len(self._instances)

    def statistics(self) -> ModelStatistics:
        """Return the figures since the load."""
        figures = self._statistics.snapshot(self.name, self.version, self._scheduler.queued_count, self._clock())
        return replace(figures, load_duration_ns=self._load_duration_ns, tags=self._tags)

    def submit(self, request: InferRequest, on_response: OnResponse, trace: Trace | None = None) -> Pending:
        """Check a request and schedule it; `on_response` may be called before this returns.

        What happens to it is noted in the `trace`, if there is one.

        Raises:
            InvalidArgumentError: the request does not fit the model.
            UnavailableError: the queue is full or the model is stopping.
        """
        arrived_ns = self._clock()
        bound = self._signature.bind(request)
        if trace is not None:
            note_start(trace, request, bound, self.version, arrived_ns)
            on_response = noting_responses(trace, on_response)
        pending = Pending(request, bound, self.version, on_response, arrived_ns, trace)
        self._scheduler.submit(pending)
        return pending

    def note_rejection(self) -> None:
        """Count a request that was refused before it was submitted."""
        self._statistics.record_failure(FailureReason.REJECTED, 0)

    def cancel(self, pending: Pending) -> None:
        """Forget a request whose client has gone."""
        self._scheduler.cancel(pending)

    def hold_back(self, pending: Pending, holds_back: bool) -> None:
        """Let the model wait with further responses to a request, whose client does not read, or go on."""
        self._scheduler.hold_back(pending, holds_back)

    def stop(self) -> None:
        """Accept no more requests; those accepted are served."""
        self._scheduler.stop()

    def abort(self) -> None:
        """Accept no more requests and fail those that still wait or are open for further responses."""
        self._scheduler.abort()

    def close(self) -> None:
        """End the instances' threads and release the model; blocks until running executions end."""
        self._release()


def placements(config: ModelConfig) -> Iterator[Placement]:
    """Yield where each instance of a completed config goes: `count` for each GPU named, else `count` in all."""
    for group in config.instance_group:
        kind = model_config_pb2.ModelInstanceGroup.Kind.Name(group.kind).removeprefix("KIND_")
        for device_id in group.gpus if kind == "GPU" else (0,):
            for number in range(group.count):
                yield Placement(f"{group.name}_{number}", kind, device_id)


def _thread(
    name: str, instance: Instance, signature: Signature, mailbox: Mailbox, is_decoupled: bool
) -> InstanceThread | RespondingThread:
    if isinstance(instance, RespondingInstance):
        return RespondingThread(name, instance, signature, mailbox, is_decoupled)
    return InstanceThread(name, instance, signature, mailbox)


def _close(instances: Sequence[InstanceThread | RespondingThread], backend_model: BackendModel) -> None:
    for instance in instances:
        instance.close()
    backend_model.close()


def _batch_policy(config: ModelConfig) -> BatchPolicy:
    return DynamicBatching.from_config(config) if config.HasField("dynamic_batching") else OneByOne()


def _metadata(
    name: str, version: str, config: ModelConfig, signature: Signature, labels: Mapping[str, tuple[str, ...]]
) -> ModelMetadata:
    return ModelMetadata(
        name=name,
        versions=(version,),
        platform=config.platform or config.backend,
        inputs=signature.metadata(signature.inputs),
        outputs=signature.metadata(signature.outputs),
        max_batch_size=config.max_batch_size,
        labels=labels,
    )
