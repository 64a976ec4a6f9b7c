"""The lifecycle: the whole product of states and events against the table as it is written down here."""

from __future__ import annotations

import re
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.lifecycle import (
    FINAL,
    MAIN_WAY,
    RELEASES_IDENTITY,
    REVOKES_URLS,
    TRANSITIONS,
    Event,
    IllegalTransition,
    allowed,
    diagram,
    next_state,
)
from uploader.domain.recording import State

S, E = State, Event
EXPECTED: dict[State, dict[Event, State]] = {
    S.DISCOVERED: {
        E.UNDERSTOOD: S.READY, E.FAULTED: S.QUARANTINED, E.FOUND_SAME: S.DUPLICATE, E.LEFT_OUT: S.SKIPPED,
        E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED, E.DISCARDED: S.DISCARDED,
    },
    S.READY: {
        E.STAGED: S.STAGED, E.FAULTED: S.QUARANTINED, E.FOUND_SAME: S.DUPLICATE, E.CHANGED: S.DISCOVERED,
        E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED, E.DISCARDED: S.DISCARDED,
    },
    S.STAGED: {
        E.SUBMIT_STARTED: S.SUBMITTING, E.UNSTAGED: S.READY, E.DOUBTED: S.UNCONFIRMED, E.FAULTED: S.QUARANTINED,
        E.FOUND_SAME: S.DUPLICATE, E.CHANGED: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED,
        E.DISCARDED: S.DISCARDED,
    },
    S.SUBMITTING: {
        E.ACCEPTED: S.SUBMITTED, E.NOT_CREATED: S.STAGED, E.REFUSED: S.REFUSED, E.OUTCOME_UNKNOWN: S.UNCONFIRMED,
    },
    S.UNCONFIRMED: {
        E.MATCHED: S.SUBMITTED, E.CLEARED: S.STAGED, E.SEND_AGAIN: S.STAGED, E.LATE_ACCEPTED: S.SUBMITTED,
        E.ADOPTED: S.SUBMITTED, E.DISCARDED: S.DISCARDED,
    },
    S.SUBMITTED: {E.ANALYZED: S.ANALYZED, E.NEW_INTERACTION: S.DISCOVERED},
    S.ANALYZED: {},
    S.QUARANTINED: {
        E.CHANGED: S.DISCOVERED, E.RETRIED: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED,
        E.DISCARDED: S.DISCARDED,
    },
    S.REFUSED: {
        E.CHANGED: S.DISCOVERED, E.RETRIED: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED,
        E.DISCARDED: S.DISCARDED,
    },
    S.DUPLICATE: {
        E.CHANGED: S.DISCOVERED, E.NEW_INTERACTION: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED,
        E.ADOPTED: S.SUBMITTED,
    },
    S.SKIPPED: {E.CHANGED: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED},
    S.DISCARDED: {E.NEW_INTERACTION: S.DISCOVERED, E.LATE_ACCEPTED: S.SUBMITTED, E.ADOPTED: S.SUBMITTED},
}  # fmt: skip
BY_A_PERSON = {E.ADOPTED, E.SEND_AGAIN, E.RETRIED, E.NEW_INTERACTION, E.DISCARDED}
BY_THE_WORLD = {E.LATE_ACCEPTED, E.CHANGED}
"""What comes from outside: a late answer, another file in its place."""


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_every_event_in_every_state_goes_where_the_table_says_or_raises(state, event):
    if event in EXPECTED[state]:
        assert next_state(state, event) is EXPECTED[state][event]
    else:
        with pytest.raises(IllegalTransition, match=f"{event} is not possible in state {state}"):
            next_state(state, event)


def test_the_table_holds_nothing_else():
    assert {(s, e): to for s, found in EXPECTED.items() for e, to in found.items()} == TRANSITIONS


@pytest.mark.parametrize("state", State)
def test_allowed_names_the_legal_events_in_their_order(state):
    assert set(allowed(state)) == set(EXPECTED[state])
    assert list(allowed(state)) == [event for event in Event if event in EXPECTED[state]]


def test_an_illegal_transition_is_a_mistake_of_the_programmer():
    assert issubclass(IllegalTransition, RuntimeError)


def reachable(start: State, *, without: set[Event] = frozenset()) -> set[State]:
    found, waiting = {start}, deque([start])
    while waiting:
        state = waiting.popleft()
        for (before, event), to in TRANSITIONS.items():
            if before is state and event not in without and to not in found:
                found.add(to)
                waiting.append(to)
    return found


