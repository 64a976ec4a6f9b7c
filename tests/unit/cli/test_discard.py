"""`discard`: give up, with a reason that is kept."""

from __future__ import annotations

from uploader.domain.recording import State


def test_the_reason_is_kept_and_shown(qm, maker):
    rows = [maker.quarantined(), maker.unconfirmed()]
    ran = qm("discard", *(row.id for row in rows), "--reason", "test calls")
    assert (ran.code, ran.out) == (0, "2 recordings discarded.\n")
    found = qm("show", "--json", rows[0].id).json
    assert (found["state"], found["reason_code"], found["reason"]) == ("discarded", "discarded", "test calls")


def test_one_that_cannot_be_given_up_keeps_all_as_they_are(qm, maker):
    good, sent = maker.quarantined(), maker.submitted()
    assert qm("discard", good.id, sent.id).code == 2
    assert (maker.get(good), maker.get(sent)) == (good, sent)


def test_more_than_a_hundred_are_asked_for(qm, maker):
    rows = [maker.quarantined() for _ in range(101)]
    ids = [row.id for row in rows]
    assert qm("discard", *ids).code == 2
    assert maker.get(rows[0]).state is State.QUARANTINED
    assert qm("discard", "--json", "--yes", *ids).json == {"changed": 101, "left": []}


def test_without_an_id_it_is_a_usage_error(qm, maker):
    assert qm("discard").code == 2
