"""What makes a recording the same as another: its content and its call. Not where either is kept.

Ringing and voicemail are the same bytes in different calls; a re-export is the same call in other bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from enum import StrEnum

from uploader.domain.interaction import Particulars, format_time

_ID, _AT = "id:", "at:"


class SameCall(StrEnum):
    """The policy for another file of a call that the ledger has (`same_call`)."""

    HOLD = "hold"
    SEND = "send"
    DUPLICATE = "duplicate"


class Verdict(StrEnum):
    """What a recording is beside those of the ledger."""

    NEW = "new"
    DUPLICATE = "duplicate"
    HOLD = "hold"
    """Another file of a known call: a person decides."""


def call_key(call_id: str | None, particulars: Particulars) -> str | None:
    """Return what a call is known by: its id, else start, from and to; None without id and start.

    The parts are hashed one by one, so that two keys can be compared where one knows less.
    """
    if call_id:
        return _ID + _hashed(call_id)
    if particulars.start_time is None:
        return None
    parts = (format_time(particulars.start_time), particulars.from_, particulars.to)
    return _AT + ".".join(_hashed(part) if part else "" for part in parts)


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def certain(key: str | None) -> bool:
    """Say whether equal keys mean one call: the call's id, or a start and at least one number."""
    if key is None:
        return False
    return key.startswith(_ID) or any(key.removeprefix(_AT).split(".")[1:])


def other_call(one: str | None, other: str | None) -> bool:
    """Say whether two keys surely mean different calls.

    Not so when one is unknown, when one is an id and the other is not, or when they differ only in
    what one of them lacks.
    """
    if one is None or other is None or one[:3] != other[:3]:
        return False
    pairs = zip(one[3:].split("."), other[3:].split("."), strict=True)
    return any(mine and theirs and mine != theirs for mine, theirs in pairs)


def judge(
    *,
    key: str | None,
    same_content: Collection[str | None],
    same_call_exists: bool,
    same_call: SameCall,
) -> Verdict:
    """Judge a recording by the ledger's call keys of the same content, and whether it has this very call.

    The same content is a duplicate unless every other one is surely of another call. Other
    content of the same certain call is for the policy.
    """
    if any(not other_call(key, existing) for existing in same_content):
        return Verdict.DUPLICATE
    if same_call_exists and certain(key):
        return {
            SameCall.HOLD: Verdict.HOLD,
            SameCall.SEND: Verdict.NEW,
            SameCall.DUPLICATE: Verdict.DUPLICATE,
        }[same_call]
    return Verdict.NEW
