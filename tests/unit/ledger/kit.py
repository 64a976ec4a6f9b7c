"""A ledger to try things on: a clock that stands still, and recordings taken to any state by legal steps."""

from __future__ import annotations

import functools
import hashlib
import json
import sqlite3
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from uploader.domain.identity import SameCall
from uploader.domain.lifecycle import Event
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.reasons import Reason
from uploader.domain.recording import Stamp, State
from uploader.ledger import changes
from uploader.ledger.discovery import Seen
from uploader.ledger.entries import Entry
from uploader.ledger.identity import Contents, Identity
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import AttemptRow, RecordingRow, to_ms
from uploader.ledger.settlement import Refusal
from uploader.ledger.sighting import Arrival, Sight
from uploader.ledger.writer import DirectWriter, Writer

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
ROOT = b"/srv/recordings"
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MEDIA = json.dumps({"kind": "audio", "format": "wav", "codec": "mulaw", "channels": 1})


class FakeClock:
    """A clock that moves only when told to; wall and run time can part."""

    def __init__(self, moment: datetime = NOON) -> None:
        self._now = moment
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def step(self, seconds: float) -> None:
        """Set the wall clock, as a time server does; run time does not notice."""
        self._now += timedelta(seconds=seconds)


def stamp(version: int = 1) -> Stamp:
    return Stamp(size_bytes=100 + version, mtime_ns=version, inode=7)


def accepted(interaction_id: str = "i-1", **values: Any) -> Outcome:
    return Outcome(kind=Kind.ACCEPTED, interaction_id=interaction_id, status=201, **values)


def refused(cause: Cause = Cause.RECORDING, message: str = "to: not taken", **values: Any) -> Outcome:
    return Outcome(kind=Kind.NOT_CREATED, cause=cause, status=400, message=message, **values)


def unknown(cause: Cause = Cause.TRANSPORT, **values: Any) -> Outcome:
    return Outcome(kind=Kind.UNKNOWN, cause=cause, message="no whole answer", **values)


AGAIN = Refusal(due_at=0, at_fault=True)
FINAL = Refusal(due_at=None, at_fault=True, final=True)


