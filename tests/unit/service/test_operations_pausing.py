"""Pause and resume: what is claimed while something is paused, and what is not."""

from __future__ import annotations

import pytest

from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import UsageError
from uploader.ledger.books import GateRow
from uploader.service.operations import pausing
from uploader.service.operations.pausing import Pauses


def claim(maker, *states):
    return [row.n for row in maker.ledger.recordings.claim(states, limit=10, now=maker.at)]


def test_a_paused_source_is_not_claimed_until_it_is_resumed(maker):
    row, other = maker.staged(), maker.discovered(b"other.wav", source="branch")
    assert pausing.pause_source(maker.ledger, "hq", now=maker.now) == 1
    later = maker.discovered(b"later.wav")
    assert claim(maker, State.STAGED, State.DISCOVERED) == [other.n]
    assert pausing.resume_source(maker.ledger, "hq", now=maker.now) == (2, 0)
    assert claim(maker, State.STAGED, State.DISCOVERED) == [row.n, later.n]


def test_pausing_twice_is_pausing_once(maker):
    row = maker.staged()
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    assert pausing.pause_source(maker.ledger, "hq", now=maker.now) == 0
    pausing.resume_source(maker.ledger, "hq", now=maker.now)
    assert maker.get(row).lane == 0


def test_what_is_submitted_is_followed_though_its_source_is_paused(maker):
    row = maker.submitted()
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    maker.pass_time(hours=1)
    assert maker.ledger.recordings.next_due((State.SUBMITTED,)) is not None
    assert claim(maker, State.SUBMITTED) == [row.n]


def test_resuming_a_source_releases_its_backlog_too(maker):
    row = maker.discovered(held=Reason.BACKLOG)
    assert claim(maker, State.DISCOVERED) == []
    assert pausing.resume_source(maker.ledger, "hq", now=maker.now) == (0, 1)
    assert claim(maker, State.DISCOVERED) == [row.n]


def test_a_paused_import_leaves_its_source_alone(maker):
    made = maker.ledger.discovery.begin_import(name="old", source_n=maker.source(), settings="{}", at=maker.at)
    imported, live = maker.discovered(b"i.wav", import_n=made.n), maker.discovered(b"l.wav")
    pausing.pause_import(maker.ledger, "old", now=maker.now)
    assert claim(maker, State.DISCOVERED) == [live.n]
    assert pausing.pauses(maker.ledger) == Pauses(everything=False, sources=(), imports=("old",))
    pausing.resume_import(maker.ledger, "old", now=maker.now)
    assert claim(maker, State.DISCOVERED) == [imported.n]


def test_a_general_pause_is_kept_in_the_ledger_and_sources_keep_their_own(maker):
    maker.source("hq")
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    pausing.pause_all(maker.ledger, now=maker.now)
    assert maker.ledger.books.note("paused") == "1"
    pausing.resume_all(maker.ledger, now=maker.now)
    assert pausing.pauses(maker.ledger) == Pauses(everything=False, sources=("hq",), imports=())


def test_resuming_lets_closed_gates_be_tried_at_once_and_opens_none(maker):
    closed = GateRow(
        name="submit", reason="plan", message="m", hint="h", closed_at=1, probe_at=maker.at + 10**9, failures=9
    )
    maker.ledger.books.put_gate(closed)
    maker.ledger.books.put_gate(
        GateRow(name="token", reason=None, message="", hint="", closed_at=None, probe_at=None, failures=0)
    )
    pausing.resume_all(maker.ledger, now=maker.now)
    gates = {gate.name: gate for gate in maker.ledger.books.gates()}
    assert (gates["submit"].reason, gates["submit"].probe_at) == ("plan", maker.at)
    assert gates["token"].probe_at is None
    assert maker.ledger.books.counter("probe_gates") == 1


@pytest.mark.parametrize("act", [pausing.pause_source, pausing.resume_source])
def test_an_unknown_source_names_the_known(maker, act):
    maker.source("hq")
    with pytest.raises(UsageError, match="no source") as caught:
        act(maker.ledger, "hqs", now=maker.now)
    assert "did you mean hq?" in caught.value.hint


@pytest.mark.parametrize("act", [pausing.pause_import, pausing.resume_import])
def test_an_unknown_import_is_a_usage_error(maker, act):
    with pytest.raises(UsageError, match="no import"):
        act(maker.ledger, "old", now=maker.now)


@pytest.mark.parametrize(
    "act",
    [
        lambda ledger, now: pausing.pause_all(ledger, now=now),
        lambda ledger, now: pausing.resume_all(ledger, now=now),
        lambda ledger, now: pausing.pause_source(ledger, "hq", now=now),
        lambda ledger, now: pausing.resume_source(ledger, "hq", now=now),
    ],
)
def test_every_change_rings_the_daemon(maker, act):
    maker.source("hq")
    before = maker.ledger.books.counter("wake")
    act(maker.ledger, maker.now)
    assert maker.ledger.books.counter("wake") > before


def test_what_is_submitted_or_set_aside_is_not_counted_among_what_waits(maker):
    made = maker.ledger.discovery.begin_import(name="old", source_n=maker.source(), settings="{}", at=maker.at)
    maker.discovered(b"i.wav", import_n=made.n)
    maker.submitted(row=maker.staged(maker.understood(maker.discovered(b"j.wav", import_n=made.n))))
    assert pausing.pause_import(maker.ledger, "old", now=maker.now) == 1
    assert pausing.pause_import(maker.ledger, "old", now=maker.now) == 0
    assert pausing.resume_import(maker.ledger, "old", now=maker.now) == 1
