# SPDX-License-Identifier: Apache-2.0
"""What a server says when it is ready: its models and their threads, and where it listens."""

import ipaddress
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from naiad._version import __version__
from naiad.cli.console import Reason, print_reasons, print_table, state_text, table
from naiad.options import ServerOptions
from naiad.server.app import App
from naiad.snapshots import IndexEntry, ModelState


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
    out.print(escape(_reach(options)))
    if options.allow_grpc and not _is_loopback(options.grpc_address):
        out.print(escape(f"The same goes for gRPC on {options.grpc_address}; to close it: leave --grpc-address out"))


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


def _reach(options: ServerOptions) -> str:
    address = options.http_address
    if options.api_key_file:
        guard = f"with a key of {options.api_key_file}"
        if _is_loopback(address):
            return f"Only this machine can reach it, {guard}. To open it to the network: --http-address=0.0.0.0"
        clear = "" if options.http_uses_tls else " Keys travel in the clear; to encrypt them: --http-use-ssl."
        return f"Whoever reaches {address} can use it {guard}.{clear} To close it: leave --http-address out"
    if _is_loopback(address):
        return (
            "Only this machine can reach it. To open it to the network (there is no password): --http-address=0.0.0.0"
        )
    return (
        f"Whoever reaches {address} can use it: there is no password. To ask for one: --api-key-file=FILE; to close "
        "it: leave --http-address out"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
