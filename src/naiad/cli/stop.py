# SPDX-License-Identifier: Apache-2.0
"""`naiad stop`: ends servers of this user on this machine, gently."""

import click

from naiad.cli import background
from naiad.cli.console import console, step
from naiad.cli.registry import RunningServer, running_servers
from naiad.errors import NotFoundError, UnavailableError


@click.command(
    "stop",
    epilog="""\b
Examples:
  naiad stop                # the only server that runs
  naiad stop --port 8000    # the one that listens there
  naiad stop --all

Exit codes: 0 all of them have stopped, 1 there was none, or one is still running.""",
)
@click.option("--port", type=click.IntRange(1, 65535), help="The HTTP port of the server to stop.")
@click.option("--all", "everything", is_flag=True, help="Stop every server of yours on this machine.")
def command(port: int | None, everything: bool) -> None:
    """Stop a server: it refuses new requests, finishes those in flight, and exits."""
    for server in _chosen(running_servers(), port, everything):
        where = server.http_url or f"process {server.pid}"
        with step(console(), f"Stopping {where}"):
            stopped = background.stop(server)
        if not stopped:
            waited_s = server.exit_timeout_secs + background.STOP_GRACE_S
            raise UnavailableError(
                f"{where} still runs after {waited_s} s, expected it to stop; end it with: kill -9 {server.pid}"
            )


def _chosen(running: list[RunningServer], port: int | None, everything: bool) -> list[RunningServer]:
    chosen = [server for server in running if port in (None, server.http_port)]
    if not chosen:
        if running:
            known = ", ".join(str(server.http_port) for server in running)
            raise NotFoundError(f"no server of yours runs on port {port}, expected one of {known}; see: naiad status")
        raise NotFoundError("no server of yours runs here; start one: naiad serve --model-repository=models --detach")
    if len(chosen) > 1 and not everything:
        ports = ", ".join(str(server.http_port) for server in chosen)
        raise click.UsageError(f"several servers run, on ports {ports}; choose one with --port, or use --all")
    return chosen
