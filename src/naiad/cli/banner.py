# SPDX-License-Identifier: Apache-2.0
"""What a server says when it is ready: its models and their threads, and where it listens."""

import ipaddress
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from naiad._version import __version__
from naiad.cli.console import Reason, print_reasons, print_table, state_text, table
from naiad.options import ServerOptions
from naiad.server.app import App
from naiad.snapshots import IndexEntry, ModelState


class _Service(NamedTuple):
    """What is known of a port, for whoever wants to reach it; `vouched_by` is the file of mutual TLS."""

    name: str
    address: str
    uses_tls: bool
    vouched_by: str


def print_banner(out: Console, app: App, options: ServerOptions, seconds: float) -> None:
    """Print the table of models with their states and threads, why some are not served, and the addresses."""
    rows = app.index()
    out.print(f"Naiad {__version__} is ready after {seconds:.1f} s; it may use {app.usable_cores} cores\n")
    if rows:
        print_table(out, _models(app, rows))
        print_reasons(out, (Reason(row.name, row.version or "", row.reason) for row in rows if row.reason))
    else:
        out.print("No models yet. Put one into the repository: naiad deploy WEIGHTS")
    out.print()
    if options.allow_http:
        out.print(f"HTTP     {app.http_url}")
    if options.allow_grpc:
        out.print(f"gRPC     {app.grpc_url}{' (TLS)' if options.grpc_uses_tls else ''}")
    if options.allow_metrics:
        out.print(f"Metrics  {app.metrics_url}")
    for line in _reach(options):
        out.print(escape(line))


def _models(app: App, rows: Sequence[IndexEntry]) -> Table:
    made = table(("MODEL", "VERSION", "STATE", "INSTANCES × THREADS"))
    for row in rows:
        state = row.state.value if row.state else ""
        made.add_row(Text(row.name), row.version or "-", state_text(state), _threads_of(app, row))
    return made


def _threads_of(app: App, row: IndexEntry) -> str:
    if row.state is not ModelState.READY or row.version is None:
        return "-"
    model = app.dataplane.find(row.name, row.version)
    return f"{model.instance_count} × {model.threads_per_instance}"


def _reach(options: ServerOptions) -> Iterator[str]:
    """Yield who can reach the server, and how to open or close it."""
    services = _services(options)
    opened = [service for service in services if not _is_loopback(service.address)]
    if services and not opened:
        flags = " ".join(f"--{service.name.lower()}-address=0.0.0.0" for service in services)
        key = f", with a key of {options.api_key_file}" if options.api_key_file else ""
        warning = "" if key or all(service.vouched_by for service in services) else " (there is no password)"
        yield f"Only this machine can reach it{key}. To open it to the network{warning}: {flags}"
    for service in opened:
        yield _openness(service, options.api_key_file)


def _services(options: ServerOptions) -> list[_Service]:
    http_root = options.http_root_cert if options.http_use_ssl_mutual else ""
    grpc_root = options.grpc_root_cert if options.grpc_use_ssl_mutual else ""
    return [
        *([_Service("HTTP", options.http_address, options.http_uses_tls, http_root)] if options.allow_http else ()),
        *([_Service("gRPC", options.grpc_address, options.grpc_uses_tls, grpc_root)] if options.allow_grpc else ()),
    ]


def _openness(service: _Service, keys: str) -> str:
    flag = f"--{service.name.lower()}"
    asked_for = [f"a key of {keys}"] if keys else []
    if service.vouched_by:
        asked_for.append(f"a certificate that {service.vouched_by} vouches for")
    if not asked_for:
        guard = ": there is no password. To ask for one: --api-key-file=FILE."
    elif service.uses_tls:
        guard = f" with {' and '.join(asked_for)}."
    else:
        guard = f" with {' and '.join(asked_for)}. Keys travel in the clear; to encrypt them: {flag}-use-ssl."
    return f"Whoever reaches {service.address} can use {service.name}{guard} To close it: leave {flag}-address out"


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
