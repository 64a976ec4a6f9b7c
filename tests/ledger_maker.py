"""Ledgers for tests, made through the ledger's own calls: recordings taken to any state, as the daemon would."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from uploader.domain.identity import SameCall
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.ledger import changes
from uploader.ledger.identity import Contents, Identity
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import RecordingRow, to_ms
from uploader.ledger.settlement import Refusal
from uploader.ledger.sighting import Arrival, Sight

ROOT = "/srv/rec"


class LedgerMaker:
    """One ledger and the hand that writes it. `now` is what it takes for the time; change it at will."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.ledger = Ledger.open_beside(path)
        self.now = datetime(2026, 11, 20, 4, tzinfo=UTC)
        self._number = 0
        self._sources: dict[str, int] = {}

    def close(self) -> None:
        self.ledger.close()

    @property
    def at(self) -> int:
        return to_ms(self.now)

    def pass_time(self, **duration: float) -> None:
        self.now += timedelta(**duration)

    def source(self, name: str = "hq", root: str = ROOT) -> int:
        row = self.ledger.discovery.register(name=name, type_="folder", root=root.encode(), settings="", at=self.at)
        return row.n

    def get(self, row: RecordingRow) -> RecordingRow:
        found = self.ledger.recordings.get(row.n)
        assert found is not None
        return found

    def discovered(
        self, name: bytes | None = None, *, source: str = "hq", import_n: int = 0, held: Reason | None = None
    ) -> RecordingRow:
        self._number += 1
        name = name or b"call-%04d.wav" % self._number
        source_n = self.source(source)
        stamp = Stamp(size_bytes=1000 + self._number, mtime_ns=self._number, inode=self._number)
        self.ledger.discovery.record(
            source_n=source_n,
            directory=ROOT.encode(),
            sights=[Sight(name=name, stamp=stamp, is_recording=True)],
            gone=(),
            wake=(),
            arrival=Arrival(due_at=self.at, held=held, import_n=import_n),
            at=self.at,
        )
        (found,) = self.ledger.recordings.find(f"{ROOT}/{os.fsdecode(name)}")
        return found

    def sidecar(self, name: bytes, *, source: str = "hq") -> None:
        self.ledger.discovery.record(
            source_n=self.source(source),
            directory=ROOT.encode(),
            sights=[Sight(name=name, stamp=Stamp(size_bytes=9, mtime_ns=1, inode=1), is_recording=False)],
            gone=(),
            wake=(),
            arrival=Arrival(due_at=self.at),
            at=self.at,
        )

    def understood(
        self, row: RecordingRow | None = None, *, content: str | None = None, call: str | None = None
    ) -> RecordingRow:
        """Have its identity judged: ready, duplicate, or quarantined for its call."""
        row = row or self.discovered()
        content = content or f"{row.n:064x}"
        body = {"start_time": "2026-11-20T03:00:00Z", "interaction_info": {"from": f"+4930{row.n:06d}"}}
        return self.ledger.recordings.make_ready(
            row,
            Identity(
                content_id=f"sha256:{content}",
                sha256=bytes.fromhex(content),
                call_key=f"id:{call or row.n}",
                match_key=f"match-{row.n}",
                same_call=SameCall.HOLD,
            ),
            Contents(body=json.dumps(body), media='{"kind":"audio","format":"wav"}', sidecar=b"call.json"),
            at=self.at,
        )

    def duplicate(self) -> RecordingRow:
        first = self.understood()
        return self.understood(
            content=str(first.content_id).removeprefix("sha256:"), call=str(first.call_key).removeprefix("id:")
        )

    def staged(self, row: RecordingRow | None = None) -> RecordingRow:
        return self._apply(row or self.understood(), Event.STAGED, staged="{}", due_at=self.at)

    def sent(self, outcome: Outcome, row: RecordingRow | None = None, *, final: bool = False) -> RecordingRow:
        row = row or self.staged()
        begun = self.ledger.attempts.begin(row, at=self.at, day=self.now.date().isoformat())
        assert isinstance(begun, tuple), begun
        refusal = Refusal(due_at=self.at, at_fault=True, final=final)
        return self.ledger.attempts.finish(begun[0].n, outcome, at=self.at, refusal=refusal, track_at=self.at + 1000)

    def submitting(self) -> RecordingRow:
        begun = self.ledger.attempts.begin(self.staged(), at=self.at, day=self.now.date().isoformat())
        assert isinstance(begun, tuple)
        return begun[1]

    def submitted(self, interaction_id: str | None = None, row: RecordingRow | None = None) -> RecordingRow:
        self._number += 1
        made = interaction_id or f"interaction-{self._number}"
        return self.sent(Outcome(kind=Kind.ACCEPTED, interaction_id=made, status=201), row)

    def analyzed(self) -> RecordingRow:
        row = self.submitted()
        return self._apply(row, Event.ANALYZED, analyzed_at=self.at, evidence="transcript", detail="transcript")

    def unconfirmed(self, row: RecordingRow | None = None) -> RecordingRow:
        return self.sent(Outcome(kind=Kind.UNKNOWN, cause=Cause.TRANSPORT, message="the answer was lost"), row)

    def refused(self) -> RecordingRow:
        outcome = Outcome(kind=Kind.NOT_CREATED, cause=Cause.RECORDING, status=400, code=300, message="bad field")
        return self.sent(outcome, final=True)

    def quarantined(self, code: Reason = Reason.SIDECAR_MISSING, name: bytes | None = None) -> RecordingRow:
        return self._apply(self.discovered(name), Event.FAULTED, **changes.reason_of(code))

    def skipped(self) -> RecordingRow:
        return self._apply(self.discovered(), Event.LEFT_OUT, **changes.reason_of(Reason.OUTSIDE_FILTER))

    def discarded(self) -> RecordingRow:
        return self._apply(self.understood(), Event.DISCARDED, **changes.reason_of(Reason.DISCARDED))

    def in_state(self, state: State) -> RecordingRow:
        """Make a recording in `state`."""
        make = {State.READY: self.understood}.get(state) or getattr(self, state.value)
        row: RecordingRow = make()
        assert row.state is state
        return row

    def _apply(self, row: RecordingRow, event: Event, **values: object) -> RecordingRow:
        return self.ledger.recordings.apply(row, event, at=self.at, **values)
