"""`import`: a historic archive, planned first, then sent. Knows what is asked for; `import_run` does it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, common_options, complete_path
from uploader.cli.filters import Moment
from uploader.errors import ConfigurationError, Problem, UsageError
from uploader.service.imports.finding import Order
from uploader.service.imports.watch import Wait

if TYPE_CHECKING:
    from uploader.service.imports.targets import Targets
    from uploader.settings.model import Settings, SourceSettings

_NAME_RULE = "1 to 63 letters, digits, - or _, starting with a letter or digit"
_CHANGES = ("profile", "sidecar", "timezone", "phone_region", "same_call")
_LISTS = ("require", "include", "exclude")


class _CallTime(Moment):
    """A date or a time, and not how long ago: the same call must mean the same import."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the aware time."""
        if str(value).strip()[-1:] in {"d", "h", "m", "s"} or str(value).endswith("ago"):
            self.fail("write a date (2026-11-20) or a time (2026-11-20T04:00Z)", param, ctx)
        return super().convert(value, param, ctx)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the command line asks for, beside what is imported and how it is read."""

    name: str | None
    limit: int | None
    order: Order
    wait: Wait
    detach: bool
    dry_run: bool


@click.command("import", short_help="Send a historic archive: plan first, then send.")
@click.argument("paths", nargs=-1, required=True, metavar="PATH_OR_S3_URI...", shell_complete=complete_path)
@click.option("--source", "source_name", metavar="NAME", help="Treat it as this source's, also a disabled one's.")
@click.option("--profile", metavar="NAME", help="How the sidecars are read.")
@click.option("--sidecar", type=click.Choice(["required", "optional", "none"]), help="Whether each needs one.")
@click.option("--timezone", metavar="ZONE", help="IANA zone of times without one.")
@click.option("--phone-region", metavar="COUNTRY", help="ISO country of national numbers.")
@click.option("--same-call", type=click.Choice(["hold", "send", "duplicate"]), help="Another file of a known call.")
@click.option("--require", metavar="FIELD", multiple=True, help="A field that must be there; repeatable.")
@click.option("--include", metavar="PATTERN", multiple=True, help="What is a recording; repeatable.")
@click.option("--exclude", metavar="PATTERN", multiple=True, help="What is none after all; repeatable.")
@click.option("--since", type=_CallTime(), help="Calls that began since: 2026-01-31, 2026-01-31T04:00Z.")
@click.option("--until", type=_CallTime(end=True), help="Calls that began until; a date includes its day.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N of the order.")
@click.option("--order", type=click.Choice([o.value for o in Order]), default="oldest", show_default=True,
              help="By the files' own times.")  # fmt: skip
@click.option("--name", metavar="NAME", help="What it is called; default: made from paths and settings.")
@click.option("--wait", type=click.Choice([w.value for w in Wait]), default="submitted", show_default=True,
              help="How far to wait.")  # fmt: skip
@click.option("--detach", is_flag=True, help="Hand it over to the running daemon and return.")
@click.option("--dry-run", is_flag=True, help="Judge every recording; send and write nothing.")
@common_options
def command(context: Context, /, *, paths: tuple[str, ...], source_name: str | None, **options: Any) -> int:
    """Send a historic archive: folders, recordings, or s3://bucket/prefix.

    What is there is counted first; then it is sent behind what is live, within the same budget. A running
    daemon gets it handed over; else this command sends it. The same paths, settings and name resume an
    import. Ctrl-C is safe. The files are never changed.
    """
    from uploader.cli.import_run import run
    from uploader.service.imports.targets import check_names, read_targets
    from uploader.settings.order import ImportOrder
    from uploader.sources.folder.rules import Rules

    request = _request(options)
    settings = context.settings(need_secrets=not (request.dry_run or request.detach))
    targets = read_targets([os.fsencode(path) for path in paths])
    source = _source(settings, source_name, targets, options)
    if not targets.bucket:
        check_names(targets, Rules(include=source.include, exclude=source.exclude))
        if settings.staging is None and not request.dry_run:
            raise UsageError("[staging] is missing", hint="local recordings need a place to be fetched from")
    order = ImportOrder(source=source, paths=targets.paths, since=options["since"], until=options["until"])
    named = next((one for one in settings.sources if one.name == source_name), None)
    return run(context, settings, order, targets, request, named)


def _request(options: dict[str, Any]) -> Request:
    from uploader.settings.values import SOURCE_NAME

    name = options["name"]
    if name is not None and not SOURCE_NAME.fullmatch(name):
        raise UsageError("--name is no name for an import", hint=f"it is {_NAME_RULE}")
    if options["detach"] and options["dry_run"]:
        raise UsageError("--dry-run hands nothing over", hint="leave --detach out")
    return Request(
        name=name,
        limit=options["limit"],
        order=Order(options["order"]),
        wait=Wait(options["wait"]),
        detach=options["detach"],
        dry_run=options["dry_run"],
    )


def _source(settings: Settings, name: str | None, targets: Targets, options: dict[str, Any]) -> SourceSettings:
    """Return how the recordings are treated: the source's settings, changed by the command line's."""
    from uploader.settings.load import changed_source
    from uploader.settings.model import SourceSettings
    from uploader.settings.order import PSEUDO_SOURCE

    base = SourceSettings(name=PSEUDO_SOURCE, type="folder", path="/")
    if name is not None:
        found = next((one for one in settings.sources if one.name == name), None)
        if found is None:
            known = ", ".join(one.name for one in settings.sources) or "none"
            raise UsageError("there is no source of that name", hint=f"configured are: {known}")
        base = found
    changes = {key: options[key] for key in _CHANGES if options[key] is not None}
    changes |= {key: _words(options[key]) for key in _LISTS if options[key]}
    try:
        return changed_source(base, _place(settings, base, targets.bucket) | changes)
    except ConfigurationError as exc:
        raise ConfigurationError(
            "the settings of this import have a mistake", problems=tuple(_named_as_given(p) for p in exc.problems)
        ) from None


def _named_as_given(problem: Problem) -> Problem:
    key = problem.field.removeprefix("sources.").partition(".")[2].partition(".")[0]
    return replace(problem, field=f"--{key.replace('_', '-')}") if key in {*_CHANGES, *_LISTS} else problem


def _words(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.strip() for value in values for word in value.split(",") if word.strip())


def _place(settings: Settings, base: SourceSettings, bucket: str) -> dict[str, Any]:
    """Return where it lies, as keys of a source; a bucket's access is that of the source, or of one that has it."""
    if not bucket:
        return {"type": "folder", "path": base.path or "/", "bucket": "", "prefix": ""}
    having = (one for one in settings.sources if one.type == "s3" and one.bucket == bucket)
    access = base if base.type == "s3" else next(having, None)
    keys = ("region", "endpoint_url", "aws_profile", "role_arn", "external_id")
    known = {} if access is None else {key: getattr(access, key) for key in keys}
    return {"type": "s3", "path": "", "bucket": bucket, "prefix": ""} | known
