"""Whether a listed interaction is a recording of ours, and what follows. No ledger, clock or HTTP.

Three relations, from strict to wide: `is_` is what is adopted, `could_be` is a candidate, and `resembles` is
what forbids a repeat. The last is wider because both mistakes are not alike: a hold too many is looked
at by a person, an interaction too many can never be deleted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from uploader.domain.echo import ECHO_FIELDS, NUMBER_FIELDS, Echo, agrees
from uploader.domain.interaction import Particulars, format_time
from uploader.domain.listing import Listed
from uploader.domain.reasons import Reason
from uploader.domain.walk import same_candidates

CLOCK_CHANGES = (timedelta(0), timedelta(minutes=30), timedelta(hours=1))
"""By how much a time zone's offset differs between winter and summer."""
ROUNDING = timedelta(seconds=60)
"""A start time may be cut to the minute where all that was observed were whole minutes."""
SKEW = timedelta(minutes=5)
"""How far our clock may be from the service's."""
SAME_DIGITS = 7
"""Numbers that end in the same digits may be one number, written nationally and internationally."""


class Kind(StrEnum):
    """What may be done with a recording whose request has an unknown outcome."""

    SEND_AGAIN = "send_again"
    ADOPT = "adopt"
    HOLD = "hold"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`interaction_id` is set to adopt, `reason` to hold; `candidates` are ids for a person to look at."""

    kind: Kind
    interaction_id: str | None = None
    reason: Reason | None = None
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """A recording with open attempts. `since` is the start of the earliest of them.

    `since` and the `first_seen` of `Look` must come from times that never step back (the later of
    the clock and the last time written): a step back would hide our own interaction.
    """

    sent: Particulars
    since: datetime
    fetched_to_end: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the listing showed in two passes over all of a recording's windows."""

    first: tuple[Listed, ...]
    second: tuple[Listed, ...]
    first_seen: Mapping[str, datetime]
    """When an answer first showed an id: the answer's arrival, never the request's start."""
    claimed: Collection[str]
    """Ids that belong to any recording in the ledger."""
    rivals: Collection[Open]
    """Every other recording with an open attempt, in whatever state it is."""
    complete: bool
    """Every walk of both passes was."""
    proof: bool
    """What `visibility.proves_absence` said of both passes."""
    waited: bool
    """The wait has passed since the last open attempt ended, before the first pass began."""


def could_be(sent: Particulars, listed: Listed, echo: Echo) -> bool:
    """Say whether no proven field contradicts. What either side lacks is no contradiction."""
    return not any(echo.proven(name) and agrees(name, sent, listed, echo) is False for name in ECHO_FIELDS)


def is_(sent: Particulars, listed: Listed, echo: Echo) -> bool:
    """Say whether start time and a number are proven and equal, and every other proven field that we sent.

    A start or number that was never sent is not shown either: what shows one is another's.
    """
    proven = [name for name in ECHO_FIELDS if echo.proven(name) and getattr(sent, name) is not None]
    known_by = "start_time" in proven and any(name in proven for name in NUMBER_FIELDS)
    equal = all(agrees(name, sent, listed, echo) is True for name in proven)
    return known_by and equal and not _shows_unsent(sent, listed, echo)


def _shows_unsent(sent: Particulars, listed: Listed, echo: Echo) -> bool:
    return any(
        echo.proven(name) and getattr(listed, name) is not None and getattr(sent, name) is None
        for name in ("start_time", *NUMBER_FIELDS)
    )


def resembles(sent: Particulars, listed: Listed, echo: Echo, *, since: datetime) -> bool:
    """Say whether a repeat would be rash: start time and numbers do not clearly differ.

    Only these rule an interaction out; names, dispositions and languages are changed by people and by
    the analysis. What was learned from a few may not hold for all values, hence allowed are a clock
    change, a cut to the minute, numbers written otherwise, and swapped ones; and a start after
    `since`, when the first attempt began, which may be the time of the import.
    """
    return not (_starts_differ(sent, listed, echo, since) or _numbers_differ(sent, listed, echo))


def _starts_differ(sent: Particulars, listed: Listed, echo: Echo, since: datetime) -> bool:
    if sent.start_time is None or listed.start_time is None or not echo.proven("start_time"):
        return False
    if listed.start_time >= since - SKEW:
        return False
    apart = abs(echo.start_error(sent.start_time, listed.start_time))
    return all(abs(apart - change) > ROUNDING for change in CLOCK_CHANGES)


