"""Finding recordings: by what a person types, and by filters. Changes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.domain.lifecycle import TRANSITIONS, Event
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import State
from uploader.errors import UsageError
from uploader.ledger.filters import Filter
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.service.operations.views import (
    AttemptView,
    HappeningView,
    Particularities,
    RecordingView,
    attempt_view,
    happening_view,
    particularities,
    recording_view,
)

_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Filters as a person gives them; what is None does not matter. Times are of discovery, `until` excluded."""

    states: tuple[State, ...] = ()
    source: str | None = None
    import_name: str | None = None
    reason: Reason | None = None
    overdue: bool = False
    since: datetime | None = None
    until: datetime | None = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is asked for in particular."""
        return self == Wanted()


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Recordings that stand in one state for one reason."""

    state: str
    reason_code: str
    count: int
    reason: str
    hint: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Remedy:
    """What can be done: a command (empty: nothing to type) and what it comes to."""

    command: str
    effect: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Everything that is known of one recording."""

    recording: RecordingView
    more: Particularities
    attempts: tuple[AttemptView, ...]
    history: tuple[HappeningView, ...]
    remedies: tuple[Remedy, ...]


def overdue_before(now: datetime, deadline: timedelta) -> int:
    """Return before which time (ms) something must have been submitted to be overdue now."""
    return to_ms(now - deadline)


def filter_of(ledger: Ledger, wanted: Wanted, *, overdue_before: int, sources: Iterable[str] = ()) -> Filter:
    """Return what the ledger is asked for. `sources` are known besides those of the ledger.

    Raises UsageError for a source or import that does not exist.
    """
    known = {row.name for row in ledger.discovery.sources()} | set(sources)
    if wanted.source is not None and wanted.source not in known:
        raise unknown("source", wanted.source, known)
    imports = {row.name for row in ledger.discovery.imports()} if wanted.import_name is not None else set()
    if wanted.import_name is not None and wanted.import_name not in imports:
        raise unknown("import", wanted.import_name, imports)
    return Filter(
        states=wanted.states,
        source=wanted.source,
        import_name=wanted.import_name,
        reason=None if wanted.reason is None else wanted.reason.value,
        overdue_before=overdue_before if wanted.overdue else None,
        since=None if wanted.since is None else to_ms(wanted.since),
        until=None if wanted.until is None else to_ms(wanted.until),
    )


def unknown(what: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name that means nothing, with those that do."""
    from difflib import get_close_matches

    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    those = (
        f"known: {', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}" if names else "there is none yet"
    )
    return UsageError(f"there is no {what} of this name", hint=f"did you mean {near[0]}? {those}" if near else those)


def recordings(ledger: Ledger, filter_: Filter, *, limit: int | None = None) -> Iterator[RecordingView]:
    """Return recordings in the order of discovery, as they are read."""
    return map(recording_view, ledger.recordings.search(filter_, limit=limit))


def groups(ledger: Ledger, filter_: Filter) -> list[Group]:
    """Return how many recordings stand where for which reason, the most frequent first."""
    return [group(state, code, count) for state, code, count in ledger.recordings.reasons(filter_)]


def group(state: str, code: str, count: int) -> Group:
    """Return a count with what its reason code means."""
    reason, hint = REASONS.get(Reason(code), ("", "")) if code in set(Reason) else ("", "")
    return Group(state=state, reason_code=code, count=count, reason=reason, hint=hint)


def find(ledger: Ledger, text: str) -> RecordingRow:
    """Return the one recording that `text` means: a ledger id or its beginning, an interaction id, a path.

    Raises UsageError when there is none, or more than one.
    """
    found = ledger.recordings.find(text) if text else []
    if not found and text and not text.startswith("s3://"):
        # abspath, not resolve: the ledger has locations as they were found, links unresolved
        found = ledger.recordings.find(os.path.abspath(text))  # noqa: PTH100
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            "no recording has this id, interaction id or path",
            hint="`qm-uploader list` shows what there is; a file is named by its whole path",
        )
    ids = [row.id for row in found]
    shown = ", ".join(ids[:_SHOWN]) + (", …" if len(ids) > _SHOWN else "")
    raise UsageError(f"this may mean several recordings: {shown}", hint="name one of them by its id")


def find_all(ledger: Ledger, texts: Iterable[str]) -> list[RecordingRow]:
    """Return the recordings that `texts` mean, each once. Raises UsageError as `find` does."""
    return list({row.n: row for row in (find(ledger, text) for text in texts)}.values())


def account(ledger: Ledger, row: RecordingRow, *, overdue_before: int) -> Account:
    """Return everything that is known of `row`, and what can be done."""
    first = None if row.duplicate_of is None else ledger.recordings.get(row.duplicate_of)
    more = particularities(row, first=first)
    return Account(
        recording=recording_view(row),
        more=more,
        attempts=tuple(attempt_view(one) for one in ledger.attempts.of(row.n)),
        history=tuple(happening_view(one) for one in ledger.recordings.history(row.n)),
        remedies=remedies(row, more, is_overdue=is_overdue(row, overdue_before)),
    )


