"""The lifecycle of a recording: every legal transition, and nothing about I/O or time.

What may live here: states, events, the table. Attempts, due times, leases, pauses and
overdue are columns of the ledger, not states. An event that is not in the table raises
and changes nothing.
"""

from __future__ import annotations

from enum import StrEnum

from uploader.domain.recording import State


class Event(StrEnum):
    """What can happen to a recording; the history keeps these words."""

    DISCOVERED = "discovered"
    """First seen; the only event without a state before it."""
    CHANGED = "changed"
    """The file, its sidecar or the source's settings changed while it waited: judge it again."""
    UNDERSTOOD = "understood"
    FAULTED = "faulted"
    """Its own input is at fault."""
    FOUND_SAME = "found_same"
    """The same recording of the same call is in the ledger."""
    LEFT_OUT = "left_out"
    STAGED = "staged"
    UNSTAGED = "unstaged"
    """What was staged is gone or was revoked: stage it anew."""
    SUBMIT_STARTED = "submit_started"
    """Intent, written before the first byte."""
    ACCEPTED = "accepted"
    NOT_CREATED = "not_created"
    """Proved that this request created nothing; it may go again."""
    REFUSED = "refused"
    OUTCOME_UNKNOWN = "outcome_unknown"
    DOUBTED = "doubted"
    """An older request, or a lost ledger, leaves doubt: look before sending."""
    MATCHED = "matched"
    """The listing shows it."""
    CLEARED = "cleared"
    """The listing is proved not to have it: it may be sent."""
    LATE_ACCEPTED = "late_accepted"
    """The answer to an older request came after all."""
    ANALYZED = "analyzed"
    ADOPTED = "adopted"
    """A person says: this interaction is the one."""
    SEND_AGAIN = "send_again"
    """A person says: it is not there, send it."""
    RETRIED = "retried"
    NEW_INTERACTION = "new_interaction"
    """A person wants a second interaction."""
    DISCARDED = "discarded"


FINAL = frozenset({State.ANALYZED, State.REFUSED, State.DUPLICATE, State.SKIPPED, State.DISCARDED})
"""States that end by themselves nowhere; `submitted` ends in `analyzed`."""

RELEASES_IDENTITY = frozenset({Event.FAULTED, Event.FOUND_SAME, Event.CHANGED, Event.RETRIED})
"""Events after which a recording no longer keeps others of the same content and call out, unless an attempt is open."""

REVOKES_URLS = frozenset(
    {
        Event.CHANGED,
        Event.UNSTAGED,
        Event.CLEARED,
        Event.SEND_AGAIN,
        Event.RETRIED,
        Event.NEW_INTERACTION,
        Event.DISCARDED,
    }
)
"""Events after which no URL that was given out before may serve the recording any more."""

_S, _E = State, Event


def _table() -> dict[tuple[State, Event], State]:
    rows: list[tuple[tuple[State, ...], Event, State]] = [
        ((_S.DISCOVERED,), _E.UNDERSTOOD, _S.READY),
        ((_S.DISCOVERED, _S.READY, _S.STAGED), _E.FAULTED, _S.QUARANTINED),
        ((_S.DISCOVERED, _S.READY, _S.STAGED), _E.FOUND_SAME, _S.DUPLICATE),
        ((_S.DISCOVERED,), _E.LEFT_OUT, _S.SKIPPED),
        (
            (_S.READY, _S.STAGED, _S.QUARANTINED, _S.REFUSED, _S.DUPLICATE, _S.SKIPPED),
            _E.CHANGED,
            _S.DISCOVERED,
        ),
        ((_S.READY,), _E.STAGED, _S.STAGED),
        ((_S.STAGED,), _E.UNSTAGED, _S.READY),
        ((_S.STAGED,), _E.SUBMIT_STARTED, _S.SUBMITTING),
        ((_S.STAGED,), _E.DOUBTED, _S.UNCONFIRMED),
        ((_S.SUBMITTING,), _E.ACCEPTED, _S.SUBMITTED),
        ((_S.SUBMITTING,), _E.NOT_CREATED, _S.STAGED),
        ((_S.SUBMITTING,), _E.REFUSED, _S.REFUSED),
        ((_S.SUBMITTING,), _E.OUTCOME_UNKNOWN, _S.UNCONFIRMED),
        ((_S.UNCONFIRMED,), _E.MATCHED, _S.SUBMITTED),
        ((_S.UNCONFIRMED,), _E.CLEARED, _S.STAGED),
        ((_S.UNCONFIRMED,), _E.SEND_AGAIN, _S.STAGED),
        ((_S.SUBMITTED,), _E.ANALYZED, _S.ANALYZED),
        ((_S.QUARANTINED, _S.REFUSED), _E.RETRIED, _S.DISCOVERED),
        ((_S.SUBMITTED, _S.DUPLICATE, _S.DISCARDED), _E.NEW_INTERACTION, _S.DISCOVERED),
    ]
    table = {(state, event): to for states, event, to in rows for state in states}
    unsettled = set(State) - {_S.SUBMITTING, _S.SUBMITTED, _S.ANALYZED}
    table |= {(state, _E.LATE_ACCEPTED): _S.SUBMITTED for state in unsettled}
    table |= {(state, _E.ADOPTED): _S.SUBMITTED for state in unsettled - {_S.SKIPPED}}
    givable = unsettled - {_S.DISCARDED, _S.DUPLICATE, _S.SKIPPED}
    table |= {(state, _E.DISCARDED): _S.DISCARDED for state in givable}
    return table


TRANSITIONS: dict[tuple[State, Event], State] = _table()


class IllegalTransition(RuntimeError):
    """The programmer asked for an event that this state does not know."""


def next_state(state: State, event: Event) -> State:
    """Return the state after `event`. Raises IllegalTransition if there is none."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} is not possible in state {state}") from None


def allowed(state: State) -> tuple[Event, ...]:
    """Return the events that `state` knows, in the order of their definition."""
    return tuple(event for event in Event if (state, event) in TRANSITIONS)


MAIN_WAY = (
    Event.UNDERSTOOD, Event.FAULTED, Event.FOUND_SAME, Event.LEFT_OUT, Event.STAGED, Event.SUBMIT_STARTED,
    Event.ACCEPTED, Event.NOT_CREATED, Event.REFUSED, Event.OUTCOME_UNKNOWN, Event.MATCHED, Event.CLEARED,
    Event.ANALYZED,
)  # fmt: skip
"""The events that the diagram draws; the others are a person's, or ways back."""


def diagram() -> str:
    """Return the main way as a Mermaid state diagram, for the README."""
    lines = ["stateDiagram-v2", "    [*] --> discovered"]
    for (state, event), to in TRANSITIONS.items():
        if event in MAIN_WAY:
            lines.append(f"    {state} --> {to}: {event}")
    lines += [f"    {state} --> [*]" for state in State if state in FINAL]
    return "\n".join(lines) + "\n"
