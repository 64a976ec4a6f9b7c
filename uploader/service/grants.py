"""What the builtin server may serve, answered from the ledger; and what it tells of being fetched."""

from __future__ import annotations

import structlog

from uploader.domain.lifecycle import Event
from uploader.domain.recording import State
from uploader.errors import RowMoved
from uploader.ledger.changes import ANY_CLAIM, apply
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.media.formats import content_type
from uploader.pipeline.intake import media_from_json
from uploader.platform.clock import Clock
from uploader.service.meters import FetchMeters
from uploader.staging.builtin import Grant

log = structlog.get_logger()


class LedgerGrants:
    """Serves attempts that were written, were not revoked, and whose file is still the one."""

    def __init__(self, ledger: Ledger, clock: Clock, meters: FetchMeters | None = None) -> None:
        self._ledger = ledger
        self._clock = clock
        self._meters = meters or FetchMeters()

    def grant(self, recording_id: str, attempt: int) -> Grant | None:
        """Return what a properly signed URL gives now. Raises LedgerError."""
        row = self._ledger.recordings.by_id(recording_id)
        made = None if row is None else self._ledger.attempts.get(row.n, attempt)
        if row is None or made is None or row.media is None:
            return None
        return Grant(
            path=row.location,
            stamp=row.stamp,
            content_type=content_type(media_from_json(row.media)),
            revoked=made.revoked_at is not None,
        )

    def fetched(
        self, recording_id: str, attempt: int, *, first_byte: int, last_byte: int, complete: bool, status: int,
        agent: str,
    ) -> None:  # fmt: skip
        """Write the bytes that were delivered to their attempt: fetched to the end means accepted."""
        self._meters.fetched(status=status, size_bytes=last_byte - first_byte + 1)
        row = self._ledger.recordings.by_id(recording_id)
        made = None if row is None else self._ledger.attempts.get(row.n, attempt)
        if row is None or made is None:
            return
        log.info(
            "recording.fetched",
            id=recording_id,
            attempt=attempt,
            status=status,
            bytes=last_byte - first_byte + 1,
            complete=complete,
        )
        if last_byte >= first_byte:
            self._ledger.attempts.fetched(
                made.n, first=first_byte, last=last_byte, size=row.size_bytes, at=to_ms(self._clock.now())
            )

    def source_changed(self, recording_id: str) -> None:
        """Judge a recording again whose file changed while it waits; what is sent is only noted."""
        row = self._ledger.recordings.by_id(recording_id)
        if row is None:
            return
        log.warning("recording.source_changed", id=recording_id, state=row.state.value)
        if row.state not in {State.READY, State.STAGED}:
            return
        now = to_ms(self._clock.now())
        try:
            self._ledger.recordings.write(
                lambda db: apply(db, row, Event.CHANGED, at=now, claim=ANY_CLAIM, due_at=now, detail="the file changed")
            )
        except RowMoved:
            return
