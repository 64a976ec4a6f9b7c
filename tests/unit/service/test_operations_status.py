"""What `status` counts, and why submission is closed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from uploader.domain.allowance import Learned
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.ledger import changes
from uploader.ledger.books import GateRow
from uploader.ledger.rows import to_ms
from uploader.service.operations import pausing, status


def survey(maker, sources=("hq",), limit=12_000):
    return status.survey(
        maker.ledger,
        now=maker.now,
        sources=sources,
        submissions_per_second=4,
        submissions_per_day=limit,
        analysis_deadline=timedelta(hours=72),
    )


def close_gate(maker, name, reason):
    maker.ledger.books.put_gate(
        GateRow(
            name=name,
            reason=reason,
            message=f"{name} is closed",
            hint="mend it",
            closed_at=maker.at,
            probe_at=maker.at + 60_000,
            failures=3,
        )
    )


def test_an_empty_ledger_has_every_state_at_zero_and_is_open(maker):
    found = survey(maker)
    assert found.counts == dict.fromkeys(State, 0)
    assert (found.submission, found.oldest_waiting_seconds, found.overdue, found.held) == ("open", None, 0, {})
    assert not found.daemon_runs
    assert [(one.name, one.scanned_at) for one in found.sources] == [("hq", None)]


def test_every_state_is_counted(maker):
    for state in State:
        maker.in_state(state)
    counts = survey(maker).counts
    # A duplicate brings the one that it repeats, which is ready.
    assert counts == dict.fromkeys(State, 1) | {State.READY: 2}


@pytest.mark.parametrize(
    ("closed", "paused", "expected"),
    [
        ([], False, "open"),
        ([("submit", "plan")], False, "closed: plan"),
        ([("submit", "plan"), ("token", "credentials")], False, "closed: credentials"),
        ([("disk", "disk_full"), ("store", "store_bucket"), ("submit", "plan")], False, "closed: plan"),
        ([("disk", "disk_full"), ("store", "store_bucket")], False, "closed: store_bucket"),
        ([], True, "closed: paused"),
        ([("submit", "plan")], True, "closed: paused"),
    ],
)  # fmt: skip
def test_submission_says_first_what_must_be_mended_first(maker, closed, paused, expected):
    for name, reason in closed:
        close_gate(maker, name, reason)
    if paused:
        pausing.pause_all(maker.ledger, now=maker.now)
    assert survey(maker).submission == expected


def test_the_budget_is_that_of_the_utc_day(maker):
    maker.submitted()
    maker.refused()
    found = survey(maker).budget
    assert (found.used, found.limit, found.resets_at) == (2, 12_000, datetime(2026, 11, 21, tzinfo=UTC))
    maker.pass_time(days=1)
    assert survey(maker).budget.used == 0


def test_the_oldest_waiting_is_neither_held_nor_sent(maker):
    maker.discovered(held=Reason.BACKLOG)
    maker.submitted()
    maker.pass_time(seconds=30)
    maker.discovered()
    maker.pass_time(seconds=12)
    found = survey(maker)
    assert found.oldest_waiting_seconds == 12
    assert found.held == {"backlog": 1}
    assert [(one.backlog, one.waiting) for one in found.sources] == [(1, 2)]


def test_overdue_counts_what_waits_longer_than_the_deadline(maker):
    maker.submitted()
    maker.analyzed()
    maker.pass_time(hours=72, seconds=1)
    maker.submitted()
    assert survey(maker).overdue == 1


def test_top_reasons_are_those_that_need_attention_or_wait(maker):
    for _ in range(3):
        maker.quarantined()
    maker.refused()
    maker.duplicate()
    maker.skipped()
    found = survey(maker).reasons
    assert [(one.reason_code, one.count) for one in found] == [("sidecar_missing", 3), ("refused_by_service", 1)]


def test_a_source_tells_that_it_is_unavailable_paused_or_left_over(maker):
    n = maker.source("hq")
    maker.ledger.discovery.update_source(n, available=0, detail="the folder does not exist", scanned_at=maker.at)
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    maker.source("gone")
    maker.discovered(b"x.wav", source="left")
    found = {one.name: one for one in survey(maker).sources}
    assert found.keys() == {"hq", "left"}
    assert (found["hq"].available, found["hq"].detail, found["hq"].paused) == (False, "the folder does not exist", True)
    assert not found["left"].configured


def test_sidecars_without_a_recording_are_counted_and_others_not(maker):
    maker.discovered(b"a.wav")
    maker.discovered(b"b.2.wav")
    for name in (b"a.json", b"b.2.wav.json", b"c.json", b"b.json"):
        maker.sidecar(name)
    assert survey(maker).sources[0].orphans == 2


def test_a_source_with_too_many_files_has_its_orphans_left_uncounted(maker, monkeypatch):
    maker.sidecar(b"c.json")
    monkeypatch.setattr(status, "MOST_FILES", 0)
    assert survey(maker).sources[0].orphans is None


def test_imports_under_way_are_listed_and_finished_ones_not(maker):
    source_n = maker.source("hq")
    for name in ("done", "busy", "planning"):
        made = maker.ledger.discovery.begin_import(name=name, source_n=source_n, settings="{}", at=maker.at)
        if name != "planning":
            maker.ledger.discovery.import_planned(made.n, at=maker.at)
        if name == "busy":
            maker.discovered(b"busy.wav", import_n=made.n)
    found = {one.name: one for one in survey(maker).imports}
    assert found.keys() == {"busy", "planning"}
    assert found["busy"].counts[State.DISCOVERED] == 1
    assert survey(maker).sources[0].waiting == 0


def test_a_tracking_problem_is_told(maker):
    maker.ledger.books.set_notes({"tracking_problem": "the API cannot be reached"})
    assert survey(maker).tracking_problem == "the API cannot be reached"


def test_a_gate_is_told_with_its_hint_and_when_it_is_tried_again(maker):
    close_gate(maker, "token", "credentials")
    [gate] = survey(maker).gates
    assert (gate.message, gate.hint) == ("token is closed", "mend it")
    assert to_ms(gate.probe_at) == maker.at + 60_000


def test_requests_that_were_refused_as_too_many_show_for_two_minutes(maker):
    row = maker.in_state(State.STAGED)
    maker.ledger.recordings.write(
        lambda db: db.execute(
            "INSERT INTO attempt (recording_n, number, started_at, ended_at, outcome, cause, open) "
            "VALUES (?, 99, ?, ?, 'not_created', 'rate_second', 0)",
            (row.n, maker.at, maker.at),
        )
    )
    assert survey(maker).throttled == 1
    maker.pass_time(minutes=3)
    assert survey(maker).throttled == 0


def wait_for(maker, count, **options):
    for n in range(count):
        maker.discovered(b"w%d.wav" % n, **options)


def sends(maker, monkeypatch):
    """Let a daemon seem to run."""
    monkeypatch.setattr(type(maker.ledger), "is_sender_running", lambda self: True)


def learn(maker, **values):
    known = Learned(day="2026-11-20", **values)
    maker.ledger.books.set_notes({"limits": json.dumps(known.to_json())})


def test_what_waits_has_a_forecast_by_pace_and_budget(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 8)
    found = survey(maker, limit=0).forecast
    assert (found.waiting, found.seconds, found.rate, found.per) == (8, 2.0, 4, "second")
    found = survey(maker, limit=3).forecast
    assert (found.rate, found.per) == (3, "day")


def test_what_is_held_or_paused_is_not_in_the_forecast(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 3)
    maker.discovered(b"held.wav", held=Reason.BACKLOG)
    assert survey(maker).forecast.waiting == 3
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    assert survey(maker).forecast is None


def test_without_a_sender_nothing_is_foretold(maker):
    wait_for(maker, 3)
    assert survey(maker).forecast is None


def test_closed_for_anything_but_the_day_nothing_is_foretold(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 3)
    close_gate(maker, "submit", "daily_limit")
    assert survey(maker).forecast is not None
    close_gate(maker, "token", "credentials")
    assert survey(maker).forecast is None


def test_learned_limits_are_shown_and_foretold_by(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 8)
    learn(maker, per_second=2, per_second_at=maker.at, ends_at=100, factor=0.5, factor_at=maker.at)
    found = survey(maker)
    assert found.limits.learned_per_second == 2
    assert found.limits.learned_left_today == 100
    assert found.limits.slowed_to == 0.5
    assert found.forecast.seconds == 8.0
    maker.pass_time(days=2)
    later = survey(maker).limits
    assert (later.learned_per_second, later.learned_left_today, later.slowed_to) == (None, None, None)


def test_the_pace_that_was_seen_lately_is_foretold_by_where_much_waits(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 60)
    learn(maker, pace=0.5, pace_at=maker.at)
    assert survey(maker).forecast.seconds == 120
    maker.pass_time(minutes=11)
    assert survey(maker).forecast.seconds == 15


def test_an_import_is_done_after_the_live_ones_and_what_other_imports_put_between(maker, monkeypatch):
    sends(maker, monkeypatch)
    source_n = maker.source("hq")
    wait_for(maker, 4)
    for name in ("one", "two"):
        made = maker.ledger.discovery.begin_import(name=name, source_n=source_n, settings="{}", at=maker.at)
        for n in range(4):
            maker.discovered(b"%s%d.wav" % (name.encode(), n), import_n=made.n)
    found = survey(maker)
    assert [one.forecast.seconds for one in found.imports] == [3.0, 3.0]
    assert found.forecast.waiting == 12


def import_of(maker, count):
    made = maker.ledger.discovery.begin_import(name="old", source_n=maker.source(), settings="{}", at=maker.at)
    for n in range(count):
        maker.discovered(b"i%d.wav" % n, import_n=made.n)
    maker.ledger.discovery.import_planned(made.n, at=maker.at)
    return made


def test_what_cannot_be_sent_yet_is_not_in_the_forecast(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 2)
    for code in (Reason.MEDIA_INCOMPLETE, Reason.SIDECAR_AWAITED):
        row = maker.discovered()
        maker.ledger.recordings.release(row, due_at=maker.at, **changes.reason_of(code))
    import_of(maker, 1)
    maker.discovered(held=Reason.BACKLOG)
    assert survey(maker).forecast.waiting == 3


def test_an_import_waits_for_what_is_kept_and_is_foretold_by_it(maker, monkeypatch):
    sends(maker, monkeypatch)
    import_of(maker, 6)
    learn(maker, ends_at=5)
    found = survey(maker)
    assert (found.budget.left, found.budget.backfill_at) == (5, datetime(2026, 11, 20, 23, 48, tzinfo=UTC))
    assert found.imports[0].forecast.done_at >= found.budget.resets_at
    assert found.forecast == found.imports[0].forecast
    assert found.submission == "open"


def test_nothing_is_kept_from_live_recordings_alone(maker, monkeypatch):
    sends(maker, monkeypatch)
    wait_for(maker, 4)
    learn(maker, ends_at=5)
    assert survey(maker).forecast.seconds == 1.0


def test_a_few_of_an_import_are_set_free_before_the_day_ends(maker, monkeypatch):
    sends(maker, monkeypatch)
    import_of(maker, 2)
    learn(maker, ends_at=5)
    assert survey(maker).imports[0].forecast.done_at == datetime(2026, 11, 20, 23, 50, 24, tzinfo=UTC)


def test_with_very_many_waiting_only_those_held_are_taken_out_of_the_forecast(maker, monkeypatch):
    sends(maker, monkeypatch)
    monkeypatch.setattr(status, "MOST_WAITING", 2)
    wait_for(maker, 2)
    maker.discovered(held=Reason.BACKLOG)
    row = maker.discovered()
    maker.ledger.recordings.release(row, due_at=maker.at, **changes.reason_of(Reason.SIDECAR_AWAITED))
    assert survey(maker).forecast.waiting == 3
