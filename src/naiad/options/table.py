# SPDX-License-Identifier: Apache-2.0
"""The one table of server options: the dataclass is the table.

Each field of `ServerOptions` carries a `Flag` in its metadata; defaults, command-line flags (Triton's spelling),
environment variables, help texts, value ranges and the documentation's table all come from it. A new option is a new
field of one of `groups`. Triton's flags that have no field yet are in `later`. May import `errors`, `flags` and
`groups`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields

from naiad.errors import InvalidArgumentError
from naiad.options.flags import Flag, check_value
from naiad.options.groups.access import AccessOptions
from naiad.options.groups.general import GeneralOptions
from naiad.options.groups.grpc import GrpcOptions
from naiad.options.groups.http import HttpOptions
from naiad.options.groups.log import LogOptions
from naiad.options.groups.metrics import MetricsOptions
from naiad.options.groups.models import ModelOptions
from naiad.options.groups.tracing import TracingOptions


# Bases in reverse: a dataclass takes the fields of its last base first.
@dataclass(frozen=True, kw_only=True)
class ServerOptions(
    TracingOptions,
    LogOptions,
    MetricsOptions,
    GrpcOptions,
    HttpOptions,
    AccessOptions,
    ModelOptions,
    GeneralOptions,
):
    """Everything that can be told to a server at start; values are checked when one is made.

    Names are those of Triton's flags with underscores for dashes. Addresses differ from Triton's default on purpose:
    a server without authentication listens on this machine only, until told otherwise.

    Raises:
        InvalidArgumentError: a value is out of its range, or two services share a port.
        UnsupportedError: a value needs a feature that this version does not have.
    """

    def __post_init__(self) -> None:
        for name, row in FIELD_FLAGS.items():
            check_value(name, row, getattr(self, name))
        self.check_models()
        self._check_ports()
        self.check_http()
        self.check_grpc()
        _ = self.metrics_settings, self.trace_options  # reading them checks them

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

    @property
    def effective_metrics_address(self) -> str:
        """The address of the metrics endpoint: as in Triton that of HTTP, unless one is given."""
        return self.metrics_address or self.http_address


FIELD_FLAGS: Mapping[str, Flag] = {row.name: row.metadata["flag"] for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its row in the table, in the table's order."""

DEFAULTS: Mapping[str, object] = {row.name: row.default for row in fields(ServerOptions)}
"""Field of `ServerOptions` → its default."""
