"""`completion`: the script that lets a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from uploader.cli.common import Context, reading_options
from uploader.cli.main import COMPLETE_VARIABLE, PROGRAM, cli
from uploader.errors import UsageError


@click.command("completion", short_help="Print the completion script of a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@reading_options
def command(context: Context, shell: str) -> None:
    """Print the completion script of SHELL: bash, zsh or fish.

    For bash: `qm-uploader completion bash > ~/.local/share/bash-completion/completions/qm-uploader`
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise UsageError("there is no completion for this shell")
    click.echo(kind(cli, {}, PROGRAM, COMPLETE_VARIABLE).source())