def _numbers_differ(sent: Particulars, listed: Listed, echo: Echo) -> bool:
    ours = [number for number in (sent.from_, sent.to) if number is not None]
    return any(
        echo.proven(name)
        and agrees(name, sent, listed, echo) is False
        and not any(_same_digits(getattr(listed, name), number) for number in ours)
        for name in NUMBER_FIELDS
    )


def _same_digits(one: str, other: str) -> bool:
    first, second = (
        "".join(character for character in number if character.isdigit())[-SAME_DIGITS:] for number in (one, other)
    )
    shorter = min(len(first), len(second))
    return shorter == 0 or first[-shorter:] == second[-shorter:]


def candidates(
    case: Open,
    listed: Iterable[Listed],
    look: Look,
    echo: Echo,
    relation: Callable[[Particulars, Listed, Echo], bool] = could_be,
) -> tuple[Listed, ...]:
    """Return what may be this recording's: nobody's in the ledger, not seen before, and of that relation."""
    return tuple(
        one
        for one in listed
        if one.interaction_id not in look.claimed
        and not _seen_before(case, one, look)
        and relation(case.sent, one, echo)
    )


def _seen_before(case: Open, listed: Listed, look: Look) -> bool:
    seen = look.first_seen.get(listed.interaction_id)
    return seen is not None and seen < case.since


def decide(case: Open, look: Look, echo: Echo) -> Decision:
    """Decide what becomes of a recording whose request has an unknown outcome (contract, promise 2).

    Adoption needs two complete passes that agree, but no proof: a finding is a finding. A repeat needs the
    passes, the proof, the wait, no sign of acceptance, and nothing listed that resembles it. Before the
    wait is over nothing is held for good: what is listed by then may decide it.
    """
    first = candidates(case, look.first, look, echo)
    second = candidates(case, look.second, look, echo)
    sure = look.complete and same_candidates(first, second)
    if sure and len(second) == 1 and _surely(case, second[0], look, echo):
        return Decision(kind=Kind.ADOPT, interaction_id=second[0].interaction_id)
    if not look.waited:
        return _hold(Reason.LOOKING, (*first, *second))
    wide = candidates(case, (*look.first, *look.second), look, echo, partial(resembles, since=case.since))
    if wide:
        several = len({one.interaction_id for one in (*first, *second)}) > 1
        return _hold(Reason.SEVERAL_CANDIDATES if several else Reason.RESEMBLES, wide)
    if case.fetched_to_end:
        return _hold(Reason.FETCHED_UNLISTED)
    if sure and look.proof:
        return Decision(kind=Kind.SEND_AGAIN)
    return _hold(Reason.NO_PROOF)


def _hold(reason: Reason, listed: Iterable[Listed] = ()) -> Decision:
    ids = dict.fromkeys(one.interaction_id for one in listed)
    return Decision(kind=Kind.HOLD, reason=reason, candidates=tuple(ids))


def _surely(case: Open, listed: Listed, look: Look, echo: Echo) -> bool:
    """Say whether the only candidate is this recording's: uncontested, or by the evidence of who was fetched.

    A recording that was fetched to its end has an interaction. Where the listing would show it for
    certain and shows only one, that is it: an older request of a twin would have made a second one.
    """
    contending = [rival for rival in look.rivals if _contends(rival, listed, look, echo)]
    certain = case.fetched_to_end and look.waited and look.proof
    uncontested = not contending or (certain and not any(rival.fetched_to_end for rival in contending))
    return uncontested and is_(case.sent, listed, echo)


def _contends(rival: Open, listed: Listed, look: Look, echo: Echo) -> bool:
    """Say whether an interaction could as well be another recording's, so that neither may have it.

    What shows a start or number that the rival never sent is not the rival's, or one recording
    without particulars would stop every adoption.
    """
    if _seen_before(rival, listed, look) or _shows_unsent(rival.sent, listed, echo):
        return False
    return could_be(rival.sent, listed, echo)


def match_key(sent: Particulars) -> str | None:
    """Return what twins have in common (start, from, to), or None without a start time.

    Recordings of one key go one at a time. Those without, or with fewer particulars, are kept apart by
    the rule of rivals in `decide`.
    """
    if sent.start_time is None:
        return None
    parts = (format_time(sent.start_time), sent.from_ or "", sent.to or "")
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]
