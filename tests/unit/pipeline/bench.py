"""The pipeline on a real ledger and real files, with a service in memory that has its own books."""

from __future__ import annotations

import io
import json
import os
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests.unit.ledger.kit import FakeClock, Kit
from uploader.domain.analysis import Detail
from uploader.domain.gates import GateName
from uploader.domain.identity import SameCall
from uploader.domain.interaction import Particulars
from uploader.domain.listing import Listed, Page
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.recording import State
from uploader.domain.retry import RetryPolicy
from uploader.ledger.rows import RecordingRow
from uploader.pipeline.intake import Intake
from uploader.pipeline.listing import Listing
from uploader.pipeline.places import FolderPlace, list_siblings
from uploader.pipeline.reconcile import Reconciler
from uploader.pipeline.spec import SidecarPolicy, SourceSpec
from uploader.pipeline.submit import Sending, Submission
from uploader.pipeline.track import Tracker
from uploader.platform.filesystem import stamp_of
from uploader.service.gate import Gate
from uploader.service.governor import Governor
from uploader.sidecars.mapping import MappingContext
from uploader.sources.folder.rules import Rules

POLICY = RetryPolicy(initial=timedelta(seconds=5), maximum=timedelta(hours=1))
CALL = {"start_time": "2026-11-20T04:00:00Z", "interaction_info": {"from": "+14155550100", "to": "+14155550101"}}


def wave(seconds: float = 0.5, *, tone: int = 1) -> bytes:
    """A whole WAVE file: µ-law, mono, 8 kHz."""
    audio = bytes([tone]) * int(8000 * seconds)
    fmt = struct.pack("<HHIIHHH", 7, 1, 8000, 8000, 1, 8, 0)
    body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(audio)) + audio
    return b"RIFF" + struct.pack("<I", len(body)) + body


def call(number: int = 0, **fields: Any) -> dict[str, Any]:
    """The sidecar of a call of its own."""
    info = {"from": "+14155550100", "to": f"+1415555{1000 + number}"}
    return {"start_time": "2026-11-20T04:00:00Z", "interaction_info": info} | fields


class FakeToken:
    value = "t"


class Tokens:
    """What hands out tokens; `errors` are raised first, one a time."""

    def __init__(self, story: list[str]) -> None:
        self.errors: list[Exception] = []
        self.rejected = 0
        self._story = story

    def token(self) -> Any:
        self._story.append("token")
        if self.errors:
            raise self.errors.pop(0)
        return FakeToken()

    def reject(self, token: Any) -> None:
        self.rejected += 1


@dataclass
class Interaction:
    id: str
    body: dict[str, Any]
    created: datetime
    listed_from: datetime
    scored: bool = False
    evidence: str | None = None
    url: str = ""


class Service:
    """The Quality Management service in memory. `manners` say how the next requests fare.

    A manner is an Outcome, `lost` (accepted, the answer is lost), `nothing` (not accepted, no answer),
    or a function of the service; without one a request is accepted.
    """

    def __init__(self, clock: FakeClock, story: list[str]) -> None:
        self.clock = clock
        self.story = story
        self.interactions: dict[str, Interaction] = {}
        self.manners: list[Any] = []
        self.requests: list[dict[str, Any]] = []
        self.lag_seconds = 0.0
        self.axis = "start"
        self.drops: set[str] = set()
        self.errors: list[Exception] = []
        self.reads = 0
        self.details = 0
        self.windows: list[tuple[datetime, datetime]] = []
        self.page_limit = 99
        self.miscounts = 0
        self.before_answer: Callable[[], None] = lambda: None

    def accept(self, body: dict[str, Any], url: str = "") -> Interaction:
        id_ = f"int-{len(self.interactions) + 1}"
        now = self.clock.now()
        made = Interaction(id=id_, body=body, created=now, url=url,
                           listed_from=now + timedelta(seconds=self.lag_seconds))  # fmt: skip
        self.interactions[id_] = made
        return made

    def submit(self, body: dict[str, Any], *, download_url: str, token: Any, idempotency_key: str | None) -> Outcome:
        self.story.append("submit")
        self.requests.append({"body": body, "url": download_url, "key": idempotency_key})
        self.before_answer()
        manner = self.manners.pop(0) if self.manners else "ok"
        if isinstance(manner, Outcome):
            return manner
        if callable(manner):
            answer: Outcome = manner()
            return answer
        lost = Outcome(kind=Kind.UNKNOWN, cause=Cause.TRANSPORT, message="no whole answer")
        if manner == "nothing":
            return lost
        made = self.accept(body, download_url)
        if manner == "lost":
            return lost
        return Outcome(
            kind=Kind.ACCEPTED, interaction_id=made.id, status=201, service_date=self.clock.now().replace(microsecond=0)
        )

    def list_interactions(self, *, start: datetime, end: datetime, page_size: int, page_token: str | None) -> Page:
        self.story.append("list")
        self.reads += 1
        self.windows.append((start, end))
        if self.errors:
            raise self.errors.pop(0)
        now = self.clock.now()
        shown = [one for one in self.interactions.values() if one.listed_from <= now and start <= self._at(one) <= end]
        first = int(page_token or 0)
        part = shown[first : first + min(page_size, self.page_limit)]
        more = first + len(part) < len(shown)
        if self.miscounts:
            self.miscounts -= 1
            return Page(interactions=tuple(map(self._listed, part)), total_records=len(shown) + 1,
                        next_page_token=None, service_date=now)  # fmt: skip
        return Page(
            interactions=tuple(map(self._listed, part)), total_records=len(shown),
            next_page_token=str(first + len(part)) if more else None, service_date=now,
        )  # fmt: skip

    def _at(self, one: Interaction) -> datetime:
        start = Particulars.from_body(one.body).start_time
        return one.created if self.axis == "created" or start is None else start

    def _listed(self, one: Interaction) -> Listed:
        sent = Particulars.from_body(one.body)
        names = ("start_time", "from_", "to", "direction", "disposition", "queue_id", "channel_type",
                 "consumer_name", "primary_language")  # fmt: skip
        values = {name: getattr(sent, name) for name in names if name not in self.drops}
        return Listed(interaction_id=one.id, scored=one.scored, **values)

    def interaction(self, interaction_id: str) -> Detail | None:
        self.story.append("detail")
        self.details += 1
        if self.errors:
            raise self.errors.pop(0)
        one = self.interactions.get(interaction_id)
        return None if one is None else Detail(listed=self._listed(one), evidence=one.evidence)


