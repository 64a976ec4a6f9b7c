"""`explain`: what would be sent of recordings and why, field by field. Sends nothing and writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from uploader.cli.common import Context, common_options, complete_path
from uploader.cli.output import emit_json, human_duration, printable
from uploader.cli.rendering import print_aligned, recordings, styled
from uploader.errors import Problem, UsageError

if TYPE_CHECKING:
    from uploader.domain.recording import MediaFacts
    from uploader.pipeline.places import Place
    from uploader.pipeline.spec import SourceSpec
    from uploader.service.operations.explanations import Explanation
    from uploader.settings.model import Settings, SourceSettings

_NEEDS_ATTENTION = 1
_PREFIX = "QM_UPLOADER_"
_INDENT = "  "


@dataclass(frozen=True, slots=True, kw_only=True)
class _Subject:
    """What one PATH means: the recordings, and how their source has them read. `orphans`: sidecars without one."""

    place: Place
    spec: SourceSpec
    root: bytes
    locations: Iterator[bytes]
    orphans: Callable[[], int] = int


@click.command("explain")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", shell_complete=complete_path)
@click.option("--profile", metavar="NAME", help="How the sidecars are read; default: what the source says.")
@common_options
def command(context: Context, paths: tuple[str, ...], profile: str | None) -> int:
    """Show what would be sent of recordings and why, field by field. Nothing is sent or written.

    PATH is a recording, a folder (every recording in it), or an s3:// URI in a configured source. The source
    that it lies in says how it is read; elsewhere, or without a configuration, the profile `native` does,
    and a sidecar is required. Exit code 1 when any would not be sent.
    """
    from uploader.service.operations.explanations import check_profile, explain

    if profile is not None:
        check_profile(profile)
    settings = _settings(context)
    given = [_Given(text=path, number=number, of=len(paths)) for number, path in enumerate(paths, start=1)]
    told = kept = 0
    subjects = [_subject(one, settings, profile) for one in given]
    for subject in subjects:
        for location in subject.locations:
            found = explain(subject.place, location, subject.spec, root=subject.root)
            if context.json:
                emit_json(_document(found))
            else:
                _print(found, color=context.color, first=not told)
            told, kept = told + 1, kept + (found.body is None)
    _sum_up(context, told, kept, orphans=sum(subject.orphans() for subject in subjects))
    return _NEEDS_ATTENTION if kept else 0


def _sum_up(context: Context, told: int, kept: int, *, orphans: int) -> None:
    if not told:
        context.note("No recordings there.")
    elif told > 1:
        context.say(f"\n{recordings(told)}: {told - kept:,} would be sent, {kept:,} would not.")
    if orphans:
        context.note(f"{orphans:,} sidecar{'s' if orphans > 1 else ''} without a recording.")


def _settings(context: Context) -> Settings | None:
    """Return the settings, or None where there is no configuration and none was named."""
    from uploader.settings.layers import CONFIG_VARIABLE
    from uploader.settings.load import DEFAULT_PATH

    named = context.config is not None or os.environ.get(CONFIG_VARIABLE)
    if not named and not any(name.startswith(_PREFIX) for name in os.environ):
        if not os.access(DEFAULT_PATH, os.F_OK):
            return None
        if not os.access(DEFAULT_PATH, os.R_OK):
            context.note("The configuration cannot be read by this user: explained without it.")
            return None
    return context.settings(need_secrets=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """One PATH of the command line; errors name it by its place, not by what it says."""

    text: str
    number: int
    of: int

    def error(self, message: str, hint: str) -> UsageError:
        return UsageError(f"PATH {self.number}: {message}" if self.of > 1 else message, hint=hint)


def _subject(given: _Given, settings: Settings | None, profile: str | None) -> _Subject:
    sources = settings.sources if settings is not None else ()
    if given.text.startswith("s3://"):
        return _in_bucket(given, [s for s in sources if s.type == "s3"], profile)
    # abspath, not resolve: links are judged by the source, as they lie there
    location = os.fsencode(os.path.abspath(given.text))  # noqa: PTH100
    if not os.path.lexists(location):
        raise given.error("there is no such file or folder", "quote names with blanks")
    return _in_folder(location, [s for s in sources if s.type == "folder"], profile)


def _in_folder(location: bytes, sources: list[SourceSettings], profile: str | None) -> _Subject:
    from uploader.app.values import root_of, spec_of
    from uploader.pipeline.places import FolderNames, FolderPlace
    from uploader.service.operations.explanations import FolderListing

    source, location = _source_of(location, sources)
    is_folder = os.path.isdir(location)  # noqa: PTH112 (names are bytes)
    if source is None:
        source, root = _native(), location if is_folder else os.path.dirname(location)  # noqa: PTH120
    else:
        root = root_of(source)
    spec = spec_of(_with_profile(source, profile))
    listing = FolderListing(location, root=root, rules=spec.rules)
    return _Subject(
        place=FolderPlace(root, rules=spec.rules, siblings=FolderNames()),
        spec=spec,
        root=root,
        locations=listing.recordings() if is_folder else iter([location]),
        orphans=lambda: listing.orphans,
    )


def _source_of(location: bytes, sources: list[SourceSettings]) -> tuple[SourceSettings | None, bytes]:
    """Return the innermost source that `location` lies in, and the location as that source names it."""
    from uploader.app.values import root_of

    found: list[tuple[int, SourceSettings, bytes]] = []
    for source in sources:
        root = root_of(source)
        for one, start in ((location, root), (os.path.realpath(location), os.path.realpath(root))):
            if one == start or one.startswith(start.rstrip(b"/") + b"/"):
                found.append((len(root), source, root.rstrip(b"/") + one[len(start.rstrip(b"/")) :] or b"/"))
                break
    _, source_or_none, named = max(found, key=lambda one: one[0], default=(0, None, location))
    return source_or_none, named


def _in_bucket(given: _Given, sources: list[SourceSettings], profile: str | None) -> _Subject:
    from uploader.app.values import bucket_of, place_of, root_of, spec_of
    from uploader.platform.clock import SystemClock
    from uploader.platform.s3 import Bucket
    from uploader.service.operations.explanations import bucket_recordings
    from uploader.sources.s3.location import parse_location

    try:
        bucket, key = parse_location(given.text)
    except ValueError:
        raise given.error("this is no S3 URI", "write s3://BUCKET/KEY") from None
    inside = [s for s in sources if s.bucket == bucket and key.startswith(s.prefix)]
    if not inside:
        raise given.error("this lies in no configured source", "add a source of type s3 for it, and name --config")
    source = max(inside, key=lambda one: len(one.prefix))
    spec, root, clock = spec_of(_with_profile(source, profile)), root_of(source), SystemClock()
    locations = iter([os.fsencode(given.text)])
    if not key or key.endswith("/"):
        access = replace(bucket_of(source, clock, workers=1).access, prefix=key)
        locations = bucket_recordings(Bucket(access, clock=clock), root=root, rules=spec.rules)
    return _Subject(place=place_of(source, clock, workers=1), spec=spec, root=root, locations=locations)


def _native() -> SourceSettings:
    from uploader.settings.model import SourceSettings

    return SourceSettings(name="none", type="folder")


def _with_profile(source: SourceSettings, profile: str | None) -> SourceSettings:
    return source if profile is None else source.model_copy(update={"profile": profile})


def _document(found: Explanation) -> dict[str, Any]:
    return {
        "recording": _text(found.recording),
        "sidecar": None if found.sidecar is None else _text(found.sidecar),
        "profile": found.profile,
        "body": found.body,
        "problems": _problems(found.problems),
        "notes": _problems(found.notes),
        "media": None if found.media is None else _media(found.media),
    }


def _problems(problems: tuple[Problem, ...]) -> list[dict[str, str]]:
    return [{"field": one.field, "message": one.message} for one in problems]


def _media(media: MediaFacts) -> dict[str, Any]:
    return {
        "format": media.format,
        "codec": media.codec,
        "channels": media.channels,
        "sample_rate": media.sample_rate,
        "duration_seconds": media.duration_seconds,
    }


def _text(location: bytes) -> str:
    return location.decode("utf-8", "surrogateescape")


def _print(found: Explanation, *, color: bool, first: bool) -> None:
    if not first:
        click.echo()
    click.echo(styled(printable(_text(found.recording)), "bold", color=color))
    verdict = ("would not be sent", "red") if found.body is None else ("would be sent", "green")
    click.echo(_INDENT + styled(verdict[0], verdict[1], color=color))
    for problem in found.problems:
        click.echo(f"{_INDENT}{styled('problem', 'red', color=color)}  {problem.field}: {problem.message}")
    for note in found.notes:
        click.echo(f"{_INDENT}{styled('note', 'yellow', color=color)}     {note.field}: {note.message}")
    sidecar = "none" if found.sidecar is None else printable(_text(found.sidecar.rpartition(b"/")[2]))
    click.echo(f"{_INDENT}sidecar  {sidecar} (profile {found.profile})")
    if found.media is not None:
        click.echo(f"{_INDENT}media    {_media_words(found.media)}")
    _print_fields(found)


def _media_words(media: MediaFacts) -> str:
    parts = [
        media.kind.value,
        media.format,
        media.codec,
        f"{media.channels} ch" if media.channels else "",
        f"{media.sample_rate} Hz" if media.sample_rate else "",
        human_duration(media.duration_seconds),
    ]
    return ", ".join(part for part in parts if part)


def _print_fields(found: Explanation) -> None:
    told = [one for one in found.fields if one.source != "none" or one.note]
    if not told:
        return
    rows = [["FIELD", "VALUE", "FROM", "WRITTEN AS"]]
    above = {(one.field, one.message) for one in (*found.problems, *found.notes)}
    for one in told:
        written = one.raw if one.raw is not None and one.raw != one.value else ""
        remark = f"({one.note})" if one.note and (one.field, one.note) not in above else ""
        rows.append([one.field, printable(one.value or "-"), one.source, f"{written}  {remark}".strip()])
    click.echo()
    print_aligned(rows, indent=_INDENT)
    rest = [one.field for one in found.fields if one not in told]
    if rest:
        click.echo(f"{_INDENT}without: {', '.join(rest)}")
