# SPDX-License-Identifier: Apache-2.0
"""`naiad status`: the servers of this user on this machine."""

import json
import time
from dataclasses import asdict

import click
from rich.console import Console
from rich.markup import escape

from naiad.cli.console import console
from naiad.cli.local_client import client_of
from naiad.cli.registry import RunningServer, running_servers

_PROBE_TIMEOUT_S = 2


@click.command(
    "status",
    epilog="""\b
Examples:
  naiad status
  naiad status --format json""",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(form: str) -> None:
    """List your servers on this machine: where they listen, what they serve, and whether they are ready.

    Their list, and the logs of those in the background, lie in the folder that NAIAD_STATE_DIR names, by default
    ~/.local/state/naiad/servers on Linux.
    """
    rows = [(server, _is_ready(server)) for server in running_servers()]
    if form == "json":
        click.echo(json.dumps([asdict(server) | {"ready": ready} for server, ready in rows], indent=2))
        return
    if not rows:
        click.echo("No server of yours runs here. Start one: naiad serve --model-repository=models --detach")
        return
    out = console()
    for server, ready in rows:
        _print(out, server, ready)


def _print(out: Console, server: RunningServer, ready: bool | None) -> None:
    since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(server.since))
    state = {True: "[green]ready[/]", False: "[red]not ready[/]", None: "cannot be asked"}[ready]
    out.print(f"{server.http_url or server.grpc_url or 'metrics only'}  {state}  process {server.pid}  since {since}")
    for repository in server.repositories:
        out.print(f"  models   {escape(repository)}")
    for name, value in (("grpc", server.grpc_url), ("metrics", server.metrics_url), ("log", server.log)):
        if value:
            out.print(f"  {name:8} {escape(value)}")


def _is_ready(server: RunningServer) -> bool | None:
    """Ask a server; None for one without HTTP, or one that would ask for a certificate of this client."""
    if not server.http_url or server.asks_for_certificates:
        return None
    with client_of(server, timeout_s=_PROBE_TIMEOUT_S) as client:
        return client.ready()
