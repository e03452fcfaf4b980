# SPDX-License-Identifier: Apache-2.0
"""`naiad completion`: the script that completes commands and options in a shell."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    "completion",
    epilog="""\b
Examples:
  naiad completion bash >> ~/.bashrc
  naiad completion zsh >> ~/.zshrc
  naiad completion fish > ~/.config/fish/completions/naiad.fish""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands and options in SHELL."""
    completion = get_completion_class(shell)
    if completion is None:
        raise click.UsageError(f"click does not know the shell '{shell}', expected one of {', '.join(SHELLS)}")
    click.echo(completion(ctx.find_root().command, {}, "naiad", "_NAIAD_COMPLETE").source())
