# SPDX-License-Identifier: Apache-2.0
"""`naiad models`: what a running server serves."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import click
from rich.console import Console
from rich.text import Text

from naiad.cli.console import Reason, console, print_reasons, print_table, state_text, table
from naiad.cli.registry import running_servers
from naiad.client import DEFAULT_URL, Client
from naiad.errors import UnavailableError


@click.command(
    "models",
    epilog="""\b
Examples:
  naiad models
  naiad models --url http://gpu-box:8000 --format json""",
)
@click.option(
    "--url", default=DEFAULT_URL, envvar="NAIAD_URL", show_envvar=True, show_default=True, help="The server to ask."
)
@click.option(
    "--api-key",
    default="",
    envvar="NAIAD_API_KEY",
    show_envvar=True,
    help="A key of the server; in the environment it does not show in the list of processes.",
)
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
def command(url: str, api_key: str, form: str) -> None:
    """List the models of a running server: versions, states, inputs and outputs. Works with Triton's too."""
    with Client(url, api_key=api_key) as client:
        try:
            if form == "json":
                click.echo(json.dumps(_rows(client), indent=2))
            else:
                print_models(console(), client)
        except UnavailableError as error:
            raise UnavailableError(f"{error}{_of_yours(url)}") from error


def _of_yours(url: str) -> str:
    """Return where the user's own servers listen, if not at `url`."""
    others = [server.http_url for server in running_servers() if server.http_url not in ("", url)]
    return f"; of yours, these run: {', '.join(f'--url {one}' for one in others)}" if others else ""


def print_models(out: Console, client: Client) -> None:
    """Print the models of the server that `client` asks as a table, and why some are not served.

    Raises:
        NaiadError: the server does not answer, or answers with an error.
    """
    rows = _rows(client)
    if not rows:
        out.print(f"The server at {client.url} has no models. Put one into its repository: naiad deploy WEIGHTS")
        return
    made = table(("MODEL", "VERSION", "STATE", "PLATFORM"), wrapped=("INPUTS", "OUTPUTS"))
    for row in rows:
        made.add_row(
            Text(row["name"]),
            row.get("version", "-"),
            state_text(row.get("state", "")),
            Text(row.get("platform", "-")),
            _tensors(row.get("inputs", ())),
            _tensors(row.get("outputs", ())),
        )
    print_table(out, made)
    failed = (row for row in rows if row.get("reason"))
    print_reasons(out, (Reason(row["name"], row.get("version", ""), row["reason"]) for row in failed))


def _rows(client: Client) -> list[dict[str, Any]]:
    return [_with_metadata(client, entry) for entry in client.index()]


def _with_metadata(client: Client, entry: dict[str, Any]) -> dict[str, Any]:
    """Return a row of the index, with what its model says of itself if it is ready."""
    if entry.get("state") != "READY":
        return entry
    metadata = client.model_metadata(entry["name"], entry["version"])
    return entry | {key: metadata[key] for key in ("platform", "inputs", "outputs")}


def _tensors(tensors: Iterable[Mapping[str, Any]]) -> Text:
    lines = (f"{one['name']} {one['datatype']} [{','.join(str(side) for side in one['shape'])}]" for one in tensors)
    return Text("\n".join(lines))