@functools.cache
def _template() -> bytes:
    """Return a fresh ledger's file: to copy it is many times faster than to make its tables."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        Ledger.open_beside(path).close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        return path.read_bytes()


class Kit:
    """One ledger, and short ways to any state."""

    def __init__(
        self,
        path: Path,
        *,
        clock: FakeClock | None = None,
        sending: bool = False,
        wrap: Callable[[Writer], Writer] | None = None,
    ) -> None:
        self.path = path
        self.clock = clock or FakeClock()
        if not path.exists():
            path.write_bytes(_template())
            path.chmod(0o600)
        self.ledger = self._open(sending=sending, wrap=wrap)
        self.source_n = self.source()
        self._contents = 0

    def _open(self, *, sending: bool, wrap: Callable[[Writer], Writer] | None) -> Ledger:
        if wrap is not None:
            return Ledger(self.path, writer=wrap(DirectWriter(self.path)), role=None)
        return Ledger.open_for_sending(self.path) if sending else Ledger.open_beside(self.path)

    def close(self) -> None:
        self.ledger.close()
        # 16 MiB a test would fill the disk
        self.path.with_name(self.path.name + ".reserve").unlink(missing_ok=True)

    @property
    def now(self) -> int:
        return to_ms(self.clock.now())

    def source(self, name: str = "hq", *, root: bytes = ROOT, settings: str = "1") -> int:
        return self.ledger.discovery.register(name=name, type_="folder", root=root, settings=settings, at=self.now).n

    def ask(self, query: str, *values: Any) -> list[Any]:
        """Read the file by another connection: only what is committed shows."""
        db = sqlite3.connect(self.path)
        try:
            return db.execute(query, values).fetchall()
        finally:
            db.close()

    def force(self, statement: str, *values: Any) -> None:
        """Change a row behind the ledger's back, as nothing else may."""
        self.ledger.recordings.write(lambda db: db.execute(statement, values))

    def record(
        self,
        *names: bytes,
        version: int = 1,
        gone: tuple[bytes, ...] = (),
        wake: tuple[bytes, ...] = (),
        directory: bytes = ROOT,
        source_n: int | None = None,
        sidecars: tuple[bytes, ...] = (),
        **arrival: Any,
    ) -> Seen:
        sights = [Sight(name=n, stamp=stamp(version), is_recording=True) for n in names]
        sights += [Sight(name=n, stamp=stamp(version), is_recording=False) for n in sidecars]
        return self.ledger.discovery.record(
            source_n=source_n or self.source_n, directory=directory, sights=sights, gone=gone, wake=wake,
            arrival=Arrival(**{"due_at": self.now} | arrival), at=self.now,
        )  # fmt: skip

    def discover(self, name: bytes = b"a.wav", **options: Any) -> RecordingRow:
        self.record(name, **options)
        directory = options.get("directory", ROOT)
        n = self.ask("SELECT max(n) FROM recording WHERE location = ?", directory + b"/" + name)[0][0]
        return self.row(n)

    def entries(self, directory: bytes = ROOT, *, source_n: int | None = None) -> dict[bytes, Entry]:
        """Return what the scan cache has of one directory."""
        rows = self.ask(
            "SELECT name, size_bytes, mtime_ns, inode, recording_n FROM entry WHERE directory_n = "
            "(SELECT n FROM directory WHERE source_n = ? AND path = ?)", source_n or self.source_n, directory,
        )  # fmt: skip
        return {
            name: Entry(stamp=Stamp(size_bytes=size, mtime_ns=mtime, inode=inode), recording_n=n)
            for name, size, mtime, inode, n in rows
        }

    def row(self, n: int) -> RecordingRow:
        found = self.ledger.recordings.get(n)
        assert found is not None
        return found

    def again(self, row: RecordingRow) -> RecordingRow:
        return self.row(row.n)

    def claim(self, row: RecordingRow) -> RecordingRow:
        """Claim this very row, wherever it stands in the queue."""
        self.force("UPDATE recording SET due_at = -1000000, claimed = NULL, lane = 0 WHERE n = ?", row.n)
        claimed = self.ledger.recordings.claim([self.again(row).state], limit=1, now=self.now)
        assert [one.n for one in claimed] == [row.n]
        return claimed[0]

    def identity(self, **values: Any) -> Identity:
        self._contents += 1
        digest = hashlib.sha256(b"%d" % self._contents).digest()
        known = {
            "content_id": f"sha256:{digest.hex()}", "sha256": None if "content_id" in values else digest,
            "call_key": None, "match_key": None, "same_call": SameCall.HOLD,
        }  # fmt: skip
        return Identity(**known | values)

    def understand(self, row: RecordingRow, *, body: dict[str, Any] | None = None, **identity: Any) -> RecordingRow:
        contents = Contents(body=json.dumps(body or {}), media=MEDIA, sidecar=None)
        return self.ledger.recordings.make_ready(self.claim(row), self.identity(**identity), contents, at=self.now)

    def ready(self, name: bytes = b"a.wav", **options: Any) -> RecordingRow:
        return self.understand(self.discover(name), **options)

    def staged(self, name: bytes = b"a.wav", **options: Any) -> RecordingRow:
        row = self.ready(name, **options)
        assert row.state is State.READY
        return self.ledger.recordings.apply(
            row, Event.STAGED, at=self.now, staged='{"extension": ".wav"}', due_at=self.now
        )

    def begin(self, row: RecordingRow) -> tuple[AttemptRow, RecordingRow]:
        begun = self.ledger.attempts.begin(self.claim(row), at=self.now, day="2026-11-20")
        assert isinstance(begun, tuple), begun
        return begun

    def finish(self, attempt: AttemptRow, outcome: Outcome, refusal: Refusal = AGAIN) -> RecordingRow:
        return self.ledger.attempts.finish(
            attempt.n, outcome, at=self.now, refusal=refusal, track_at=self.now + 300_000
        )

    def submitting(self, name: bytes = b"a.wav", **options: Any) -> RecordingRow:
        return self.begin(self.staged(name, **options))[1]

    def unconfirmed(self, name: bytes = b"a.wav", **options: Any) -> RecordingRow:
        attempt, _ = self.begin(self.staged(name, **options))
        return self.finish(attempt, unknown())

    def submitted(self, name: bytes = b"a.wav", interaction_id: str = "i-1", **options: Any) -> RecordingRow:
        attempt, _ = self.begin(self.staged(name, **options))
        return self.finish(attempt, accepted(interaction_id))

    def apply(self, row: RecordingRow, event: Event, **values: Any) -> RecordingRow:
        """Move a row as a person would: whoever has it."""

        def work(db: Any) -> RecordingRow:
            changes.apply(db, changes.fetch(db, row.n), event, at=self.now, claim=changes.ANY_CLAIM, **values)
            return changes.fetch(db, row.n)

        found: RecordingRow = self.ledger.recordings.write(work)
        return found

    def clear(self, row: RecordingRow) -> RecordingRow:
        return self.apply(row, Event.CLEARED, cleared=1, due_at=self.now)

    def at(self, state: State, name: bytes = b"a.wav") -> RecordingRow:
        """Return a fresh recording in `state`, brought there by legal steps."""
        ways = {
            State.DISCOVERED: lambda: self.discover(name),
            State.READY: lambda: self.ready(name),
            State.STAGED: lambda: self.staged(name),
            State.SUBMITTING: lambda: self.submitting(name),
            State.UNCONFIRMED: lambda: self.unconfirmed(name),
            State.SUBMITTED: lambda: self.submitted(name),
            State.ANALYZED: lambda: self.apply(self.submitted(name), Event.ANALYZED, analyzed_at=self.now),
            State.QUARANTINED: lambda: self.apply(
                self.discover(name), Event.FAULTED, **changes.reason_of(Reason.SIDECAR_INVALID)
            ),
            State.REFUSED: lambda: self.finish(self.begin(self.staged(name))[0], refused(), FINAL),
            State.DUPLICATE: lambda: self.apply(self.discover(name), Event.FOUND_SAME),
            State.SKIPPED: lambda: self.apply(self.discover(name), Event.LEFT_OUT),
            State.DISCARDED: lambda: self.apply(self.discover(name), Event.DISCARDED),
        }
        row = ways[state]()
        assert row.state is state
        return row

    def states(self) -> dict[int, str]:
        return dict(self.ask("SELECT n, state FROM recording"))

    def history(self, row: RecordingRow) -> list[str]:
        return [one.event for one in self.ledger.recordings.history(row.n)]