def is_overdue(row: RecordingRow, overdue_before: int) -> bool:
    """Say whether `row` waits for its analysis longer than it should."""
    return row.state is State.SUBMITTED and row.submitted_at is not None and row.submitted_at < overdue_before


def remedies(row: RecordingRow, more: Particularities, *, is_overdue: bool) -> tuple[Remedy, ...]:
    """Return what can be done about a recording where it stands, the likeliest first."""
    found = [*_of_pauses(row, more), *_of_reason(row), *_of_state(row, more, is_overdue=is_overdue)]
    if (row.state, Event.ADOPTED) in TRANSITIONS and row.state is not State.UNCONFIRMED:
        found.append(Remedy(command=f"adopt {row.id} INTERACTION_ID", effect="it is in Zoom already, as this one"))
    if (row.state, Event.DISCARDED) in TRANSITIONS:
        found.append(Remedy(command=f"discard {row.id} --reason TEXT", effect="give it up"))
    return tuple(found)


def _of_pauses(row: RecordingRow, more: Particularities) -> list[Remedy]:
    found = []
    if more.paused:
        target = f"--import {row.import_name}" if row.import_n else row.source
        found.append(Remedy(command=f"resume {target}", effect="it is paused"))
    if row.held == Reason.BACKLOG:
        found.append(Remedy(command=f"resume {row.source}", effect="let what the first scan found go its way"))
    return found


def _of_reason(row: RecordingRow) -> list[Remedy]:
    """The reason's own advice, where it is no command of the next lines."""
    if row.reason_code not in set(Reason) or row.state not in {State.QUARANTINED, State.REFUSED}:
        return []
    hint = Remedy(command="", effect=REASONS[Reason(row.reason_code)][1])
    unwatched = Remedy(command="", effect="files of an import are not watched: `retry` it once it is mended")
    return [hint, unwatched] if row.import_n and row.state is State.QUARANTINED else [hint]


def _of_state(row: RecordingRow, more: Particularities, *, is_overdue: bool) -> list[Remedy]:
    id_ = row.id
    second = Remedy(
        command=f"retry --new-interaction {id_}", effect="send it once more: a second one that nobody can delete"
    )
    repeated = [Remedy(command=f"show {more.duplicate_of}", effect="the one it repeats")] if more.duplicate_of else []
    if row.state in {State.QUARANTINED, State.REFUSED}:
        return [
            *repeated,
            Remedy(command=f"explain {quoted(row.location)}", effect="see what would be sent, field by field"),
            Remedy(command=f"retry {id_}", effect="send it round again"),
        ]
    if row.state is State.UNCONFIRMED:
        return [
            Remedy(command=f"adopt {id_} INTERACTION_ID", effect="you see it in Zoom: this is the one"),
            Remedy(command=f"retry {id_}", effect="look for it again now"),
            Remedy(command=f"retry --send-again {id_}", effect="you are sure that it is not in Zoom: send it"),
        ]
    if row.state is State.SUBMITTED and is_overdue:
        return [Remedy(command="", effect="look in Zoom whether it was analyzed; it is still followed"), second]
    if row.state is State.SUBMITTED:
        return [Remedy(command="", effect="nothing: its analysis is awaited")]
    if row.state is State.DUPLICATE:
        return [*repeated, second]
    return [second] if row.state is State.DISCARDED else _of_waiting(row)


def _of_waiting(row: RecordingRow) -> list[Remedy]:
    if row.state in {State.READY, State.STAGED}:
        return [Remedy(command="status", effect="it waits for its turn; this shows what keeps it waiting")]
    rests = "nothing: it rests, or waits for its sidecar"
    if row.reason_code == Reason.MEDIA_INCOMPLETE:
        rests = REASONS[Reason.MEDIA_INCOMPLETE][1]
    effect = {
        State.DISCOVERED: rests,
        State.SUBMITTING: "nothing: its request is under way",
        State.ANALYZED: "nothing: its analysis was seen",
        State.SKIPPED: "nothing; it is judged again when its file or sidecar changes",
    }[row.state]
    return [] if row.held else [Remedy(command="", effect=effect)]


def quoted(location: bytes) -> str:
    """Return a location as a shell takes it; bytes that are no UTF-8 and control characters are escaped."""
    import shlex

    text = location.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return shlex.quote(text)
    escaped = "".join(
        c
        if c.isprintable() and c not in "'\\"
        else "".join(f"\\x{b:02x}" for b in c.encode("utf-8", "surrogateescape"))
        for c in text
    )
    return f"$'{escaped}'"
