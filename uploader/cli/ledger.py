"""`ledger`: back it up, and take out of it what is old."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, common_options, complete_path, with_options
from uploader.cli.output import emit_json, human_duration, human_size, printable
from uploader.cli.rendering import recordings
from uploader.errors import UsageError
from uploader.settings.units import parse_duration

if TYPE_CHECKING:
    from uploader.service.operations.upkeep import Pruned

_LEAST_AGE = timedelta(days=1)
_MAKES_IT = "`qm-uploader run` makes it"
_KEEP_IT = "`qm-uploader ledger backup` first keeps what it takes out"


class _Age(click.ParamType[timedelta]):
    """A duration as the configuration has them, of a day or more."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration."""
        if isinstance(value, timedelta):
            return value
        try:
            age = parse_duration(str(value).strip())
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if age < _LEAST_AGE:
            self.fail("must be at least 1d (d is days, h hours, m minutes; months are not known)", param, ctx)
        return age


@click.group("ledger", short_help="Back the ledger up, and prune it.")
@with_options
def command() -> None:
    """Back the ledger up, and take out of it what is old."""


@command.command("backup", short_help="Make a backup now.")
@click.option(
    "--to", "target", type=click.Path(), metavar="FILE|DIR", shell_complete=complete_path,
    help="A new file, or a directory [default: that of the daemon's backups].",
)  # fmt: skip
@common_options
def backup(context: Context, target: str | None) -> None:
    """Copy the ledger as it is at this moment to one file, and check the copy.

    Works beside a running daemon, and while none runs. In the directory of the daemon's backups the oldest
    are removed, as `backup_keep` says; elsewhere nothing is, and `status` does not count what lies there. A
    backup holds the same personal data as the ledger. To restore one: stop the daemon, copy the backup over
    the ledger, start the daemon.
    """
    from uploader.service.operations import opening, upkeep

    found = context.settings(need_secrets=False)
    settings = found.ledger
    place = upkeep.BackupPlace(directory=Path(settings.backup_place), keep=settings.backup_keep)
    wanted = place.directory if target is None else _place(target)
    with opening.existing(Path(settings.path)) as (ledger, exists):
        if not exists:
            raise UsageError("there is no ledger yet, so nothing to back up", hint=_MAKES_IT)
        folders = [Path(source.path) for source in found.sources if source.type == "folder"]
        upkeep.refuse_sources(wanted if target is None or wanted.is_dir() else wanted.parent, folders)
        is_ours = target is None or (wanted.is_dir() and wanted.resolve() == place.directory.resolve())
        if is_ours:
            made, removed = upkeep.back_up(ledger, place, now=datetime.now(UTC))
        else:
            made, removed = upkeep.back_up_to(ledger, wanted, now=datetime.now(UTC)), 0
    if context.json:
        emit_json({"path": made.path, "made_at": made.made_at, "size_bytes": made.size_bytes, "removed": removed})
    older = f"; {removed} older removed" if removed else ""
    context.say(f"Backed up to {printable(str(made.path))} ({human_size(made.size_bytes)}){older}.")
    if not is_ours:
        context.say("It is yours alone: `status` does not count it, and nothing removes it.")


def _place(target: str) -> Path:
    """Return where a person wants the backup; what ends with a slash must be a directory. Raises UsageError."""
    if not target.strip():
        raise UsageError("--to is empty", hint="name a file or a directory, or leave --to out")
    if target.endswith("/") and not Path(target).is_dir():
        raise UsageError("the directory of --to is not there", hint="make it, or leave the slash out to name a file")
    return Path(target)


@command.command("prune", short_help="Take out the particulars of what is long done.")
@click.option(
    "--older-than", "age", type=_Age(), required=True, metavar="DURATION",
    help="What nothing has happened to for so long: 365d; at least 1d (d is days, h hours, m minutes).",
)  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Count only.")
@common_options
def prune(context: Context, age: timedelta, dry_run: bool) -> None:
    """Take out the particulars of recordings that are done, and keep what they are known by.

    Done are those that are analyzed, discarded, refused, duplicate or skipped, with no request that is still
    looked for. What was sent of them, sidecar, media, answers and the way there are removed. What stays:
    path, content and call by their hashes, state, reason code, interaction and times. So none of them is
    ever sent again, `show` and `list` still know them, and the sums add up.

    Above 100 recordings it asks first. Works beside a running daemon; the file becomes smaller only while
    none runs.
    """
    from uploader.service.operations import opening, upkeep
    from uploader.service.operations.changes import ASK_ABOVE

    settings = context.settings(need_secrets=False)
    now = datetime.now(UTC)
    with opening.existing(Path(settings.ledger.path)) as (ledger, exists):
        if not exists:
            raise UsageError("there is no ledger yet, so nothing to prune", hint=_MAKES_IT)
        before = now - age
        found = upkeep.prunable(ledger, before=before)
        if not dry_run:
            if found.count > ASK_ABOVE:
                if not context.yes:
                    context.note(f"hint: {_KEEP_IT}")
                context.confirm(f"This takes the particulars of {recordings(found.count)} out for ever. Go on?")
            found = upkeep.prune(ledger, before=before, now=now)
    if context.json:
        emit_json(_document(found, dry_run=dry_run))
    else:
        _print(context, found, age, dry_run=dry_run)


def _document(found: Pruned, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "recordings": found.count,
        "states": {state.value: count for state, count in found.states.items()},
        "seen": found.seen,
        "bytes_before": found.bytes_before,
        "bytes_after": found.bytes_after,
        "compacted": found.compacted,
    }


def _print(context: Context, found: Pruned, age: timedelta, *, dry_run: bool) -> None:
    context.say(
        f"{recordings(found.count)} untouched for {human_duration(age)}"
        + (" would be pruned." if dry_run else " pruned.")
    )
    for state, count in found.states.items():
        context.say(f"  {count:,} {state}")
    if found.seen:
        entries = f"{found.seen:,} entr{'y' if found.seen == 1 else 'ies'}"
        context.say(f"{entries} of what listings showed {'would be ' if dry_run else ''}dropped.")
    if dry_run:
        if found.count:
            context.note(f"hint: {_KEEP_IT}")
        return
    before, after = human_size(found.bytes_before), human_size(found.bytes_after)
    if found.compacted and before != after:
        context.say(f"The ledger went from {before} to {after}.")
    elif found.why_not_compacted and (found.count or found.seen):
        context.note(found.why_not_compacted)