def test_every_state_is_reached_from_discovered():
    assert reachable(S.DISCOVERED) == set(State)


def test_every_state_that_is_not_final_comes_to_a_final_one_by_itself():
    for state in set(State) - FINAL:
        assert reachable(state, without=BY_A_PERSON | BY_THE_WORLD) & FINAL or state is S.QUARANTINED


@pytest.mark.parametrize("state", sorted(FINAL))
def test_nothing_automatic_leaves_a_final_state(state):
    assert set(allowed(state)) <= BY_A_PERSON | BY_THE_WORLD


def test_submitting_is_left_by_the_answer_or_the_sweep_only():
    answers = {E.ACCEPTED, E.NOT_CREATED, E.REFUSED, E.OUTCOME_UNKNOWN}
    assert set(allowed(S.SUBMITTING)) == answers
    assert {state for state in State for event in allowed(state) if event in answers} == {S.SUBMITTING}


def test_only_a_staged_recording_is_sent_and_staged_is_not_reached_from_unconfirmed_without_a_word():
    assert [s for s in State if E.SUBMIT_STARTED in allowed(s)] == [S.STAGED]
    assert {e for e, to in EXPECTED[S.UNCONFIRMED].items() if to is S.STAGED} == {E.CLEARED, E.SEND_AGAIN}


def test_what_has_an_interaction_is_sent_again_only_when_a_person_wants_a_second_one():
    for state in (S.SUBMITTED, S.ANALYZED):
        assert S.STAGED not in reachable(state, without={E.NEW_INTERACTION})


def test_an_analyzed_recording_never_moves_again():
    assert allowed(S.ANALYZED) == ()


def test_every_way_back_to_the_start_but_a_second_interaction_frees_the_identity():
    back = {event for (_, event), to in TRANSITIONS.items() if to is S.DISCOVERED}
    assert back - {E.NEW_INTERACTION} <= RELEASES_IDENTITY
    assert back <= REVOKES_URLS


def test_one_that_a_person_sends_a_second_time_goes_on_keeping_its_duplicates_out():
    assert E.NEW_INTERACTION not in RELEASES_IDENTITY


def test_whatever_leads_to_another_request_revokes_the_urls_given_out_before():
    for event in (E.CLEARED, E.SEND_AGAIN, E.UNSTAGED, E.CHANGED, E.RETRIED, E.NEW_INTERACTION, E.DISCARDED):
        assert event in REVOKES_URLS
    assert not REVOKES_URLS & {E.ACCEPTED, E.MATCHED, E.LATE_ACCEPTED, E.ADOPTED, E.OUTCOME_UNKNOWN, E.DOUBTED}


LINE = re.compile(r" {4}(\[\*\]|[a-z]+) --> (\[\*\]|[a-z]+)(?:: ([a-z_]+))?")


def test_the_diagram_is_a_mermaid_state_diagram_of_the_main_way():
    lines = diagram().splitlines()
    assert lines[0] == "stateDiagram-v2"
    parsed = [LINE.fullmatch(line) for line in lines[1:]]
    assert all(parsed), [line for line, found in zip(lines[1:], parsed, strict=True) if not found]
    edges = [found.groups() for found in parsed if found]
    drawn = {(State(a), Event(e)): State(b) for a, b, e in edges if e}
    assert drawn == {key: to for key, to in TRANSITIONS.items() if key[1] in MAIN_WAY}
    assert [b for a, b, _ in edges if a == "[*]"] == ["discovered"]
    assert {State(a) for a, b, _ in edges if b == "[*]"} == FINAL
    assert diagram().endswith("\n")


def test_every_state_stands_in_the_diagram():
    assert all(re.search(rf"\b{state}\b", diagram()) for state in State)


@given(st.lists(st.sampled_from(Event), max_size=60))
def test_no_history_comes_to_staged_from_submitting_but_by_a_proof_or_a_word(events):
    state, unknown = S.DISCOVERED, False
    for event in events:
        try:
            state = next_state(state, event)
        except IllegalTransition:
            continue
        if event is E.OUTCOME_UNKNOWN:
            unknown = True
        elif event in {E.CLEARED, E.SEND_AGAIN, E.NEW_INTERACTION, E.MATCHED, E.LATE_ACCEPTED, E.ADOPTED}:
            unknown = False
        elif event is E.DISCARDED:
            continue
        assert not (unknown and state in {S.STAGED, S.SUBMITTING})
