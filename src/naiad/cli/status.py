# SPDX-License-Identifier: Apache-2.0
"""`naiad status`: the servers of this user on this machine."""

import json
import time
from dataclasses import asdict

import click
from rich.text import Text

from naiad.cli.console import console, table
from naiad.cli.registry import RunningServer, running_servers
from naiad.client import Client

_PROBE_TIMEOUT_S = 2


@click.command(
    "status",
    epilog="""\b
Examples:
  naiad status
  naiad status --format json""",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(form: str) -> None:
    """List your servers on this machine: where they listen, what they serve, and whether they are ready."""
    rows = [(server, _is_ready(server)) for server in running_servers()]
    if form == "json":
        click.echo(json.dumps([asdict(server) | {"ready": ready} for server, ready in rows], indent=2))
        return
    if not rows:
        click.echo("No server of yours runs here. Start one: naiad serve --model-repository=models --detach")
        return
    made = table(("PID", "URL", "METRICS", "READY", "SINCE", "REPOSITORY", "LOG"))
    for server, ready in rows:
        made.add_row(
            str(server.pid),
            server.http_url or "-",
            server.metrics_url or "-",
            Text("yes", "green") if ready else Text("no", "red"),
            time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(server.since)),
            Text("\n".join(server.repositories)),
            Text(server.log or "-"),
        )
    console().print(made)


def _is_ready(server: RunningServer) -> bool:
    if not server.http_url:
        return False
    with Client(server.http_url, _PROBE_TIMEOUT_S) as client:
        return client.ready()
