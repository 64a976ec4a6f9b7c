"""The frame: what a command's end, however it ends, looks like from outside."""

from __future__ import annotations

import logging

import click
import pytest
import structlog

from uploader.cli.common import Context, common_options, with_options
from uploader.cli.main import COMMANDS, cli, run
from uploader.errors import (
    ConfigurationError,
    LedgerError,
    Problem,
    ServiceRefusal,
    UploaderError,
    UsageError,
    WrongAccount,
)


@pytest.fixture
def try_command():
    """Put a command with a given body into the frame, run it, and take everything back."""
    root, ours = logging.getLogger(), logging.getLogger("uploader")
    level, our_level = root.level, ours.level
    seen: list[Context] = []

    def try_command(body, *args: str) -> tuple[int, list[Context]]:
        @click.command("run")
        @click.argument("words", nargs=-1)
        @common_options
        def command(context: Context, words: tuple[str, ...]):
            seen.append(context)
            return body(context)

        @click.group()
        @with_options
        def top() -> None: ...

        top.add_command(command)
        return run(list(args or ["run"]), top=top), seen

    yield try_command
    root.handlers = [h for h in root.handlers if not type(h).__module__.startswith("uploader")]
    root.setLevel(level)
    ours.setLevel(our_level)
    structlog.reset_defaults()


def _raiser(error: BaseException):
    def body(_context: Context):
        raise error

    return body


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1)])
def test_a_command_returns_its_exit_code(try_command, returned, code):
    assert try_command(lambda _: returned)[0] == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UploaderError("it is so", hint="do this"), 1),
        (UsageError("it is so", hint="do this"), 2),
        (WrongAccount("it is so", hint="do this"), 2),
        (LedgerError("it is so", hint="do this"), 3),
        (ServiceRefusal("it is so", reason="scope", hint="do this"), 4),
    ],
)
def test_our_errors_give_their_code_and_a_hint(try_command, capsys, error, code):
    assert try_command(_raiser(error))[0] == code
    captured = capsys.readouterr()
    assert captured.err == "error: it is so\nhint: do this\n"
    assert captured.out == ""


def test_a_configuration_error_lists_every_problem(try_command, capsys):
    problems = (Problem(field="a.b", message="is required"), Problem(field="c", message="is unknown"))
    assert try_command(_raiser(ConfigurationError("wrong", problems=problems)))[0] == 2
    assert capsys.readouterr().err == "error: wrong\n  a.b: is required\n  c: is unknown\n"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort(), EOFError()])
def test_an_interrupt_gives_130(try_command, capsys, error):
    assert try_command(_raiser(error))[0] == 130
    assert capsys.readouterr().err == "error: interrupted\n"


@pytest.mark.parametrize(
    "error", [KeyError("canary"), RuntimeError("canary"), OSError(5, "x", "canary"), BrokenPipeError()]
)
def test_anything_else_is_an_internal_error_without_its_message(try_command, capsys, error):
    assert try_command(_raiser(error))[0] == 70
    written = capsys.readouterr().err
    assert f"error: internal error ({type(error).__name__}" in written
    assert "-v" in written
    assert "canary" not in written
    assert "test_frame" not in written


def test_with_v_an_internal_error_shows_where_but_not_what(try_command, capsys):
    assert try_command(_raiser(KeyError("canary")), "run", "-v")[0] == 70
    written = capsys.readouterr().err
    assert "test_frame.py:" in written
    assert "canary" not in written


@pytest.mark.parametrize(
    "args",
    [
        ["--config", "/c", "--json", "-v", "-q", "--no-color", "--yes", "run"],
        ["run", "--config", "/c", "--json", "-v", "-q", "--no-color", "--yes"],
        ["--json", "-v", "--yes", "run", "--config", "/c", "-q", "--no-color"],
    ],
)
def test_common_options_stand_before_and_after_the_command_alike(try_command, args):
    _, (context,) = try_command(lambda _: None, *args)
    assert str(context.config) == "/c"
    assert (context.json, context.verbose, context.quiet, context.color, context.yes) == (True, True, True, False, True)


def test_the_later_configuration_wins(try_command):
    _, (context,) = try_command(lambda _: None, "--config", "/a", "run", "--config", "/b")
    assert str(context.config) == "/b"


def test_without_options_nothing_is_set(try_command, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    _, (context,) = try_command(lambda _: None)
    assert context == Context()


@pytest.mark.parametrize(("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")])
def test_colours_are_left_out_where_the_environment_says_so(try_command, monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    _, (context,) = try_command(lambda _: None)
    assert context.color is False


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--jsn", "run"], "see `qm-uploader --help`"),
        (["run", "--jsn"], "see `qm-uploader run --help`"),
        (["--config"], "see `qm-uploader --help`"),
    ],
)
def test_a_wrong_command_line_gives_2_with_a_hint(try_command, capsys, args, said):
    assert try_command(lambda _: None, *args)[0] == 2
    written = capsys.readouterr().err
    assert written.startswith("error: ")
    assert f"hint: {said}" in written


@pytest.mark.parametrize(
    ("word", "said"), [("statsu", "did you mean `qm-uploader status`?"), ("xyzzy", "see `qm-uploader --help`")]
)
def test_an_unknown_command_names_the_nearest(capsys, word, said):
    assert run([word]) == 2
    assert capsys.readouterr().err == f"error: there is no such command\nhint: {said}\n"


def test_without_a_command_the_help_goes_to_standard_error(capsys):
    assert run([]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Commands:" in captured.err


def test_help_names_every_command(capsys):
    assert run(["--help"]) == 0
    written = capsys.readouterr().out
    assert [name for name in COMMANDS if f"\n  {name} " not in written] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_there_and_is_called_as_listed(name):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.name == name


def test_a_question_without_a_terminal_asks_for_yes(monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UsageError) as caught:
        Context().confirm("Discard 200 recordings?")
    assert "--yes" in caught.value.hint
    Context(yes=True).confirm("Discard 200 recordings?")


def test_lines_for_people_are_left_out_with_json_and_notes_with_quiet(capsys):
    Context(json=True, quiet=True).say("said")
    Context(json=True, quiet=True).note("noted")
    assert capsys.readouterr() == ("", "")
    Context().say("said")
    Context().note("noted")
    assert capsys.readouterr() == ("said\n", "noted\n")


def test_logs_go_to_standard_error(try_command, capsys):
    def body(_context: Context) -> None:
        log = structlog.get_logger()
        log.info("quiet")
        log.warning("loud")

    try_command(body)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "loud" in captured.err
    assert "quiet" not in captured.err
