"""Making a recording ready: its identity is judged and claimed in one transaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uploader.domain.identity import SameCall, Verdict, judge
from uploader.domain.lifecycle import Event
from uploader.domain.reasons import Reason
from uploader.ledger import changes
from uploader.ledger.connection import Database
from uploader.ledger.packing import content_key, pack_key, unpack_key
from uploader.ledger.rows import SAME_CALL, SAME_CONTENT, RecordingRow
from uploader.ledger.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a recording is known by, and the policy for another file of its call."""

    content_id: str
    sha256: bytes | None
    call_key: str | None
    match_key: str | None
    same_call: SameCall


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was understood of it; documents of JSON."""

    body: str
    media: str
    sidecar: bytes | None


def make_ready(writer: Writer, row: RecordingRow, identity: Identity, contents: Contents, *, at: int) -> RecordingRow:
    """Make `row` ready, or a duplicate, or hold it for its call. Raises RowMoved.

    Of two recordings of the same content and call that come at once, one becomes ready.
    """
    return writer.write(lambda db: settle(db, row, judge_identity(db, row, identity, contents), at), redoable=True)


def alike(
    db: Database, content_id: str, call_key: str | None, *, but: int = 0
) -> tuple[list[tuple[int, str | None, bytes]], Any]:
    """Return what keeps a recording out: number, call and location of the same content, another of the same call."""
    known = {"content": content_key(content_id), "call": pack_key(call_key), "but": but}
    same = db.execute(
        f"SELECT n, call_key, location FROM recording WHERE {SAME_CONTENT} AND n <> :but", known
    ).fetchall()
    other = db.execute(
        f"SELECT n, id FROM recording WHERE {SAME_CALL} AND content <> :content AND n <> :but LIMIT 1", known
    ).fetchone()
    return [(n, unpack_key(key), location) for n, key, location in same], other


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a recording was found to be. `known` is what its row is to keep of it."""

    verdict: Verdict
    known: dict[str, Any]
    same: list[tuple[int, str | None, bytes]]
    other: Any

    @property
    def claim(self) -> dict[str, Any]:
        """Return the columns of a recording that is new, and claims its content and call."""
        return self.known | {"claims": 1, "duplicate_of": None, "staged": None}


def judge_identity(db: Database, row: RecordingRow, identity: Identity, contents: Contents) -> Judgement:
    """Say, on an open transaction, whether `row` is new."""
    known: dict[str, Any] = {
        "content_id": identity.content_id, "sha256": identity.sha256, "call_key": identity.call_key,
        "match_key": identity.match_key, "body": contents.body, "media": contents.media,
        "sidecar": contents.sidecar,
    }  # fmt: skip
    same, other = alike(db, identity.content_id, identity.call_key, but=row.n)
    verdict = Verdict.NEW
    if not row.copy:
        verdict = judge(
            key=identity.call_key,
            same_content=[key for _, key, _ in same],
            same_call_exists=other is not None and not row.same_call_ok,
            same_call=identity.same_call,
        )
    if verdict is not Verdict.NEW and changes.has_open_attempt(db, row):
        # It goes on keeping the place of what was sent.
        del known["content_id"], known["sha256"], known["call_key"]
    return Judgement(verdict=verdict, known=known, same=same, other=other)


def settle(db: Database, row: RecordingRow, judged: Judgement, at: int) -> RecordingRow:
    """Do what a judgement says; return the row as it is then. Raises RowMoved."""
    if judged.verdict is Verdict.NEW:
        return changes.apply(db, row, Event.UNDERSTOOD, at=at, claim=row.claimed, claimed=row.claimed, **judged.claim)
    if judged.verdict is Verdict.HOLD:
        return changes.apply(
            db, row, Event.FAULTED, at=at, claim=row.claimed, duplicate_of=judged.other[0],
            **judged.known, **changes.reason_of(Reason.SAME_CALL),
        )  # fmt: skip
    return _leave_out(db, row, judged.same, judged.other, judged.known, at)


def _leave_out(
    db: Database, row: RecordingRow, same: list[tuple[int, str | None, bytes]], other: tuple[int, str] | None,
    known: dict[str, Any], at: int,
) -> RecordingRow:  # fmt: skip
    """Make it a duplicate; a file that an import finds already settled is skipped."""
    first = same[0][0] if same else (other[0] if other else None)
    is_itself = any(bytes(location) == row.location for _, _, location in same)
    if row.import_n and is_itself:
        event, code = Event.LEFT_OUT, Reason.SETTLED_BEFORE
    else:
        event, code = Event.FOUND_SAME, Reason.SAME_RECORDING
    return changes.apply(
        db, row, event, at=at, claim=row.claimed, duplicate_of=first, **known, **changes.reason_of(code)
    )
