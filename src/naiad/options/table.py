# SPDX-License-Identifier: Apache-2.0
"""The one table of server options: the dataclass is the table.

Each field of `ServerOptions` carries a `Flag` in its metadata; defaults, command-line flags (Triton's spelling),
environment variables, help texts, value ranges and the documentation's table all come from it. A new option is a new
field here. Triton's flags that have no field yet are in `later`. May import `errors`, `flags`, `values` and
`traces`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar

from naiad.errors import InvalidArgumentError, UnsupportedError
from naiad.options.flags import MAX_INT, MAX_PORT, Flag, check_value
from naiad.options.traces import TraceOptions, parse_trace_options
from naiad.options.values import (
    RESTRICTED_CATEGORIES,
    BackendOption,
    MetricsSettings,
    RestrictedGroup,
    check_groups,
    parse_metrics_settings,
    parse_name_pattern,
)

T = TypeVar("T")


def _option(default: T, row: Flag) -> T:
    return field(default=default, metadata={"flag": row})


def _replaced_by(setting: str) -> str:
    return f"is deprecated by Triton, write --trace-config={setting}"


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Everything that can be told to a server at start; values are checked when one is made.

    Names are those of Triton's flags with underscores for dashes. Addresses differ from Triton's default on purpose:
    a server without authentication listens on this machine only, until told otherwise.

    Raises:
        InvalidArgumentError: a value is out of its range, or two services share a port.
        UnsupportedError: a value needs a feature that this version does not have.
    """

    id: str = _option("naiad", Flag("Server", "Name of this server in the server metadata."))
    exit_timeout_secs: int = _option(
        30,
        Flag(
            "Server", "How long a stopping server waits for requests in flight.", unit="s", minimum=0, maximum=MAX_INT
        ),
    )
    allow_client_shm: bool = _option(
        False,
        Flag(
            "Server",
            "Let clients register shared memory: any that this server's user may open can be read and written.",
        ),
    )

    model_repository: tuple[str, ...] = _option(
        (),
        Flag(
            "Models",
            "Folder that holds the models; repeat it for several.",
            aliases=("model-store",),
            repeatable=True,
            required=True,
            path="folder",
        ),
    )
    exit_on_error: bool = _option(True, Flag("Models", "Exit when a model fails to load at start."))
    strict_readiness: bool = _option(True, Flag("Models", "Be ready only once every model is."))
    disable_auto_complete_config: bool = _option(
        False, Flag("Models", "Do not complete config.pbtxt from the model file.", switch=True)
    )
    strict_model_config: bool = _option(
        False, Flag("Models", "Deprecated by Triton: true means --disable-auto-complete-config.")
    )
    model_control_mode: str = _option(
        "none",
        Flag(
            "Models",
            "When models are loaded: none loads all of them at start.",
            choices=("none",),
            later_choices={"poll": "watching the repository", "explicit": "loading and unloading at run time"},
        ),
    )
    model_load_thread_count: int = _option(
        4, Flag("Models", "How many models may load at the same time.", minimum=1, maximum=MAX_INT)
    )
    backend_config: tuple[BackendOption, ...] = _option(
        (), Flag("Models", "Setting for a backend: NAME,KEY=VALUE, or KEY=VALUE for all of them.", repeatable=True)
    )

    api_key_file: str = _option(
        "",
        Flag(
            "Access",
            "Let in only requests with a key of this file, as Authorization: Bearer KEY. One key a line, lines that "
            "begin with # are comments. Server health (live, ready) and metrics stay open.",
            path="file",
            tritons=False,
        ),
    )

    max_requests_in_flight: int = _option(
        0,
        Flag(
            "Access",
            "Refuse inference requests beyond this many at a time, over all models and both protocols, as unavailable; "
            "0 is any number.",
            minimum=0,
            maximum=MAX_INT,
            tritons=False,
        ),
    )

    allow_http: bool = _option(True, Flag("HTTP", "Listen for HTTP requests."))
    http_address: str = _option(
        "127.0.0.1", Flag("HTTP", "Address to listen on; 0.0.0.0 opens the server to the network.")
    )
    http_port: int = _option(8000, Flag("HTTP", "Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT))
    reuse_http_port: bool = _option(False, Flag("HTTP", "Share the port with other processes (SO_REUSEPORT)."))
    http_thread_count: int = _option(
        8,
        Flag(
            "HTTP",
            "Accepted for Triton's sake: one event loop serves all connections.",
            minimum=1,
            maximum=MAX_INT,
            note="has no effect: one event loop serves all HTTP connections",
        ),
    )
    http_max_input_size: int = _option(
        64 * 2**20,
        Flag(
            "HTTP",
            "Largest JSON, raw or decompressed body of a request; binary tensors do not count.",
            unit="bytes",
            minimum=1,
        ),
    )
    http_max_head_size: int = _option(
        64 * 2**10, Flag("HTTP", "Largest request line and headers.", unit="bytes", minimum=1024, tritons=False)
    )
    http_max_bytes_in_flight: int = _option(
        2**30, Flag("HTTP", "Most bytes of request bodies held at a time.", unit="bytes", minimum=1, tritons=False)
    )
    http_read_timeout_secs: int = _option(
        60,
        Flag(
            "HTTP",
            "How long a request's head may take in all, and its body for every 1024 bytes.",
            unit="s",
            minimum=1,
            maximum=MAX_INT,
            tritons=False,
        ),
    )

    http_use_ssl: bool = _option(
        False,
        Flag("HTTP", "Speak TLS (https), with --http-server-cert and --http-server-key.", tritons=False),
    )
    http_use_ssl_mutual: bool = _option(
        False,
        Flag("HTTP", "Speak TLS, and let in only clients that --http-root-cert vouches for.", tritons=False),
    )
    http_server_cert: str = _option(
        "", Flag("HTTP", "PEM file of the server's certificate.", path="file", tritons=False)
    )
    http_server_key: str = _option(
        "", Flag("HTTP", "PEM file of the key to --http-server-cert.", path="file", tritons=False)
    )
    http_root_cert: str = _option(
        "", Flag("HTTP", "PEM file of the certificates that vouch for clients.", path="file", tritons=False)
    )
    http_restricted_api: tuple[RestrictedGroup, ...] = _option(
        (),
        Flag(
            "HTTP",
            "Open categories of the API only to requests with a header: CATEGORY,CATEGORY:HEADER=VALUE. Categories: "
            f"{', '.join(RESTRICTED_CATEGORIES)}.",
            repeatable=True,
        ),
    )

    http_header_forward_pattern: str = _option(
        "",
        Flag(
            "HTTP",
            "Hand headers to the model as parameters of the request: those in whose name this regular expression is "
            "found, in any case unless it begins with (?-i).",
        ),
    )

    allow_grpc: bool = _option(True, Flag("gRPC", "Listen for gRPC calls."))
    grpc_address: str = _option(
        "127.0.0.1", Flag("gRPC", "Address to listen on; 0.0.0.0 opens the server to the network.")
    )
    grpc_port: int = _option(8001, Flag("gRPC", "Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT))
    reuse_grpc_port: bool = _option(False, Flag("gRPC", "Share the port with other processes (SO_REUSEPORT)."))
    grpc_infer_thread_count: int = _option(
        2,
        Flag(
            "gRPC",
            "Accepted for Triton's sake: one event loop serves all connections.",
            minimum=2,
            maximum=128,
            note="has no effect: one event loop serves all gRPC connections",
        ),
    )
    grpc_infer_allocation_pool_size: int = _option(
        8,
        Flag(
            "gRPC",
            "Accepted for Triton's sake: answers need no pool.",
            minimum=0,
            maximum=MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_max_response_pool_size: int = _option(
        MAX_INT,
        Flag(
            "gRPC",
            "Accepted for Triton's sake: answers need no pool.",
            minimum=1,
            maximum=MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_use_ssl: bool = _option(False, Flag("gRPC", "Speak TLS, with --grpc-server-cert and --grpc-server-key."))
    grpc_use_ssl_mutual: bool = _option(
        False, Flag("gRPC", "Speak TLS, and let in only clients that --grpc-root-cert vouches for.")
    )
    grpc_server_cert: str = _option("", Flag("gRPC", "PEM file of the server's certificate.", path="file"))
    grpc_server_key: str = _option("", Flag("gRPC", "PEM file of the key to --grpc-server-cert.", path="file"))
    grpc_root_cert: str = _option("", Flag("gRPC", "PEM file of the certificates that vouch for clients.", path="file"))
    grpc_infer_response_compression_level: str = _option(
        "none",
        Flag(
            "gRPC",
            "Compress the answers to clients that understand it.",
            choices=("none", "low", "medium", "high"),
        ),
    )
    grpc_keepalive_time: int = _option(
        7_200_000,
        Flag("gRPC", "After how long without a sign of life to ask for one.", unit="ms", minimum=1, maximum=MAX_INT),
    )
    grpc_keepalive_timeout: int = _option(
        20_000,
        Flag("gRPC", "How long to wait for that sign before closing.", unit="ms", minimum=1, maximum=MAX_INT),
    )
    grpc_keepalive_permit_without_calls: bool = _option(
        False, Flag("gRPC", "Let signs of life be asked for, both ways, while no call is under way.")
    )
    grpc_http2_max_pings_without_data: int = _option(
        2,
        Flag(
            "gRPC",
            "How often to ask for a sign of life without anything else to send; 0 is any number.",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_http2_min_recv_ping_interval_without_data: int = _option(
        300_000,
        Flag(
            "gRPC",
            "A client that is sent nothing and pings more often than this gets a strike.",
            unit="ms",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_http2_max_ping_strikes: int = _option(
        2, Flag("gRPC", "Connections with more strikes are closed; 0 is any number.", minimum=0, maximum=MAX_INT)
    )
    grpc_max_connection_age: int = _option(
        0, Flag("gRPC", "Send connections of this age away; 0 is any age.", unit="ms", minimum=0, maximum=MAX_INT)
    )
    grpc_max_connection_age_grace: int = _option(
        0,
        Flag(
            "gRPC",
            "How long calls on a connection that was sent away may go on; 0 is any time.",
            unit="ms",
            minimum=0,
            maximum=MAX_INT,
        ),
    )
    grpc_max_bytes_in_flight: int = _option(
        2**30, Flag("gRPC", "Most bytes of messages held at a time.", unit="bytes", minimum=1, tritons=False)
    )
    grpc_restricted_protocol: tuple[RestrictedGroup, ...] = _option(
        (),
        Flag(
            "gRPC",
            "The same as --http-restricted-api for gRPC: CATEGORY,CATEGORY:KEY=VALUE; the metadata to send is "
            "triton-grpc-protocol-KEY.",
            repeatable=True,
        ),
    )

    grpc_header_forward_pattern: str = _option(
        "",
        Flag(
            "gRPC",
            "The same as --http-header-forward-pattern for metadata, the names of which are in lower case.",
        ),
    )

    allow_metrics: bool = _option(True, Flag("Metrics", "Listen for scrapes by Prometheus."))
    metrics_address: str = _option("", Flag("Metrics", "Address to listen on; default: that of HTTP."))
    metrics_port: int = _option(
        8002, Flag("Metrics", "Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT)
    )

    allow_cpu_metrics: bool = _option(
        True, Flag("Metrics", "Tell how busy the machine's CPUs are and its memory is full.")
    )
    allow_gpu_metrics: bool = _option(
        True,
        Flag("Metrics", "Tell the same of NVIDIA GPUs, and their power; needs a driver and pip install 'naiad[gpu]'."),
    )
    metrics_interval_ms: int = _option(
        2000, Flag("Metrics", "How often the CPUs and GPUs are asked for that.", unit="ms", minimum=1, maximum=MAX_INT)
    )
    metrics_config: tuple[str, ...] = _option(
        (),
        Flag(
            "Metrics",
            "KEY=VALUE: counter_latencies (default true), histogram_latencies and summary_latencies (default false), "
            "or summary_quantiles=QUANTILE:ERROR,...",
            repeatable=True,
        ),
    )

    log_verbose: int = _option(0, Flag("Logging", "Verbose level; 0 is off.", minimum=0, maximum=MAX_INT))
    log_info: bool = _option(True, Flag("Logging", "Log information."))
    log_warning: bool = _option(True, Flag("Logging", "Log warnings."))
    log_error: bool = _option(True, Flag("Logging", "Log errors."))
    log_format: str = _option(
        "default",
        Flag(
            "Logging",
            "Form of a log line: Triton's, Triton's with ISO 8601 times, or JSON objects with the ids of requests.",
            choices=("default", "ISO8601", "json"),
        ),
    )
    log_file: str = _option("", Flag("Logging", "File to append the log to; default: standard error.", path="file"))

    trace_config: tuple[str, ...] = _option(
        (),
        Flag(
            "Tracing",
            "What to trace: level=TIMESTAMPS, level=TENSORS; of one request in rate=N (default 1000), count=N in all. "
            "Where to: mode=triton with triton,file=PATH and triton,log-frequency=N, or mode=opentelemetry with "
            "opentelemetry,url=URL, opentelemetry,resource=KEY=VALUE and opentelemetry,bsp_...=N.",
            repeatable=True,
        ),
    )
    trace_file: str = _option(
        "",
        Flag("Tracing", "Deprecated by Triton: triton,file=PATH.", note=_replaced_by("triton,file=PATH"), path="file"),
    )
    trace_level: tuple[str, ...] = _option(
        (), Flag("Tracing", "Deprecated by Triton: level=LEVEL.", repeatable=True, note=_replaced_by("level=LEVEL"))
    )
    trace_rate: int = _option(
        1000,
        Flag("Tracing", "Deprecated by Triton: rate=N.", minimum=0, maximum=MAX_INT, note=_replaced_by("rate=N")),
    )
    trace_count: int = _option(
        -1,
        Flag("Tracing", "Deprecated by Triton: count=N.", minimum=-1, maximum=MAX_INT, note=_replaced_by("count=N")),
    )
    trace_log_frequency: int = _option(
        0,
        Flag(
            "Tracing",
            "Deprecated by Triton: triton,log-frequency=N.",
            minimum=0,
            maximum=MAX_INT,
            note=_replaced_by("triton,log-frequency=N"),
        ),
    )

    def __post_init__(self) -> None:
        for name, row in FIELD_FLAGS.items():
            check_value(name, row, getattr(self, name))
        for location in self.model_repository:
            if "://" in location:
                raise UnsupportedError(
                    f"--model-repository={location}: object stores are not available in this version of Naiad, "
                    "expected a local folder; copy the models to one"
                )
        self._check_ports()
        self._check_certificates()
        parse_metrics_settings(self.metrics_config)
        # Reading them checks them.
        _ = self.trace_options, self.http_forwarded_names, self.grpc_forwarded_names
        check_groups("http_restricted_api", self.http_restricted_api)
        check_groups("grpc_restricted_protocol", self.grpc_restricted_protocol)

    def _check_ports(self) -> None:
        services = (
            ("http", self.allow_http, self.http_address, self.http_port),
            ("grpc", self.allow_grpc, self.grpc_address, self.grpc_port),
            ("metrics", self.allow_metrics, self.effective_metrics_address, self.metrics_port),
        )
        taken: dict[tuple[str, int], str] = {}
        for name, is_allowed, address, port in services:
            if not is_allowed or port == 0:
                continue
            other = taken.setdefault((address, port), name)
            if other != name:
                raise InvalidArgumentError(
                    f"--{other}-port and --{name}-port are both {port} on {address}, expected different ports for "
                    "different services; change one of them"
                )

    def _check_certificates(self) -> None:
        if self.http_uses_tls:
            root = self.http_root_cert if self.http_use_ssl_mutual else None
            _check_certificates("HTTP", self.http_server_cert, self.http_server_key, root)
        if self.grpc_uses_tls:
            root = self.grpc_root_cert if self.grpc_use_ssl_mutual else None
            _check_certificates("gRPC", self.grpc_server_cert, self.grpc_server_key, root)

    @property
    def http_uses_tls(self) -> bool:
        """Whether HTTP speaks TLS; either flag turns it on, as those of gRPC do."""
        return self.http_use_ssl or self.http_use_ssl_mutual

    @property
    def grpc_uses_tls(self) -> bool:
        """Whether gRPC speaks TLS; as in Triton, either flag turns it on."""
        return self.grpc_use_ssl or self.grpc_use_ssl_mutual

    @property
    def http_forwarded_names(self) -> re.Pattern[bytes] | None:
        """What is found in the names of the headers that models are handed; None without a pattern."""
        return parse_name_pattern("http_header_forward_pattern", self.http_header_forward_pattern)

    @property
    def grpc_forwarded_names(self) -> re.Pattern[bytes] | None:
        """What is found in the names of the metadata that models are handed; None without a pattern."""
        return parse_name_pattern("grpc_header_forward_pattern", self.grpc_header_forward_pattern)

    @property
    def auto_complete(self) -> bool:
        """Whether configs are completed from the model files."""
        return not (self.disable_auto_complete_config or self.strict_model_config)

    @property
    def effective_metrics_address(self) -> str:
        """The address of the metrics endpoint: as in Triton that of HTTP, unless one is given."""
        return self.metrics_address or self.http_address

    @property
    def metrics_settings(self) -> MetricsSettings:
        """What the metrics are to hold; of settings given twice the last one counts."""
        return parse_metrics_settings(self.metrics_config)

    @property
    def trace_options(self) -> TraceOptions:
        """What is to be traced; `trace_config` comes before the flags that it replaces."""
        older = [
            *(f"level={level}" for level in self.trace_level),
            f"rate={self.trace_rate}",
            f"count={self.trace_count}",
            f"triton,log-frequency={self.trace_log_frequency}",
            f"triton,file={self.trace_file}",
        ]
        return parse_trace_options((*older, *self.trace_config))

    def backend_options(self, backend: str) -> dict[str, str]:
        """Return the settings given for `backend`; its own win over those for every backend, later over earlier."""
        shared = {option.key: option.value for option in self.backend_config if not option.backend}
        return shared | {option.key: option.value for option in self.backend_config if option.backend == backend}


FIELD_FLAGS: Mapping[str, Flag] = {row.name: row.metadata["flag"] for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its row in the table, in the table's order."""

DEFAULTS: Mapping[str, object] = {row.name: row.default for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its default."""


def _check_certificates(service: str, certificate: str, key: str, root: str | None) -> None:
    """Check that every file TLS needs was given; `root` is None where none is needed."""
    wanted = {"server-cert": certificate, "server-key": key} | ({} if root is None else {"root-cert": root})
    missing = ", ".join(f"--{service.lower()}-{flag}" for flag, file in wanted.items() if not file)
    if missing:
        raise InvalidArgumentError(f"TLS of {service} needs {missing}, expected the path of a PEM file for each")
