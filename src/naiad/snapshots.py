# SPDX-License-Identifier: Apache-2.0
"""What may be told about the server and its models: frozen values made above, rendered by `protocol`.

May import nothing of Naiad but `tensors`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class ModelState(Enum):
    """The state of a model version, as the repository index names it."""

    UNKNOWN = "UNKNOWN"
    READY = "READY"
    UNAVAILABLE = "UNAVAILABLE"
    LOADING = "LOADING"
    UNLOADING = "UNLOADING"


@dataclass(frozen=True, slots=True)
class ServerMetadata:
    """`GET /v2`: `name` is the `--id`, `extensions` only those that work."""

    name: str
    version: str
    extensions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """A tensor of a model: KServe datatype, and shape with a leading -1 where the model batches."""

    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """`GET /v2/models/{m}`: `versions` are the ready ones, ascending.

    Shapes carry a leading -1 where the model batches. `max_batch_size` (0: no batch dimension) and `labels` (class
    labels by output name) are not printed there; the protocols need them for raw requests and for classification.
    """

    name: str
    versions: tuple[str, ...]
    platform: str
    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    max_batch_size: int = 0
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """A row of the repository index; `version` and `state` are absent for a directory that was never loaded."""

    name: str
    version: str | None = None
    state: ModelState | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SharedMemoryRegion:
    """A region of shared memory that a client has registered: bytes `offset` to `offset + size_bytes` of `key`."""

    name: str
    key: str
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CudaSharedMemoryRegion:
    """A region of a GPU's memory that a client has registered; devices are counted from 0, as CUDA does."""

    name: str
    device_id: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class LogSettings:
    """What the server logs, where and how: the values of Triton's `--log-*` options; no `file` is standard error."""

    file: str = ""
    info: bool = True
    warning: bool = True
    error: bool = True
    verbose_level: int = 0
    format: str = "default"


TRACE_LEVELS = ("TIMESTAMPS", "TENSORS")
"""What can be traced of a request, in the order in which Triton tells it."""


@dataclass(frozen=True, slots=True)
class TraceSettings:
    """Which requests are traced, and how: the values of Triton's `--trace-config`.

    No `levels` is off. One of `rate` requests is traced, `count` more in all, -1 being any number. With a
    `log_frequency` that many traces make a `file`, which gets a number behind its name. `mode` is `triton` or
    `opentelemetry`; `exporter` has the settings of the latter as they were given, by name.
    """

    levels: tuple[str, ...] = ()
    rate: int = 1000
    count: int = -1
    log_frequency: int = 0
    file: str = ""
    mode: str = "triton"
    exporter: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Duration:
    """How often a thing happened and how long all of it took, in nanoseconds."""

    count: int = 0
    ns: int = 0


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Executions of one batch size (in rows)."""

    batch_size: int
    compute_input: Duration
    compute_infer: Duration
    compute_output: Duration


@dataclass(frozen=True, slots=True)
class ResponseStatistics:
    """Responses that came as the so-manieth to their requests.

    `compute_infer` is from the response before, or the start, to when the model gave it, `compute_output` until it was
    ready to go; `success` and `fail` are both of it. `empty_response` are those that only said that there were no more,
    `cancel` those that ended a request whose client had gone.
    """

    compute_infer: Duration
    compute_output: Duration
    success: Duration
    fail: Duration
    empty_response: Duration
    cancel: Duration


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many durations were up to each of `bounds_ms` and above the bound before it, and the sum of all.

    `counts` has one more, for those above the last bound.
    """

    bounds_ms: tuple[int, ...]
    counts: tuple[int, ...]
    sum_ms: float


@dataclass(frozen=True, slots=True)
class Summary:
    """How many durations there were since the load, their sum, and recent quantiles: (0 to 1, µs or NaN) each."""

    count: int
    sum_us: int
    quantiles: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Cumulative figures of a model version since it was loaded, as Triton's statistics extension has them.

    `inference_count` counts rows, `execution_count` executions; `last_inference_ms` is epoch milliseconds, 0 if
    never. `failures` counts failed requests by Prometheus reason (REJECTED, CANCELED, BACKEND, OTHER). `first_response`
    and `summaries` (by part: request, queue, compute_input, ...) are there where `--metrics-config` asks for them.
    `responses`, of a decoupled model, are in the order of their numbers, from 0. `tags` are the config's `metric_tags`.
    """

    name: str
    version: str
    last_inference_ms: int = 0
    inference_count: int = 0
    execution_count: int = 0
    success: Duration = Duration()
    fail: Duration = Duration()
    queue: Duration = Duration()
    compute_input: Duration = Duration()
    compute_infer: Duration = Duration()
    compute_output: Duration = Duration()
    cache_hit: Duration = Duration()
    cache_miss: Duration = Duration()
    batches: tuple[BatchStatistics, ...] = ()
    responses: tuple[ResponseStatistics, ...] = ()
    failures: Mapping[str, int] = field(default_factory=dict)
    pending_request_count: int = 0
    load_duration_ns: int = 0
    first_response: Histogram | None = None
    summaries: Mapping[str, Summary] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
