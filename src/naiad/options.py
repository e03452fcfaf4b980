# SPDX-License-Identifier: Apache-2.0
"""The one table of server options: the dataclass is the table.

Each field of `ServerOptions` carries a `Flag` in its metadata; defaults, command-line flags (Triton's spelling),
environment variables, help texts, value ranges and the documentation's table all come from it. Triton's flags for
things that this version cannot do are rows of the same table (`LATER_FLAGS`), so that they are refused by name.
May import `errors`, nothing else.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import NamedTuple, TypeVar

from naiad.errors import InvalidArgumentError, UnsupportedError

T = TypeVar("T")

ENVIRONMENT_PREFIX = "NAIAD_SERVE_"
ENVIRONMENT_LIST_SEPARATOR = ";"
"""Separates the values of a repeatable option in its environment variable."""

MAX_PORT = 65535
_MAX_INT = 2**31 - 1
_UNITS = {"bytes": " of bytes", "s": " of seconds", "ms": " of milliseconds"}
_LATENCIES = ("counter_latencies", "histogram_latencies", "summary_latencies")
_LEAST_ERROR = 0.0001
"""A tenth of the smallest of Triton's defaults; a smaller one would keep a lot of numbers."""
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True, slots=True)
class Flag:
    """What the table knows of an option beside its name, type and default.

    `minimum` and `maximum` are inclusive, in `unit`. `choices` lists the values that work, `later_choices` maps those
    Triton knows and this version does not to the feature they need. A `switch` takes no value. `note` is a
    notice for whoever sets the option: it is accepted, but does not do what its name promises. `tritons` is false
    for an option that Triton does not have.
    """

    group: str
    help: str
    _: KW_ONLY
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    later_choices: Mapping[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    repeatable: bool = False
    switch: bool = False
    required: bool = False
    note: str = ""
    tritons: bool = True


class BackendOption(NamedTuple):
    """One `--backend-config`; an empty `backend` means every backend."""

    backend: str
    key: str
    value: str


class Quantile(NamedTuple):
    """A quantile of a summary, 0 to 1, and by how much of the count its rank may be off."""

    quantile: float
    error: float


@dataclass(frozen=True, slots=True)
class MetricsSettings:
    """What all `--metrics-config` together ask for; the defaults are Triton's.

    `counter_latencies` are the five cumulative durations of each model, `histogram_latencies` and `summary_latencies`
    their distributions.
    """

    counter_latencies: bool = True
    histogram_latencies: bool = False
    summary_latencies: bool = False
    summary_quantiles: tuple[Quantile, ...] = (
        Quantile(0.5, 0.05),
        Quantile(0.9, 0.01),
        Quantile(0.95, 0.001),
        Quantile(0.99, 0.001),
        Quantile(0.999, 0.001),
    )


RESTRICTED_CATEGORIES = (
    "health",
    "metadata",
    "inference",
    "shared-memory",
    "model-config",
    "model-repository",
    "statistics",
    "trace",
    "logging",
)
"""Triton's categories of what a client may ask for."""


class RestrictedGroup(NamedTuple):
    """One `--http-restricted-api` or `--grpc-restricted-protocol`: `categories` open to who sends `value` as `key`."""

    categories: tuple[str, ...]
    key: str
    value: str


OptionValue = str | int | bool | BackendOption | RestrictedGroup


class LaterFlag(NamedTuple):
    """A flag of Triton's that this version does not serve.

    `feature` completes "… is not available in this version"; `accepted` are values (lower case) that ask for nothing
    and are therefore let through; `advice` is what to do about it.
    """

    name: str
    feature: str
    accepted: tuple[str, ...] = ()
    advice: str = "leave the flag out"


def _option(default: T, row: Flag) -> T:
    return field(default=default, metadata={"flag": row})


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
            "Server", "How long a stopping server waits for requests in flight.", unit="s", minimum=0, maximum=_MAX_INT
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
        4, Flag("Models", "How many models may load at the same time.", minimum=1, maximum=_MAX_INT)
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
            maximum=_MAX_INT,
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
            maximum=_MAX_INT,
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
            maximum=_MAX_INT,
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
    http_server_cert: str = _option("", Flag("HTTP", "PEM file of the server's certificate.", tritons=False))
    http_server_key: str = _option("", Flag("HTTP", "PEM file of the key to --http-server-cert.", tritons=False))
    http_root_cert: str = _option(
        "", Flag("HTTP", "PEM file of the certificates that vouch for clients.", tritons=False)
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
            maximum=_MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_max_response_pool_size: int = _option(
        _MAX_INT,
        Flag(
            "gRPC",
            "Accepted for Triton's sake: answers need no pool.",
            minimum=1,
            maximum=_MAX_INT,
            note="has no effect: answers need no pool",
        ),
    )
    grpc_use_ssl: bool = _option(False, Flag("gRPC", "Speak TLS, with --grpc-server-cert and --grpc-server-key."))
    grpc_use_ssl_mutual: bool = _option(
        False, Flag("gRPC", "Speak TLS, and let in only clients that --grpc-root-cert vouches for.")
    )
    grpc_server_cert: str = _option("", Flag("gRPC", "PEM file of the server's certificate."))
    grpc_server_key: str = _option("", Flag("gRPC", "PEM file of the key to --grpc-server-cert."))
    grpc_root_cert: str = _option("", Flag("gRPC", "PEM file of the certificates that vouch for clients."))
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
        Flag("gRPC", "After how long without a sign of life to ask for one.", unit="ms", minimum=1, maximum=_MAX_INT),
    )
    grpc_keepalive_timeout: int = _option(
        20_000,
        Flag("gRPC", "How long to wait for that sign before closing.", unit="ms", minimum=1, maximum=_MAX_INT),
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
            maximum=_MAX_INT,
        ),
    )
    grpc_http2_min_recv_ping_interval_without_data: int = _option(
        300_000,
        Flag(
            "gRPC",
            "A client that is sent nothing and pings more often than this gets a strike.",
            unit="ms",
            minimum=0,
            maximum=_MAX_INT,
        ),
    )
    grpc_http2_max_ping_strikes: int = _option(
        2, Flag("gRPC", "Connections with more strikes are closed; 0 is any number.", minimum=0, maximum=_MAX_INT)
    )
    grpc_max_connection_age: int = _option(
        0, Flag("gRPC", "Send connections of this age away; 0 is any age.", unit="ms", minimum=0, maximum=_MAX_INT)
    )
    grpc_max_connection_age_grace: int = _option(
        0,
        Flag(
            "gRPC",
            "How long calls on a connection that was sent away may go on; 0 is any time.",
            unit="ms",
            minimum=0,
            maximum=_MAX_INT,
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

    allow_metrics: bool = _option(True, Flag("Metrics", "Listen for scrapes by Prometheus."))
    metrics_address: str = _option("", Flag("Metrics", "Address to listen on; default: that of HTTP."))
    metrics_port: int = _option(
        8002, Flag("Metrics", "Port to listen on; 0 takes a free one.", minimum=0, maximum=MAX_PORT)
    )

    allow_cpu_metrics: bool = _option(
        True, Flag("Metrics", "Tell how busy the machine's CPUs are and its memory is full.")
    )
    metrics_interval_ms: int = _option(
        2000, Flag("Metrics", "How often the CPUs are asked for that.", unit="ms", minimum=1, maximum=_MAX_INT)
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

    log_verbose: int = _option(0, Flag("Logging", "Verbose level; 0 is off.", minimum=0, maximum=_MAX_INT))
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
    log_file: str = _option("", Flag("Logging", "File to append the log to; default: standard error."))

    def __post_init__(self) -> None:
        for name, row in FIELD_FLAGS.items():
            _check(name, row, getattr(self, name))
        for location in self.model_repository:
            if "://" in location:
                raise UnsupportedError(
                    f"--model-repository={location}: object stores are not available in this version of Naiad, "
                    "expected a local folder; copy the models to one"
                )
        self._check_ports()
        self._check_certificates()
        _metrics_settings(self.metrics_config)
        _check_groups("http_restricted_api", self.http_restricted_api)
        _check_groups("grpc_restricted_protocol", self.grpc_restricted_protocol)

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
        return _metrics_settings(self.metrics_config)

    def backend_options(self, backend: str) -> dict[str, str]:
        """Return the settings given for `backend`; its own win over those for every backend, later over earlier."""
        shared = {option.key: option.value for option in self.backend_config if not option.backend}
        return shared | {option.key: option.value for option in self.backend_config if option.backend == backend}


FIELD_FLAGS: Mapping[str, Flag] = {row.name: row.metadata["flag"] for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its row in the table, in the table's order."""

DEFAULTS: Mapping[str, object] = {row.name: row.default for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its default."""


def flag_name(field_name: str) -> str:
    """Return the command-line spelling of a field: `http_port` → `http-port`."""
    return field_name.replace("_", "-")


def environment_name(field_name: str) -> str:
    """Return the environment variable of a field: `http_port` → `NAIAD_SERVE_HTTP_PORT`."""
    return ENVIRONMENT_PREFIX + field_name.upper()


def parse_value(field_name: str, text: str) -> OptionValue:
    """Read one value of a field from the text of a flag or an environment variable.

    Returns:
        The value in the field's type; of a repeatable field, one element.

    Raises:
        InvalidArgumentError: the text is not a value of that field.
        UnsupportedError: it asks for something that this version does not have.
    """
    default = DEFAULTS[field_name]
    value: OptionValue = text
    if field_name == "backend_config":
        value = _parse_backend_option(text)
    elif field_name in _RESTRICTED:
        value = _parse_restricted_group(field_name, text)
    elif isinstance(default, bool):
        value = _parse_boolean(field_name, text)
    elif isinstance(default, int):
        value = _parse_integer(field_name, text)
    _check(field_name, FIELD_FLAGS[field_name], value)
    return value


def refuse_later_flag(flag: LaterFlag, value: str) -> None:
    """Refuse a flag that belongs to later work, unless its value asks for what the server does anyway.

    Raises:
        UnsupportedError: it asks for more.
    """
    if value.lower() not in flag.accepted:
        raise UnsupportedError(
            f"--{flag.name}={value}: {flag.feature} is not available in this version of Naiad; {flag.advice}"
        )


def _parse_boolean(field_name: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        raise InvalidArgumentError(f"--{flag_name(field_name)} expects true, false, 1 or 0, got '{text}'")
    return value


def _parse_integer(field_name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise InvalidArgumentError(f"--{flag_name(field_name)} expects a whole number, got '{text}'") from None


def _parse_backend_option(text: str) -> BackendOption:
    """Read `name,key=value`, or `,key=value` and `key=value` for every backend; the value may hold commas."""
    setting, equals, value = text.partition("=")
    backend, comma, key = setting.partition(",")
    if not comma:
        backend, key = "", setting
    if not equals or not key.strip():
        raise InvalidArgumentError(
            f"--backend-config expects NAME,KEY=VALUE, or KEY=VALUE for every backend, got '{text}'"
        )
    return BackendOption(backend.strip(), key.strip(), value)


def _metrics_settings(pairs: tuple[str, ...]) -> MetricsSettings:
    """Read all `--metrics-config` together.

    Raises:
        InvalidArgumentError: one is wrong.
    """
    given: dict[str, bool | tuple[Quantile, ...]] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if name == "summary_quantiles" and equals:
            given[name] = tuple(_quantile(one) for one in text.split(","))
        elif name in _LATENCIES and text.lower() in _BOOLEANS:
            given[name] = _BOOLEANS[text.lower()]
        else:
            raise InvalidArgumentError(
                f"--metrics-config={pair}: expected one of {', '.join(_LATENCIES)} with =true or =false, or "
                "summary_quantiles=0.5:0.05,0.99:0.001"
            )
    return MetricsSettings(**given)  # type: ignore[arg-type]  # each has its own type


def _quantile(text: str) -> Quantile:
    quantile, colon, error = text.partition(":")
    try:
        made = Quantile(float(quantile), float(error))
    except ValueError:
        made = None
    if not colon or made is None or not (0 <= made.quantile <= 1 and _LEAST_ERROR <= made.error <= 1):
        raise InvalidArgumentError(
            f"--metrics-config=summary_quantiles: expected QUANTILE:ERROR, a number from 0 to 1 and one from "
            f"{_LEAST_ERROR} to 1, got '{text}'; such as 0.99:0.001"
        )
    return made


_RESTRICTED = {"http_restricted_api": "api", "grpc_restricted_protocol": "protocol"}
"""Field → what Triton calls that which it restricts."""
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_HEADER_VALUE = re.compile(r"[!-~]([ -~]*[!-~])?")


def _parse_restricted_group(field_name: str, text: str) -> RestrictedGroup:
    """Read `category,category:key=value`; no message repeats the value, which is a secret."""
    categories, colon, pair = text.partition(":")
    key, equals, value = pair.partition("=")
    group = RestrictedGroup(tuple(one.strip() for one in categories.split(",")), key.strip(), value.strip())
    if not colon or not equals or not _HEADER_NAME.fullmatch(group.key) or not _HEADER_VALUE.fullmatch(group.value):
        raise InvalidArgumentError(
            f"--{flag_name(field_name)} expects CATEGORY,CATEGORY:HEADER=VALUE with a header's name and a value of "
            f"printable ASCII, got something else for '{categories.partition('=')[0]}'"
        )
    _check_groups(field_name, (group,))
    return group


def _check_groups(field_name: str, groups: Iterable[RestrictedGroup]) -> None:
    """Check that every category exists and stands in one group only; the texts are Triton's."""
    feature = _RESTRICTED[field_name]
    seen: set[str] = set()
    for category in (category for group in groups for category in group.categories):
        if category not in RESTRICTED_CATEGORIES:
            raise InvalidArgumentError(
                f"unknown restricted {feature} '{category}'; --{flag_name(field_name)} expects of "
                f"{', '.join(RESTRICTED_CATEGORIES)}"
            )
        if category in seen:
            raise InvalidArgumentError(
                f"restricted {feature} '{category}' can not be specified in multiple config groups; "
                f"name it in one --{flag_name(field_name)} only"
            )
        seen.add(category)


def _check_certificates(service: str, certificate: str, key: str, root: str | None) -> None:
    """Check that every file TLS needs was given; `root` is None where none is needed."""
    wanted = {"server-cert": certificate, "server-key": key} | ({} if root is None else {"root-cert": root})
    missing = ", ".join(f"--{service.lower()}-{flag}" for flag, file in wanted.items() if not file)
    if missing:
        raise InvalidArgumentError(f"TLS of {service} needs {missing}, expected the path of a PEM file for each")


def _check(name: str, row: Flag, value: OptionValue | tuple[OptionValue, ...]) -> None:
    """Check a value against its row; raises what `ServerOptions` raises."""
    flag = f"--{flag_name(name)}"
    if row.required and not value:
        raise InvalidArgumentError(f"{flag} is missing, expected a folder of models: {flag}=FOLDER")
    if isinstance(value, int) and row.minimum is not None and not row.minimum <= value <= (row.maximum or value):
        raise InvalidArgumentError(f"{flag} expects {value_range(row)}, got {value}")
    if row.choices and value not in row.choices:
        feature = row.later_choices.get(str(value))
        if feature is not None:
            raise UnsupportedError(
                f"{flag}={value}: {feature} is not available in this version of Naiad; use {flag}={row.choices[0]}"
            )
        raise InvalidArgumentError(f"{flag} expects one of {', '.join(row.choices)}, got '{value}'")


def value_range(row: Flag) -> str:
    """Describe the numbers a row allows: `a number from 0 to 65535`, `a number of bytes of at least 1`."""
    unit = _UNITS.get(row.unit, "")
    if row.maximum is None or row.maximum == _MAX_INT:
        return f"a number{unit} of at least {row.minimum}"
    return f"a number{unit} from {row.minimum} to {row.maximum}"


_OFF = ("false", "0")
_NO_SHARED_LIBRARIES = "install backends as Python packages, and leave the flag out"


def _later(feature: str, *names: str, accepted: tuple[str, ...] = (), advice: str = "") -> tuple[LaterFlag, ...]:
    return tuple(LaterFlag(name, feature, accepted, advice or LaterFlag._field_defaults["advice"]) for name in names)


LATER_FLAGS: Mapping[str, LaterFlag] = {
    flag.name: flag
    for flag in (
        *_later(
            "watching the repository",
            "repository-poll-secs",
            advice="restart the server after a change, and leave the flag out",
        ),
        *_later("choosing which models to load", "load-model", advice="give a repository that holds only those models"),
        *_later("naming other config files", "model-config-name", accepted=("",), advice="edit config.pbtxt"),
        *_later("trying to load again", "model-load-retry-count", accepted=("0",)),
        *_later("model namespacing", "model-namespacing", accepted=_OFF, advice="give every model its own name"),
        *_later("peer access between GPUs", "enable-peer-access", accepted=_OFF),
        *_later("forwarding headers", "http-header-forward-pattern", "grpc-header-forward-pattern", accepted=("",)),
        *_later("metrics of the GPUs", "allow-gpu-metrics", accepted=_OFF),
        *_later(
            "tracing", "trace-config", "trace-file", "trace-level", "trace-rate", "trace-count", "trace-log-frequency"
        ),
        *_later("loading Triton's shared libraries", "backend-directory", advice=_NO_SHARED_LIBRARIES),
        *_later("a repository agent", "repoagent-directory"),
        *_later("the response cache", "cache-config", "cache-directory"),
        *_later("the response cache", "response-cache-byte-size", accepted=("0",)),
        *_later("the rate limiter", "rate-limit", accepted=("off",)),
        *_later("the rate limiter", "rate-limit-resource"),
        *_later(
            "a memory pool of its own", "pinned-memory-pool-byte-size", "buffer-manager-thread-count", accepted=("0",)
        ),
        *_later(
            "managing GPU memory",
            "cuda-memory-pool-byte-size",
            "cuda-virtual-address-size",
            "min-supported-compute-capability",
            "model-load-gpu-limit",
        ),
        *_later("placing models on NUMA nodes", "host-policy"),
        *_later("the SageMaker endpoint", "allow-sagemaker", accepted=_OFF),
        *_later("the SageMaker endpoint", "sagemaker-port", "sagemaker-safe-port-range", "sagemaker-thread-count"),
        *_later("the Vertex AI endpoint", "allow-vertex-ai", accepted=_OFF),
        *_later("the Vertex AI endpoint", "vertex-ai-port", "vertex-ai-thread-count", "vertex-ai-default-model"),
    )
}
"""Triton's flags that belong to later work: flag → its row."""
