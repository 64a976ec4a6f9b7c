"""A ledger as years of use leave it, made through the ledger's own calls: what they write is what is measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from uploader.domain.identity import SameCall, call_key
from uploader.domain.interaction import Particulars
from uploader.domain.lifecycle import Event
from uploader.domain.matching import match_key
from uploader.domain.outcome import Kind, Outcome
from uploader.domain.recording import Stamp, State
from uploader.ledger.connection import connect
from uploader.ledger.identity import Contents, Identity
from uploader.ledger.ledger import Ledger
from uploader.ledger.onward import Onward
from uploader.ledger.rows import AttemptRow, RecordingRow, to_ms
from uploader.ledger.sighting import Arrival, Sight

ROOT = b"/srv/recordings/headquarters"
A_DIRECTORY, A_COMMIT = 500, 4000
BEGAN = datetime(2024, 1, 2, 8, tzinfo=UTC)
APART = timedelta(seconds=40)
"""Between two calls: a million in fifteen months."""
STAGED = '{"extension": ".wav"}'
MEDIA = '{"kind":"audio","format":"wav","codec":"mulaw","channels":2,"sample_rate":8000,"duration_seconds":%d.%d}'


class TogetherWriter:
    """Thousands of pieces of work a commit: the ledger is only to be made. One thread."""

    def __init__(self, path: Path, *, commit_every: int) -> None:
        self.db = connect(path)
        self.db.conn.execute("PRAGMA synchronous = OFF")
        self._commit_every = commit_every
        self._done = 0

    def write(self, work: Any, *, redoable: bool = False) -> Any:
        """Run `work`; it is committed with others."""
        if not self.db.conn.in_transaction:
            self.db.conn.execute("BEGIN IMMEDIATE")
        result = work(self.db)
        self._done += 1
        if self._done % self._commit_every == 0:
            self.db.conn.commit()
        return result

    def write_behind(self, work: Any, then: Callable[[Any], object]) -> None:
        """Run `work`, and tell `then` its result; it is committed with others."""
        then(self.write(work))

    def close(self) -> None:
        """Commit what is left."""
        self.db.conn.commit()
        self.db.close()


class Years:
    """Makes recordings, a directory a time, and takes them as far as it is asked to."""

    def __init__(self, ledger: Ledger, source_n: int) -> None:
        self.ledger = ledger
        self.source_n = source_n
        self._number = 0

    def highest(self) -> int:
        """Return how many recordings there are."""
        return sum(self.ledger.recordings.counts().values())

    def go_on_from(self, number: int) -> None:
        """Let the next recording be that of `number`."""
        self._number = number

    def directory(self, number: int) -> bytes:
        """Return the path of a directory: 70 bytes with a file's name."""
        return ROOT + b"/%04d/%02d/contact-%03d" % (2024 + number // 700, number // 56 % 12 + 1, number)

    def name(self, number: int) -> bytes:
        """Return the name of a recording's file."""
        return b"call-%08d-%s.wav" % (
            number,
            hashlib.md5(b"%d" % number, usedforsecurity=False).hexdigest()[:4].encode(),
        )

    def at(self, number: int) -> int:
        """Return when recording `number` is dealt with, in milliseconds."""
        return to_ms(BEGAN + number * APART)

    def discover(self, count: int) -> None:
        """Find `count` more recordings with their sidecars."""
        end = self._number + count
        while self._number < end:
            part = range(self._number, min(end, (self._number // A_DIRECTORY + 1) * A_DIRECTORY))
            sights = []
            for number in part:
                name, stamp = self.name(number), _stamp(number)
                sights.append(Sight(name=name, stamp=stamp, is_recording=True))
                beside = Stamp(size_bytes=310, mtime_ns=stamp.mtime_ns + 7_000_000, inode=stamp.inode + 1)
                sights.append(Sight(name=name[:-3] + b"json", stamp=beside, is_recording=False))
            at = self.at(part[-1])
            self.ledger.discovery.record(
                source_n=self.source_n, directory=self.directory(part[0] // A_DIRECTORY), sights=sights, gone=(),
                wake=(), arrival=Arrival(due_at=at), at=at,
            )  # fmt: skip
            self._number = part[-1] + 1

    def claim(self, state: State, count: int) -> list[RecordingRow]:
        """Claim what is due."""
        return self.ledger.recordings.claim([state], limit=count, now=self.at(self._number + 10))

    def understand(self, row: RecordingRow) -> RecordingRow:
        """Make a claimed row ready."""
        identity, contents = understood(row)
        return self.ledger.recordings.make_ready(row, identity, contents, at=row.discovered_at + 400)

    def stage(self, row: RecordingRow) -> RecordingRow:
        """Stage a ready row; it stays claimed."""
        return self.ledger.recordings.apply(
            row, Event.STAGED, at=row.discovered_at + 450, staged=STAGED, claimed=row.claimed
        )

    def send(self, row: RecordingRow) -> None:
        """Take a claimed row the whole way, as the daemon does with what needs no upload."""
        identity, contents = understood(row)
        onward = Onward(staged=STAGED, day="2026-11-20")
        after = self.ledger.recordings.advance(row, identity, contents, onward=onward, at=row.discovered_at + 400)
        if not isinstance(after.begun, AttemptRow):
            raise RuntimeError(f"recording {row.n} meets an obstacle")
        at = after.begun.started_at + 180
        self.ledger.attempts.accept(
            after.begun, after.row, _accepted(row, at), at=at, track_at=at + 300_000, then=lambda _: None
        )

    def send_all(self, *, together: int = 64) -> None:
        """Send whatever is due."""
        while rows := self.claim(State.DISCOVERED, together):
            for row in rows:
                self.send(row)

    def analyze_all(self, *, every: int = 2) -> None:
        """See the analysis of each `every`th recording that was sent."""
        while rows := self.claim(State.SUBMITTED, 64):
            for row in rows:
                if row.n % every:
                    self.ledger.recordings.release(row, due_at=1 << 43)
                    continue
                at = int(row.submitted_at or 0) + 900_000
                self.ledger.recordings.apply(
                    row, Event.ANALYZED, at=at, analyzed_at=at, evidence="list:sentiment_score",
                    detail="list:sentiment_score",
                )  # fmt: skip


def _accepted(row: RecordingRow, at: int) -> Outcome:
    return Outcome(
        kind=Kind.ACCEPTED, interaction_id=interaction_id(row.n), status=201,
        service_date=datetime.fromtimestamp(at // 1000, UTC),
    )  # fmt: skip


def understood(row: RecordingRow) -> tuple[Identity, Contents]:
    """Return what intake finds out about a recording: of its own content and call."""
    digest = hashlib.sha256(b"%d" % row.n).digest()
    particulars = Particulars(
        start_time=BEGAN + row.n * APART, direction="inbound", primary_language="de-DE", channel_type="voice",
        agent_email=f"first.last{row.n % 900:03d}@contact-center.example.com", from_=f"+4930{row.n:08d}",
        to=f"+4989123456{row.n % 100:02d}",
    )  # fmt: skip
    identity = Identity(
        content_id=f"sha256:{digest.hex()}", sha256=digest, call_key=call_key(None, particulars),
        match_key=match_key(particulars), same_call=SameCall.HOLD,
    )  # fmt: skip
    contents = Contents(
        body=json.dumps(particulars.body(), separators=(",", ":")), media=MEDIA % (row.n % 900, row.n % 10),
        sidecar=row.location.rpartition(b"/")[2][:-3] + b"json",
    )  # fmt: skip
    return identity, contents


def interaction_id(n: int) -> str:
    """Return an id such as the service makes: 22 characters that look random."""
    return hashlib.sha256(b"i%d" % n).hexdigest()[:22]


def _stamp(number: int) -> Stamp:
    return Stamp(
        size_bytes=400_000 + number,
        mtime_ns=1_700_000_000_000_000_000 + number * 40_000_123_457,
        inode=2 * number + 9_000_000,
    )


@contextmanager
def years(path: Path, *, commit_every: int = A_COMMIT) -> Iterator[Years]:
    """Open a ledger at `path` to be filled; so many pieces of work are committed together."""
    beside = Ledger.open_beside(path)
    source_n = beside.discovery.register(name="hq", type_="folder", root=ROOT, settings="1", at=0).n
    beside.close()
    ledger = Ledger(path, writer=TogetherWriter(path, commit_every=commit_every), role=None)
    try:
        yield Years(ledger, source_n)
    finally:
        ledger.close()
