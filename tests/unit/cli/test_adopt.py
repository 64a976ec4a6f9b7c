"""`adopt`: a person has seen it."""

from __future__ import annotations

from uploader.domain.recording import State


def test_the_recording_has_the_interaction_from_then_on(qm, maker):
    row = maker.unconfirmed()
    assert "submitted" in qm("adopt", row.id, "QMp3e6").out
    after = maker.get(row)
    assert (after.state, after.interaction_id) == (State.SUBMITTED, "QMp3e6")


def test_json_gives_the_recording(qm, maker):
    row = maker.unconfirmed()
    found = qm("adopt", "--json", row.id[:9], "QMp3e6").json
    assert (found["id"], found["state"], found["interaction_id"]) == (row.id, "submitted", "QMp3e6")


def test_another_recordings_interaction_is_refused(qm, maker):
    owner, row = maker.submitted("QMp3e6"), maker.unconfirmed()
    ran = qm("adopt", row.id, "QMp3e6")
    assert ran.code == 2
    assert owner.id in ran.err
    assert maker.get(row) == row


def test_a_state_that_does_not_allow_it_is_refused(qm, maker):
    row = maker.submitted()
    assert qm("adopt", row.id, "another").code == 2
    assert maker.get(row) == row


def test_an_unknown_id_is_refused(qm, maker):
    assert qm("adopt", "unknown", "QMp3e6").code == 2
