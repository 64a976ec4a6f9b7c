"""What in a row closes a gate: failures of the service, and equal refusals of different recordings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.gates import HALF_OPEN, SENTENCES, Run, Why, after
from uploader.domain.outcome import Cause, Kind, Outcome

ACCEPTED = Outcome(kind=Kind.ACCEPTED, interaction_id="i")


def no(cause: Cause, message: str = "to: not taken", kind: Kind = Kind.NOT_CREATED, **values) -> Outcome:
    return Outcome(kind=kind, cause=cause, message=message, **values)


def told(*told: tuple[Outcome, int]) -> list[Why | None]:
    run, answers = Run(), []
    for outcome, n in told:
        run, why = after(run, outcome, n)
        answers.append(why)
    return answers


@pytest.mark.parametrize(
    ("cause", "why"),
    [
        (Cause.CREDENTIALS, Why.CREDENTIALS),
        (Cause.SCOPE, Why.SCOPE),
        (Cause.PLAN, Why.PLAN),
        (Cause.FORBIDDEN, Why.FORBIDDEN),
        (Cause.RATE_DAY, Why.DAILY_LIMIT),
    ],
)
def test_a_refusal_of_the_account_closes_at_once(cause, why):
    assert told((no(cause), 1)) == [why]


@pytest.mark.parametrize(("cause", "why"), [(Cause.TRANSPORT, Why.UNREACHABLE), (Cause.SERVER, Why.SERVER_ERRORS)])
@pytest.mark.parametrize("kind", [Kind.UNKNOWN, Kind.NOT_CREATED])
def test_the_third_failure_in_a_row_closes(cause, why, kind):
    assert told(*[(no(cause, kind=kind), n) for n in range(3)]) == [None, None, why]


def test_failures_of_one_recording_count_as_those_of_three():
    assert told(*[(no(Cause.SERVER), 7)] * 3)[-1] is Why.SERVER_ERRORS


@pytest.mark.parametrize("between", [ACCEPTED, no(Cause.RECORDING), no(Cause.RATE_SECOND), no(Cause.CONFLICT)])
def test_an_answer_of_the_service_between_failures_begins_the_count_anew(between):
    failure = (no(Cause.TRANSPORT), 1)
    assert told(failure, failure, (between, 2), failure, failure, failure) == [None] * 5 + [Why.UNREACHABLE]


def test_the_fifth_equal_refusal_of_a_different_recording_closes():
    assert told(*[(no(Cause.RECORDING, status=400), n) for n in range(5)]) == [None] * 4 + [Why.EQUAL_REFUSALS]


def test_refusals_of_the_same_recording_never_close():
    assert set(told(*[(no(Cause.RECORDING), 1)] * 50)) == {None}


def test_four_recordings_refused_again_and_again_do_not_close():
    assert set(told(*[(no(Cause.RECORDING), n % 4) for n in range(40)])) == {None}


@pytest.mark.parametrize(
    "other", [no(Cause.RECORDING, status=422), no(Cause.RECORDING, "from: not taken"), no(Cause.RECORDING, code=3)]
)
def test_another_refusal_between_begins_the_count_anew(other):
    same = no(Cause.RECORDING)
    assert set(told(*[(same, n) for n in range(4)], (other, 4), *[(same, n) for n in range(5, 9)])) == {None}


def test_a_success_between_begins_the_count_anew():
    same = no(Cause.RECORDING)
    assert set(told(*[(same, n) for n in range(4)], (ACCEPTED, 4), *[(same, n) for n in range(4)])) == {None}


@pytest.mark.parametrize("between", [Cause.TRANSPORT, Cause.SERVER, Cause.RATE_SECOND, Cause.TOKEN])
def test_what_is_no_success_does_not_interrupt_equal_refusals(between):
    same = no(Cause.RECORDING)
    answers = told(*[(same, n) for n in range(4)], (no(between, kind=Kind.UNKNOWN), 9), (same, 5))
    assert answers[-1] is Why.EQUAL_REFUSALS


def test_every_reason_has_a_sentence_and_what_to_do():
    assert set(SENTENCES) == set(Why)
    for sentence, hint in SENTENCES.values():
        assert sentence
        assert hint
        assert not sentence.endswith(".")


OUTCOMES = st.one_of(
    st.just(ACCEPTED),
    st.builds(
        no, st.sampled_from(Cause), st.sampled_from(["a", "b"]), st.sampled_from([Kind.NOT_CREATED, Kind.UNKNOWN])
    ),
)


@given(st.lists(st.tuples(OUTCOMES, st.integers(1, 8)), max_size=60))
def test_a_gate_never_closes_for_refusals_unless_the_last_five_recordings_got_the_same_one(story):
    run = Run()
    for at, (outcome, n) in enumerate(story):
        run, why = after(run, outcome, n)
        assert len(run.refused) <= 5 or why is Why.EQUAL_REFUSALS
        if why is Why.EQUAL_REFUSALS:
            told = [(o, m) for o, m in story[: at + 1] if o.cause is Cause.RECORDING or o.kind is Kind.ACCEPTED]
            same = [m for o, m in told if o.kind is not Kind.ACCEPTED and o.message == outcome.message]
            assert len(set(same)) >= 5
        assert why is None or outcome.kind is not Kind.ACCEPTED


def test_a_gate_that_only_a_submission_can_open_is_probed_by_one():
    # what the submit gate can be closed for and no listing or clock can lift
    assert {Why.CREDENTIALS, Why.SCOPE, Why.PLAN, Why.FORBIDDEN, Why.EQUAL_REFUSALS} <= HALF_OPEN
