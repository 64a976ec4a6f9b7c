"""What every command has in common: its options, its context, its questions; nothing about what it does.

The common options stand before or after the command's name alike. Nothing heavy is imported here
until a command asks for its settings.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click
from click.shell_completion import CompletionItem

from uploader.errors import UploaderError, UsageError

if TYPE_CHECKING:
    from uploader.settings.load import LoadedSettings
    from uploader.settings.model import Settings

P = ParamSpec("P")
R = TypeVar("R")
_META = "uploader.common"


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The common options in force. `config` is None when no file was named."""

    config: Path | None = None
    json: bool = False
    verbose: bool = False
    quiet: bool = False
    color: bool = True
    yes: bool = False

    def load(self, *, need_secrets: bool, overrides: Mapping[str, str] | None = None) -> LoadedSettings:
        """Return the configuration in force with its origins; its warnings go to standard error.

        `overrides` are values of the command line by dotted key. Raises ConfigurationError.
        """
        from uploader.settings.load import load

        wanted = self._log_overrides() | dict(overrides or {})
        loaded = load(self.config, environ=os.environ, overrides=wanted, need_secrets=need_secrets)
        for warning in loaded.warnings:
            self.note(f"warning: {warning.field}: {warning.message}")
        return loaded

    def settings(self, *, need_secrets: bool, overrides: Mapping[str, str] | None = None) -> Settings:
        """Return the settings in force (see `load`)."""
        return self.load(need_secrets=need_secrets, overrides=overrides).settings

    def start_logging(self, *, level: str = "warning", format: str = "auto") -> None:
        """Log to standard error at `level`, unless -v or -q say otherwise.

        Commands other than the daemon log warnings only: `common_options` calls this with the defaults
        before the command begins. The daemon calls it again with its settings.
        """
        from uploader.platform import logs

        level = self._log_overrides().get("log.level", level)
        logs.configure(level=level, format=format, color=self.color)

    def say(self, text: str = "") -> None:
        """Write a line for people to standard output; nothing with --json."""
        if not self.json:
            click.echo(text)

    def note(self, text: str) -> None:
        """Write a line for people to standard error; nothing with --quiet."""
        if not self.quiet:
            click.echo(text, err=True)

    def confirm(self, question: str) -> None:
        """Go on only when `question` is answered with yes, or --yes was given.

        Raises UsageError without a terminal to ask on, UploaderError when the answer is no.
        """
        if self.yes:
            return
        if not sys.stdin.isatty():
            raise UsageError(f"{question} There is no terminal to ask on.", hint="repeat it with --yes")
        if not click.confirm(question, err=True):
            raise UploaderError("the answer was no: nothing was changed")

    def _log_overrides(self) -> dict[str, str]:
        if self.verbose:
            return {"log.level": "debug"}
        return {"log.level": "error"} if self.quiet else {}


def context_of(ctx: click.Context) -> Context:
    """Return the common options collected so far, before and after the command's name."""
    given: dict[str, Any] = dict(ctx.meta.get(_META, {}))
    no_color = given.pop("no_color", False) or bool(os.environ.get("NO_COLOR"))
    return Context(**given, color=not no_color and os.environ.get("TERM") != "dumb")


def common_options(command: Callable[Concatenate[Context, P], R]) -> Callable[P, R]:
    """Give `command` the common options; it is called with a Context as its first argument, and logs."""

    @functools.wraps(command)
    def logging_first(context: Context, /, *args: P.args, **kwargs: P.kwargs) -> R:
        context.start_logging()
        return command(context, *args, **kwargs)

    return reading_options(logging_first)


def reading_options(command: Callable[Concatenate[Context, P], R]) -> Callable[P, R]:
    """Do as `common_options` for a command that only looks at what is here, and must answer at once.

    Nothing that it calls may log: to load what logs takes as long as the answer.
    """

    @functools.wraps(command)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(context_of(click.get_current_context()), *args, **kwargs)

    return with_options(wrapper)


def complete_path(_ctx: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leave the completion of a path to the shell."""
    return [CompletionItem(incomplete, type="file")]


def with_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the common options to `function` without handing it anything: for groups."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def _collect(ctx: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value is not None and value is not False and parameter.name is not None:
        ctx.meta.setdefault(_META, {})[parameter.name] = value


def _option(*names: str, help: str, **attributes: Any) -> Callable[[Callable[P, R]], Callable[P, R]]:
    return click.option(*names, help=help, callback=_collect, expose_value=False, **attributes)


_OPTIONS = (
    _option(
        "--config",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="The configuration file [default: $QM_UPLOADER_CONFIG, else /etc/qm-uploader/config.toml].",
    ),
    _option("--json", is_flag=True, help="One JSON document on one line; lists one object a line."),
    _option("-v", "--verbose", is_flag=True, help="Log everything, and show where an internal error arose."),
    _option("-q", "--quiet", is_flag=True, help="Log errors only, and leave out notes."),
    _option("--no-color", is_flag=True, help="No colours (also with NO_COLOR set)."),
    _option("--yes", is_flag=True, help="Answer every question with yes."),
)