@dataclass
class Stager:
    """Stages nothing, and tells what it was asked."""

    story: list[str]
    renews: bool = False
    removed: list[int] = field(default_factory=list)
    errors: list[Exception] = field(default_factory=list)
    is_instant: bool = False

    def stage(self, row: RecordingRow) -> str:
        self.story.append("stage")
        if self.errors:
            raise self.errors.pop(0)
        return json.dumps({"key": f"k{row.attempts}", "generation": row.attempts})

    def needs_renewal(self, row: RecordingRow) -> bool:
        return self.renews and bool(row.cleared) and json.loads(row.staged or "{}")["generation"] != row.attempts

    def url(self, row: RecordingRow, *, attempt: int) -> str:
        self.story.append("url")
        return f"https://files.example/{row.id}/{attempt}/{row.staged}"

    def remove(self, row: RecordingRow) -> None:
        self.story.append("remove")
        self.removed.append(row.n)


class Telling:
    """A writer that tells of each transaction once it is on disk."""

    def __init__(self, writer: Any, story: list[str]) -> None:
        self._writer = writer
        self._story = story

    def write(self, work: Any, *, redoable: bool = False) -> Any:
        result = self._writer.write(work, redoable=redoable)
        self._story.append("write")
        return result

    def write_behind(self, work: Any, then: Any) -> None:
        def told(result: Any) -> None:
            self._story.append("write")
            then(result)

        self._writer.write_behind(work, told)

    def close(self) -> None:
        self._writer.close()


