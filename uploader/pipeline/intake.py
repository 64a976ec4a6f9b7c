"""The first step: a discovered recording becomes ready, or waits, or is quarantined, or is a duplicate."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

import structlog

from uploader.domain import identity, settling
from uploader.domain.lifecycle import Event
from uploader.domain.matching import match_key
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import MediaFacts, MediaKind, Stamp, State
from uploader.errors import RecordingFault, RowMoved
from uploader.ledger.changes import reason_of
from uploader.ledger.identity import Contents, Identity
from uploader.ledger.ledger import Ledger
from uploader.ledger.onward import Advance, Onward
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.pipeline.places import Place
from uploader.pipeline.spec import SourceSpec
from uploader.pipeline.understand import Understanding, understand
from uploader.platform.clock import Clock

log = structlog.get_logger()

VANISHED_AFTER = timedelta(days=1)
"""A file that is gone may come back: a share that was remounted, a tool that replaces by renaming."""
_LOOK_AGAIN_MS = 60 * 60 * 1000
_GONE = "the file is not there just now; it is given a day to come back"
_SHORTEST_WAIT_MS = 20
_TURN_SECONDS = 0.005
_NS_PER_MS = 1_000_000
_IMPORT_LOOKS = 3
"""So often is a file of an import looked at again that is another each time."""
_MEDIA_FACTS = tuple(f.name for f in fields(MediaFacts))
_STILL_CHANGING = "the file was still changing: `retry` once it rests"


GoingOn = Callable[[RecordingRow], Onward | None]
"""Given a recording as it will be once it is ready, says what is to follow in the same transaction."""


def _stay(row: RecordingRow) -> None:
    """Let nothing follow."""


class Intake:
    """Takes discovered rows as far as they can go now."""

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._turn = threading.Lock()

    def step(self, row: RecordingRow, spec: SourceSpec, place: Place, *, onward: GoingOn = _stay) -> Advance | None:
        """Judge one claimed row; return it when it is ready and still ours, else None (it was released).

        `onward` is asked, once it is understood, how far it may go at once if it proves to be new.
        Raises RowMoved, and what the place and `onward` raise.
        """
        try:
            stamp = place.stamp(row.location)
            if stamp is None:
                self._vanished(row, spec)
            elif self._rests(row, spec, stamp):
                return self._judge(row, spec, place, self._understood(place, row, spec), onward)
        except RecordingFault as fault:
            self._quarantine(row, Reason(fault.code), str(fault))
        return None

    def _understood(self, place: Place, row: RecordingRow, spec: SourceSpec) -> Understanding:
        """Understand one recording at a time, as long as each takes no longer than `_TURN_SECONDS`.

        Threads that all reckon at once hinder each other more than they help; those that wait for a slow disk do not.
        """
        has_turn = self._turn.acquire(timeout=_TURN_SECONDS)
        try:
            return understand(place, row.location, spec)
        finally:
            if has_turn:
                self._turn.release()

    def _now(self) -> int:
        return to_ms(self._clock.now())

    def _rests(self, row: RecordingRow, spec: SourceSpec, stamp: Stamp) -> bool:
        now = self._now()
        if spec.is_import:
            return stamp == row.stamp or self._look_again(row, spec, stamp)
        rested = max(0, now - row.stamped_at) / 1000
        rest = settling.judge(row.stamp, stamp, rested_seconds=rested, settle_seconds=spec.settle_seconds)
        if rest.rests and stamp == row.stamp:
            return True
        changed: dict[str, Any] = {} if stamp == row.stamp else _stamped(stamp, now)
        if row.reason_code == Reason.FILE_VANISHED:
            changed |= {"reason_code": None, "reason": None}
        due = now + max(_SHORTEST_WAIT_MS if stamp != row.stamp else 0, int(rest.wait_seconds * 1000))
        self._ledger.recordings.release(row, due_at=due, **changed)
        return False

    def _look_again(self, row: RecordingRow, spec: SourceSpec, stamp: Stamp) -> bool:
        """Give a file of an import that has just changed a moment to rest, but not for ever."""
        if row.looks >= _IMPORT_LOOKS:
            raise RecordingFault(_STILL_CHANGING, code=Reason.SOURCE_CHANGED)
        now = self._now()
        due = now + int(spec.settle_seconds * 1000)
        self._ledger.recordings.release(row, due_at=due, looks=row.looks + 1, **_stamped(stamp, now))
        return False

    def _vanished(self, row: RecordingRow, spec: SourceSpec) -> None:
        now = self._now()
        known = row.reason_code == Reason.FILE_VANISHED
        if spec.is_import or (known and now - row.stamped_at >= VANISHED_AFTER // timedelta(milliseconds=1)):
            self._quarantine(row, Reason.FILE_VANISHED, REASONS[Reason.FILE_VANISHED][0])
            return
        # From now on `stamped_at` is when it was first missed.
        since = {} if known else {"stamped_at": now, "reason_code": Reason.FILE_VANISHED.value, "reason": _GONE}
        self._ledger.recordings.release(row, due_at=now + _LOOK_AGAIN_MS, **since)

    def _judge(
        self, row: RecordingRow, spec: SourceSpec, place: Place, found: Understanding, onward: GoingOn
    ) -> Advance | None:
        if found.waits and not spec.is_import and self._waits_on(row, spec, found.waits):
            return None
        is_fresh = found.sidecar_mtime_ns and (spec.is_import or not found.fault)
        # Nothing wakes an import's recording when its half-written sidecar is finished: look before judging.
        if is_fresh and self._sidecar_is_fresh(row, spec, found):
            return None
        if found.fault:
            self._quarantine(row, found.fault, found.message, found)
            return None
        if not spec.takes(_start_of(found)):
            self._leave_out(row, found)
            return None
        content = place.content_id(row.location, row.stamp)
        if content is None:
            self._ledger.recordings.release(row, due_at=self._now() + _SHORTEST_WAIT_MS)
            return None
        return self._make_ready(row, spec, place, found, content, onward)

    def _waits_on(self, row: RecordingRow, spec: SourceSpec, waits: Reason) -> bool:
        until = row.stamped_at + int(spec.sidecar_wait_seconds * 1000)
        if self._now() >= until:
            return False
        why = {"reason_code": waits.value, "reason": REASONS[waits][0]}
        self._ledger.recordings.release(row, due_at=until, **why)
        return True

    def _sidecar_is_fresh(self, row: RecordingRow, spec: SourceSpec, found: Understanding) -> bool:
        """A sidecar must rest like a recording: it may be half written."""
        now = self._now()
        age_ms = now - found.sidecar_mtime_ns // _NS_PER_MS
        if not 0 <= age_ms < spec.settle_seconds * 1000:
            return False
        self._ledger.recordings.release(row, due_at=now + int(spec.settle_seconds * 1000) - age_ms)
        return True

    def _make_ready(
        self,
        row: RecordingRow,
        spec: SourceSpec,
        place: Place,
        found: Understanding,
        content: tuple[str, bytes | None],
        onward: GoingOn,
    ) -> Advance | None:
        mapped, media = found.mapped, found.media
        if mapped is None or mapped.particulars is None or media is None:
            raise RuntimeError("an understanding without a fault has particulars and media")
        known = Identity(
            content_id=content[0],
            sha256=content[1],
            call_key=identity.call_key(mapped.call_id, mapped.particulars),
            match_key=match_key(mapped.particulars),
            same_call=spec.same_call,
        )
        contents = Contents(
            body=json.dumps(mapped.particulars.body(), ensure_ascii=False, separators=(",", ":")),
            media=media_to_json(media),
            sidecar=found.sidecar,
        )
        following = onward(row.evolved(body=contents.body, media=contents.media))
        if following is None:
            after = Advance(row=self._ledger.recordings.make_ready(row, known, contents, at=self._now()))
        else:
            after = self._ledger.recordings.advance(row, known, contents, onward=following, at=self._now())
        log.info("recording.understood", id=row.id, source=row.source, state=after.row.state.value)
        if after.row.state is State.DUPLICATE:
            self._relieve(after.row, place)
        return after if after.row.claimed is not None else None

    def _relieve(self, duplicate: RecordingRow, place: Place) -> None:
        """When the recording that this one repeats waits for a file that is gone, it goes on with this file.

        So a file that is renamed while it waits is sent under its new name.
        """
        if duplicate.duplicate_of is None:
            return
        first = self._ledger.recordings.get(duplicate.duplicate_of)
        if first is None or first.state not in {State.READY, State.STAGED} or first.source_n != duplicate.source_n:
            return
        if first.import_n or duplicate.import_n:
            return  # an import has each location once; what it finds gone it gives up at once, which wakes this one
        if place.stamp(first.location) is not None:
            return
        try:
            self._ledger.recordings.relocate(first, by=duplicate, at=self._now())
        except RowMoved:
            return

    def _leave_out(self, row: RecordingRow, found: Understanding) -> None:
        media = media_to_json(found.media) if found.media else None
        why = reason_of(Reason.OUTSIDE_FILTER)
        self._ledger.recordings.apply(
            row, Event.LEFT_OUT, at=self._now(), media=media, sidecar=found.sidecar, looks=0, **why
        )

    def _quarantine(self, row: RecordingRow, code: Reason, message: str, found: Understanding | None = None) -> None:
        media = media_to_json(found.media) if found and found.media else None
        sidecar = found.sidecar if found else None
        self._ledger.recordings.apply(
            row, Event.FAULTED, at=self._now(), media=media, sidecar=sidecar, looks=0, **reason_of(code, message)
        )
        log.warning("recording.quarantined", id=row.id, source=row.source, reason=code.value)


def _start_of(found: Understanding) -> datetime | None:
    known = found.mapped.particulars if found.mapped else None
    return known.start_time if known else None


def _stamped(stamp: Stamp, now: int) -> dict[str, int]:
    return {
        "size_bytes": stamp.size_bytes, "mtime_ns": stamp.mtime_ns, "inode": stamp.inode, "stamped_at": now
    }  # fmt: skip


def media_to_json(media: MediaFacts) -> str:
    """Return the facts as the ledger keeps them."""
    known = {name: value for name in _MEDIA_FACTS if (value := getattr(media, name)) is not None}
    return json.dumps(known, separators=(",", ":"))


def media_from_json(document: str) -> MediaFacts:
    """Read what `media_to_json` wrote."""
    values = json.loads(document)
    return MediaFacts(**values | {"kind": MediaKind(values["kind"])})
