"""`retry`: which recordings, what is asked, and how it ends."""

from __future__ import annotations

import pytest

from uploader.domain.recording import State


def test_ids_go_round_again(qm, maker):
    row = maker.quarantined()
    ran = qm("retry", row.id[:8], "--json")
    assert (ran.code, ran.json) == (0, {"changed": 1, "left": []})
    assert maker.get(row).state is State.DISCOVERED


def test_filters_take_only_what_can_be_retried(qm, maker):
    rows = {state: maker.in_state(state) for state in State}
    ran = qm("retry", "--source", "hq")
    assert ran.code == 0
    assert maker.get(rows[State.REFUSED]).state is State.DISCOVERED
    assert maker.get(rows[State.UNCONFIRMED]).state is State.UNCONFIRMED
    assert "1 recording, unconfirmed: looked for again now" in ran.out
    assert maker.get(rows[State.SUBMITTED]) == rows[State.SUBMITTED]
    assert "The daemon is not running" in ran.err


def test_what_cannot_be_retried_is_named_with_the_reason_and_exit_code_1(qm, maker):
    row, good = maker.duplicate(), maker.quarantined()
    ran = qm("retry", row.id, good.id)
    assert ran.code == 1
    assert row.id in ran.out
    assert "--new-interaction" in ran.out
    assert maker.get(good).state is State.DISCOVERED
    found = qm("retry", "--json", row.id)
    assert (found.code, found.json["left"][0]["id"]) == (1, row.id)


def test_send_again_sends_what_is_unconfirmed(qm, maker):
    row = maker.unconfirmed()
    assert "to be sent again" in qm("retry", "--send-again", row.id).out
    assert maker.get(row).state is State.STAGED


def test_more_than_a_hundred_are_asked_for(qm, maker):
    rows = [maker.quarantined() for _ in range(101)]
    ran = qm("retry", "--state", "quarantined")
    assert (ran.code, ran.out) == (2, "")
    assert "101 recordings" in ran.err
    assert qm("retry", "--state", "quarantined", answer=False).code == 1
    assert maker.get(rows[0]).state is State.QUARANTINED
    assert qm("retry", "--state", "quarantined", "--yes").code == 0
    assert maker.get(rows[100]).state is State.DISCOVERED


def test_exactly_a_hundred_are_not_asked_for(qm, maker):
    for _ in range(100):
        maker.quarantined()
    assert qm("retry", "--json", "--reason", "sidecar_missing").json["changed"] == 100


def test_a_new_interaction_says_that_nobody_can_delete_it_and_asks_always(qm, maker):
    row = maker.discarded()
    ran = qm("retry", "--new-interaction", row.id)
    assert (ran.code, ran.out) == (2, "")
    assert "cannot be deleted by anybody" in ran.err
    assert maker.get(row).state is State.DISCARDED
    assert qm("retry", "--new-interaction", row.id, "--yes").code == 0
    assert maker.get(row).state is State.DISCOVERED


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["--new-interaction"],
        ["--new-interaction", "--state", "duplicate"],
        ["--new-interaction", "--send-again", "x"],
        ["x", "--state", "refused"],
        ["unknown-id"],
    ],
)
def test_what_is_not_clear_is_a_usage_error_and_changes_nothing(qm, maker, args):
    row = maker.quarantined()
    assert qm("retry", "--yes", *args).code == 2
    assert maker.get(row) == row


def test_an_unknown_id_among_known_ones_changes_nothing(qm, maker):
    row = maker.quarantined()
    assert qm("retry", row.id, "unknown-id").code == 2
    assert maker.get(row) == row


def test_nothing_to_retry_is_no_mistake(qm, maker):
    ran = qm("retry", "--state", "refused")
    assert ran.code == 0
    assert "Nothing to retry" in ran.out


def test_it_makes_no_ledger(qm, tmp_path):
    assert qm("retry", "--state", "refused").code == 0
    assert not (tmp_path / "ledger.db").exists()