class Bench:
    """Everything of the pipeline around one ledger and one folder."""

    def __init__(self, folder: Path, *, per_day: int = 0, attempts: int = 5, idempotency_key: bool = False) -> None:
        self.story: list[str] = []
        self.clock = FakeClock()
        self.folder = folder / "recordings"
        self.folder.mkdir(exist_ok=True)
        self.kit = Kit(folder / "ledger.db", clock=self.clock, wrap=lambda writer: Telling(writer, self.story))
        self.ledger = self.kit.ledger
        self.rules = Rules(include=["*.wav", "*.mp3"], exclude=[])
        self.service = Service(self.clock, self.story)
        self.tokens = Tokens(self.story)
        self.stager = Stager(self.story)
        self.stop = threading.Event()
        self.place = FolderPlace(os.fsencode(self.folder), rules=self.rules, siblings=list_siblings)
        self.attempts, self.per_day, self.idempotency_key = attempts, per_day, idempotency_key
        self.start()

    def start(self) -> None:
        """Make everything anew, as a new process would: only the ledger is left."""
        self.gates = {name: Gate(name, self.ledger.books, self.clock, POLICY) for name in GateName}
        self.governor = Governor(
            submissions_per_second=1000, submissions_per_day=self.per_day, reads_per_second=1000,
            gates=self.gates, books=self.ledger.books, clock=self.clock, pause=lambda seconds: None,
        )  # fmt: skip
        self.intake = Intake(self.ledger, self.clock)
        self.submission = Submission(
            ledger=self.ledger, client=self.service, tokens=self.tokens, governor=self.governor, clock=self.clock,
            sending=Sending(
                account_id="acc", api_url="https://api.example", idempotency_key=self.idempotency_key,
                attempts=self.attempts, retry=POLICY, poll_seconds=300,
            ),
        )  # fmt: skip
        self.listing = Listing(
            ledger=self.ledger, client=self.service, governor=self.governor, clock=self.clock, stop=self.stop
        )
        self.analyzed: list[int] = []
        self.tracker = Tracker(
            ledger=self.ledger, listing=self.listing, client=self.service, governor=self.governor, clock=self.clock,
            stop=self.stop, poll_seconds=300, on_analyzed=lambda row: self.analyzed.append(row.n),
        )  # fmt: skip
        self.reconciler = self.new_reconciler()

    def new_reconciler(self, *, wait_seconds: float = 60, resubmit: bool = False) -> Reconciler:
        return Reconciler(
            ledger=self.ledger, listing=self.listing, clock=self.clock, wait_seconds=wait_seconds,
            resubmit_unproven=resubmit, poll_seconds=300,
        )  # fmt: skip

    def close(self) -> None:
        self.kit.close()

    @property
    def now(self) -> int:
        return self.kit.now

    def spec(self, **values: Any) -> SourceSpec:
        known = {
            "name": "hq", "rules": self.rules, "mapping": MappingContext(), "sidecar": SidecarPolicy.REQUIRED,
            "same_call": SameCall.HOLD, "sidecar_wait_seconds": 900.0, "settle_seconds": 2.0,
        }  # fmt: skip
        return SourceSpec(**known | values)

    def path(self, name: str) -> Path:
        return self.folder / name

    def write(self, name: str, content: bytes | dict[str, Any], *, age: float = 3600) -> Path:
        """Write a file whose mtime lies `age` seconds back on the clock of this bench."""
        path = self.path(name)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        moment = self.clock.now().timestamp() - age
        os.utime(path, (moment, moment))
        return path

    def drop(self, name: str = "a.wav", sidecar: dict[str, Any] | None = None, *, audio: bytes | None = None,
             **options: Any) -> RecordingRow:  # fmt: skip
        """Write a recording and its sidecar, and let the ledger know of it as a scan would."""
        self.write(name, audio if audio is not None else wave(tone=len(list(self.folder.iterdir())) + 1))
        if sidecar is not None:
            self.write(name + ".json", sidecar)
        return self.see(name, **options)

    def see(self, name: str, **options: Any) -> RecordingRow:
        from uploader.ledger.sighting import Arrival, Sight

        stamp = stamp_of(os.stat(self.path(name)))
        self.ledger.discovery.record(
            source_n=self.kit.source_n, directory=os.fsencode(self.folder), gone=(), wake=(), at=self.now,
            sights=[Sight(name=os.fsencode(name), stamp=stamp, is_recording=True)],
            arrival=Arrival(**{"due_at": self.now} | options),
        )  # fmt: skip
        n = self.kit.ask("SELECT max(n) FROM recording WHERE location = ?", os.fsencode(self.path(name)))[0][0]
        return self.kit.row(n)

    def row(self, row: RecordingRow) -> RecordingRow:
        return self.kit.row(row.n)

    def take_in(self, row: RecordingRow, **spec: Any) -> RecordingRow:
        """Let the intake judge it once, and return it as it is then."""
        self.intake.step(self.kit.claim(row), self.spec(**spec), self.place)
        return self.row(row)

    def rested(self, name: str = "a.wav", sidecar: dict[str, Any] | None = CALL, **options: Any) -> RecordingRow:
        """Drop a recording and let it rest."""
        row = self.drop(name, sidecar, **options)
        self.clock.advance(3)
        return row

    def staged(self, name: str = "a.wav", sidecar: dict[str, Any] | None = CALL, **options: Any) -> RecordingRow:
        row = self.take_in(self.rested(name, sidecar, **options))
        assert row.state is State.READY, row.reason
        return self.stage(row)

    def stage(self, row: RecordingRow) -> RecordingRow:
        from uploader.domain.lifecycle import Event

        staged = self.stager.stage(row)
        return self.ledger.recordings.apply(row, Event.STAGED, at=self.now, staged=staged, due_at=self.now)

    def send(self, row: RecordingRow, *manners: Any) -> RecordingRow:
        """Send it once, and return it as it is then."""
        self.service.manners += manners
        is_probe = self.gates[GateName.SUBMIT].is_probing
        again = self.submission.step(self.kit.claim(row), self.place, self.stager, is_probe=is_probe)
        if again is not None:
            staged = self.stage(again)
            self.submission.step(self.kit.claim(staged), self.place, self.stager)
        return self.row(row)

    def look(self, *, after: float = 0.0) -> int:
        """Let the reconciler look once, after so many seconds."""
        self.clock.advance(after)
        return self.reconciler.run_once()

    def follow(self, *, after: float = 0.0) -> int:
        self.clock.advance(after)
        return self.tracker.run_once()

    def attempts_of(self, row: RecordingRow) -> list[Any]:
        return self.ledger.attempts.of(row.n)

    def learn(self, count: int = 1) -> None:
        """Send some that are accepted and listed, so that the listing is known to show ours."""
        for n in range(count):
            row = self.send(self.staged(f"control{n}.wav", call(900 + n)))
            assert row.state is State.SUBMITTED
        self.clock.advance(self.service.lag_seconds + 1)
        self.ledger.recordings.write(lambda db: db.execute("UPDATE recording SET due_at = 0 WHERE state = 'submitted'"))
        self.follow()


def silence() -> io.BytesIO:
    return io.BytesIO(wave())
