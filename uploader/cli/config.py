"""`config`: write the example, show the configuration in force, check it."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, reading_options, with_options
from uploader.cli.output import emit_json, printable
from uploader.errors import ConfigurationError, Problem, UsageError

if TYPE_CHECKING:
    from uploader.settings.load import LoadedSettings
    from uploader.settings.model import Section

MASK = "********"
_NEEDS_ATTENTION = 1
_SIZES = frozenset({"spool_max"})
_NEXT = """\
Next: edit what is numbered 1 to 4 in it and put the app's secret into its file, then
  qm-uploader{config} config check    is it right?
  qm-uploader{config} doctor          does everything outside answer?"""


@click.group("config", short_help="Write, show and check the configuration.")
@with_options
def command() -> None:
    """Write, show and check the configuration."""


@command.command("init", short_help="Write the example.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@reading_options
def init(context: Context, path: Path | None) -> None:
    """Write the example configuration to PATH, for its owner only.

    PATH is where the configuration is looked for when it is left out. An existing file is left alone.
    """
    from uploader.settings.example import example_text
    from uploader.settings.load import config_path

    target = path or config_path(context.config, environ=os.environ)
    _write_new(target, example_text())
    if context.json:
        emit_json({"path": target})
    is_found = target == config_path(None, environ=os.environ)
    where = "" if is_found else f" --config {quote(printable(str(target)))}"
    context.say(f"Wrote {printable(str(target))}, which only its owner may read.\n{_NEXT.format(config=where)}")


@command.command("show", short_help="Show what is in force, secrets masked.")
@reading_options
def show(context: Context) -> None:
    """Show the configuration in force, secrets masked, with the origin of what is no default."""
    loaded = context.load(need_secrets=False)
    if context.json:
        shown = _plain(loaded.settings)
        emit_json({"path": loaded.path, "settings": shown, "origins": dict(loaded.origins)})
        return
    click.echo("\n".join(_as_toml(loaded)))


@command.command("check", short_help="Check it, and report every mistake.")
@reading_options
def check(context: Context) -> int:
    """Check the configuration: exit code 0 good, 1 good with a warning, 2 wrong."""
    try:
        loaded = context.load(need_secrets=True)
    except ConfigurationError as exc:
        if not context.json:
            raise
        emit_json({"ok": False, "error": str(exc), "problems": _documents(exc.problems), "warnings": []})
        return exc.exit_code
    warnings = (*loaded.warnings, *_advice(loaded))
    if context.json:
        emit_json({"ok": True, "path": loaded.path, "problems": [], "warnings": _documents(warnings)})
    for warning in _advice(loaded):
        context.note(f"warning: {warning.field}: {warning.message}")
    where = "the environment" if loaded.path is None else printable(str(loaded.path))
    context.say(f"ok: {where}" + (" (with warnings)" if warnings else ""))
    return _NEEDS_ATTENTION if warnings else 0


def _advice(loaded: LoadedSettings) -> tuple[Problem, ...]:
    if any(source.enabled for source in loaded.settings.sources):
        return ()
    return (Problem(field="sources", message="none is there or enabled: `run` has nothing to watch"),)


def _write_new(path: Path, text: str) -> None:
    if os.path.lexists(path):
        hint = "remove it first, or name another path: an existing file is never overwritten"
        raise UsageError(f"{path} exists already", hint=hint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        hint = "name a path that you may write to: `qm-uploader config init PATH`"
        raise UsageError(f"{path} cannot be written ({exc.strerror})", hint=hint) from exc
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)


def _documents(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    return [{"field": problem.field, "message": problem.message} for problem in problems]


def _plain(section: Section) -> dict[str, Any]:
    """Return a section as it could stand in the file, secrets masked, without what is not set."""
    values = ((key, getattr(section, key)) for key in type(section).model_fields)
    return {key: _plain_value(key, value) for key, value in values if value is not None}


def _plain_value(key: str, value: Any) -> Any:
    from pydantic import SecretStr

    from uploader.settings.model import Section
    from uploader.settings.units import format_duration, format_size

    if isinstance(value, SecretStr):
        return MASK
    if isinstance(value, Section):
        return _plain(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, tuple):
        return [_plain_value(key, entry) for entry in value]
    return format_size(value) if key in _SIZES else value


def _as_toml(loaded: LoadedSettings) -> list[str]:
    lines = [f"# {printable(str(loaded.path))}" if loaded.path else "# from the environment, without a file"]
    document = _plain(loaded.settings)
    for name, content in document.items():
        if name == "sources":
            for source in content:
                lines += ["", "[[sources]]", *_table(source, f"sources.{source['name']}", loaded)]
        else:
            lines += ["", f"[{name}]", *_table(content, name, loaded)]
    return lines


def _table(content: dict[str, Any], label: str, loaded: LoadedSettings) -> list[str]:
    lines = []
    for key, value in content.items():
        origin = loaded.origins.get(f"{label}.{key}")
        lines.append(f"{key} = {_toml(value)}" + (f"  # {origin}" if origin else ""))
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(entry)}" for key, entry in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(entry) for entry in value) + "]"
    # JSON's text and numbers are TOML's as well, but for what is escaped in pairs
    return json.dumps(value, ensure_ascii=False)
