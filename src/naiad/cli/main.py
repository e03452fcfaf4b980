# SPDX-License-Identifier: Apache-2.0
"""The command `naiad` itself: finds its commands, and turns errors into messages and exit codes."""

import io
import sys
from difflib import get_close_matches
from importlib import import_module
from typing import NamedTuple

import click

from naiad._version import __version__
from naiad.errors import NaiadError


class _Row(NamedTuple):
    module: str
    summary: str


_COMMANDS = {
    "demo": _Row("naiad.cli.demo", "Walk from weights to boxes, and show what happens."),
    "deploy": _Row("naiad.cli.deploy", "Put a YOLO model into a repository."),
    "check": _Row("naiad.cli.check", "Explain a repository, and what is wrong with it, offline."),
    "serve": _Row("naiad.cli.serve", "Serve the models of a repository."),
    "models": _Row("naiad.cli.models", "List the models of a running server."),
    "status": _Row("naiad.cli.status", "List your servers on this machine."),
    "stop": _Row("naiad.cli.stop", "Stop a server on this machine."),
    "completion": _Row("naiad.cli.completion", "Print the script that completes commands in your shell."),
}
"""Command → its module, which holds it as `command`."""


class _LazyGroup(click.Group):
    """A group that imports a command's module only when the command is run or its help is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        row = _COMMANDS.get(cmd_name)
        if row is None:
            return None
        command: click.Command = import_module(row.module).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            for near in get_close_matches(args[0], _COMMANDS, n=1):
                raise click.UsageError(f"{error.message} Did you mean '{near}'?", ctx) from error
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, row.summary) for name, row in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  naiad demo                                 # see it work
  naiad deploy yolo11n.pt --name yolo        # weights to ./models/yolo/1/model.onnx
  naiad serve --model-repository=models      # then: YOLO("http://localhost:8000/yolo", task="detect")
  naiad COMMAND --help                       # every command has examples""",
)
@click.version_option(__version__, prog_name="naiad", message="%(prog)s %(version)s")
def cli() -> None:
    """Serve YOLO and other ONNX models over Triton's protocol."""


def main() -> None:
    """Run the command line; exits with the command's code, 1 for an error, 2 for wrong usage (serve: 1, as Triton)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a pipe or terminal may know neither ✓ nor the names of models
    try:
        cli.main(prog_name="naiad")
    except NaiadError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(1)
