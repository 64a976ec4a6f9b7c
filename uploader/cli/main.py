"""The command line's frame: finds the command, runs it, and turns what went wrong into an exit code.

Must stay quick: `--help`, `--version` and completion import no command. What commands do is theirs.
"""

from __future__ import annotations

import gc
import importlib
import os
import select
import sys
from collections.abc import Sequence
from typing import NoReturn

import click
from click.shell_completion import CompletionItem, shell_complete

from uploader import __version__
from uploader.cli.common import context_of, with_options
from uploader.errors import ConfigurationError, UploaderError

PROGRAM = "qm-uploader"
COMPLETE_VARIABLE = "_QM_UPLOADER_COMPLETE"
COMMANDS = {
    "run": "The daemon: watch every source, submit, track.",
    "import": "Send a historic archive: plan first, then send.",
    "status": "Counts by state, and what keeps the rest waiting.",
    "list": "Recordings, by state, source, reason and time.",
    "show": "One recording with its whole history.",
    "explain": "What would be sent for a recording, and why.",
    "retry": "Send quarantined and refused recordings round again.",
    "adopt": "Tie a recording to the interaction a person has seen.",
    "discard": "Give recordings up.",
    "pause": "Hold submissions: all, of a source or of an import.",
    "resume": "Let held submissions go on.",
    "verify": "Check the books: the ledger against itself.",
    "ledger": "Back the ledger up, and prune it.",
    "doctor": "Check everything outside, before it matters.",
    "sandbox": "A local stand-in for the API, to try things on.",
    "demo": "The main job on this machine, with nothing set up.",
    "config": "Write, show and check the configuration.",
    "completion": "Print the completion script of a shell.",
}
"""Every command and its line in `--help`; its module is `uploader.cli.<name>`."""
_MODULES = {"import": "import_", "list": "list_"}
_INTERRUPTED = 130
_INTERNAL = 70


class CommandLine(click.Group):
    """The top of the command line: a command's module is imported when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every command's name, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command's module and return its `command`."""
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"uploader.cli.{_MODULES.get(cmd_name, cmd_name)}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of `args`; for an unknown one name the nearest."""
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1, cutoff=0.6)
            meant = f"did you mean `{PROGRAM} {near[0]}`?" if near else f"see `{PROGRAM} --help`"
            raise _NoSuchCommand("there is no such command", hint=meant)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing one."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names without importing one."""
        names = [CompletionItem(n, help=h) for n, h in COMMANDS.items() if n.startswith(incomplete)]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]


class _NoSuchCommand(UploaderError):
    exit_code = 2


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@with_options
def cli() -> None:
    """Bring call recordings into Zoom Quality Management, each exactly once."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code."""
    # A search for cycles at every 700 new objects took a tenth of the time to load all that a command needs.
    gc.set_threshold(25_000, 10, 10)
    for stream in (sys.stdout, sys.stderr):
        # names that are not UTF-8 must not end a command half-way
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # Plugins that happen to be installed would be handed every setting, and are looked for in all packages.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    instruction = os.environ.get(COMPLETE_VARIABLE)
    if instruction:
        sys.exit(shell_complete(cli, {}, PROGRAM, COMPLETE_VARIABLE, instruction))
    code = run(list(sys.argv[1:] if args is None else args))
    # At its end Python would search all that is loaded for cycles: a sixth of what `status` takes.
    gc.freeze()
    sys.exit(code)


def run(args: list[str], *, top: click.Command = cli) -> int:
    """Run the command in `args`, under `top`, and return its exit code; errors go to standard error."""
    ctx: click.Context | None = None
    try:
        with top.make_context(PROGRAM, args) as ctx:
            result = top.invoke(ctx)
        if sys.stdout is not None:
            sys.stdout.flush()
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt, EOFError):
        return _interrupted()
    except click.UsageError as exc:
        return _usage(exc)
    except click.ClickException as exc:
        _report(exc.format_message())
        return 2
    except UploaderError as exc:
        return _failed(exc)
    except Exception as exc:  # noqa: BLE001 - the last line: every error becomes an exit code
        if isinstance(exc, BrokenPipeError) and _reader_is_gone():
            return _silenced()
        return _internal(exc, verbose=ctx is not None and context_of(ctx).verbose)
    return result if isinstance(result, int) else 0


def _usage(exc: click.UsageError) -> int:
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        click.echo(exc.format_message(), err=True)
        return exc.exit_code
    command = exc.ctx.command_path if exc.ctx is not None else PROGRAM
    _report(exc.format_message(), hint=f"see `{command} --help`")
    return exc.exit_code


def _failed(exc: UploaderError) -> int:
    problems = exc.problems if isinstance(exc, ConfigurationError) else ()
    _report(str(exc), hint=exc.hint, problems=[f"{p.field}: {p.message}" for p in problems])
    return exc.exit_code


def _internal(exc: Exception, *, verbose: bool) -> int:
    from uploader.platform.logs import describe, render_traceback

    # never a foreign message: it may hold any value
    hint = "" if verbose else "repeat it with -v to see where, and report it"
    _report(f"internal error ({describe(exc)})", hint=hint)
    if verbose:
        click.echo(render_traceback(exc), err=True)
    return _INTERNAL


def _interrupted() -> int:
    _report("interrupted")
    return _INTERRUPTED


def _report(message: str, *, hint: str = "", problems: Sequence[str] = ()) -> None:
    lines = [f"error: {message}", *(f"  {line}" for line in problems), *([f"hint: {hint}"] if hint else [])]
    try:
        click.echo("\n".join(lines), err=True)
    except BrokenPipeError:
        _silenced()


def _reader_is_gone() -> bool:
    """Say whether standard output or error is a pipe that nobody reads: a peer's socket is another matter."""
    poll = select.poll()
    for descriptor in (1, 2):
        poll.register(descriptor, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _silenced() -> int:
    # what is still buffered must not fail once more when the interpreter ends
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    os.close(nowhere)
    return 0
