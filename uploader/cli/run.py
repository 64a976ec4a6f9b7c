"""`run`: the daemon."""

from __future__ import annotations

import click

from uploader.cli.common import Context, common_options


@click.command("run")
@common_options
def command(context: Context) -> int:
    """Watch every source, submit, and follow what is submitted; ends gracefully on SIGTERM or Ctrl-C."""
    settings = context.settings(need_secrets=True)
    context.start_logging(level=settings.log.level, format=settings.log.format)
    from uploader.daemon import run

    return run(settings)
