"""Judging an archive without sending: what the intake would say of each recording. Writes nothing."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Sequence

from uploader.domain import identity
from uploader.domain.identity import Verdict
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import RecordingFault
from uploader.ledger.ledger import Ledger
from uploader.pipeline.places import Place
from uploader.pipeline.spec import SourceSpec
from uploader.pipeline.understand import Understanding, understand
from uploader.service.imports.finding import Found

Judgement = tuple[State, Reason | None]
"""Where a recording would stand, and why; `ready` is what would be sent."""


class Rehearsal:
    """Judges recordings one after the other. `ledger` is None where there is none yet."""

    def __init__(self, place: Place, spec: SourceSpec, *, ledger: Ledger | None, import_n: int | None) -> None:
        self._place = place
        self._spec = spec
        self._ledger = ledger
        self._import_n = import_n
        self._seen = _Seen()
        self.counts: Counter[State] = Counter()
        self.reasons: Counter[tuple[State, Reason]] = Counter()
        self.size_bytes = 0
        """Of what would be sent."""

    def take(self, batch: Sequence[Found]) -> None:
        """Judge a batch; what this import has already stands as it stands. Raises what the place raises."""
        known = {}
        if self._ledger is not None and self._import_n is not None:
            known = self._ledger.imports.known(self._import_n, [found.location for found in batch])
        for found in batch:
            at_hand = known.get(found.location)
            if at_hand is not None and at_hand.stamp == found.stamp:
                self._count(at_hand.state, None)
            else:
                state, reason = self.judge(found)
                self._count(state, reason)
                self.size_bytes += found.stamp.size_bytes if state is State.READY else 0

    def judge(self, found: Found) -> Judgement:
        """Judge one recording as it lies there now."""
        try:
            stamp = self._place.stamp(found.location)
            if stamp is None:
                return State.QUARANTINED, Reason.FILE_VANISHED
            understood = understand(self._place, found.location, self._spec)
            content = None if understood.fault else self._place.content_id(found.location, stamp)
        except RecordingFault as fault:
            return State.QUARANTINED, Reason(fault.code)
        if understood.fault:
            return State.QUARANTINED, understood.fault
        particulars = understood.mapped.particulars if understood.mapped else None
        if not self._spec.takes(particulars.start_time if particulars else None):
            return State.SKIPPED, Reason.OUTSIDE_FILTER
        if content is None:
            return State.QUARANTINED, Reason.SOURCE_CHANGED
        return self._identify(found.location, content[0], _call_key(understood))

    def close(self) -> None:
        """Forget what was seen."""
        self._seen.close()

    def _identify(self, location: bytes, content_id: str, call_key: str | None) -> Judgement:
        same, is_call_known = self._seen.alike(content_id, call_key)
        if self._ledger is not None:
            more, is_known_there = self._ledger.recordings.alike(content_id, call_key)
            same, is_call_known = [*same, *more], is_call_known or is_known_there
        verdict = identity.judge(
            key=call_key,
            same_content=[key for key, _ in same],
            same_call_exists=is_call_known,
            same_call=self._spec.same_call,
        )
        if verdict is Verdict.NEW:
            self._seen.add(location, content_id, call_key)
            return State.READY, None
        if verdict is Verdict.HOLD:
            return State.QUARANTINED, Reason.SAME_CALL
        if any(other == location for _, other in same):
            return State.SKIPPED, Reason.SETTLED_BEFORE
        return State.DUPLICATE, Reason.SAME_RECORDING

    def _count(self, state: State, reason: Reason | None) -> None:
        self.counts[state] += 1
        if reason is not None:
            self.reasons[state, reason] += 1


class _Seen:
    """What this rehearsal would have sent so far, out of memory."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # A rehearsal that is killed leaves nothing to recover.
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (content_id TEXT, call_key TEXT, location BLOB)")
        self._db.execute("CREATE INDEX seen_content ON seen (content_id)")
        self._db.execute("CREATE INDEX seen_call ON seen (call_key)")

    def add(self, location: bytes, content_id: str, call_key: str | None) -> None:
        self._db.execute("INSERT INTO seen VALUES (?, ?, ?)", (content_id, call_key, location))

    def alike(self, content_id: str, call_key: str | None) -> tuple[list[tuple[str | None, bytes]], bool]:
        same = self._db.execute("SELECT call_key, location FROM seen WHERE content_id = ?", (content_id,)).fetchall()
        other = self._db.execute(
            "SELECT 1 FROM seen WHERE call_key = ? AND content_id <> ? LIMIT 1", (call_key, content_id)
        ).fetchone()
        return [(key, bytes(location)) for key, location in same], other is not None

    def close(self) -> None:
        self._db.close()


def _call_key(understood: Understanding) -> str | None:
    mapped = understood.mapped
    if mapped is None or mapped.particulars is None:
        raise RuntimeError("an understanding without a fault has particulars")
    return identity.call_key(mapped.call_id, mapped.particulars)
