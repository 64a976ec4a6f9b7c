"""What an import shows while it runs and when it ends."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from uploader.cli.common import Context
from uploader.cli.import_screen import Screen, _line, _new_bar, hindrance_of
from uploader.domain.forecast import Forecast, Terms
from uploader.domain.gates import SENTENCES, Why
from uploader.domain.recording import State
from uploader.ledger.books import GateRow
from uploader.service.imports.plan import Plan
from uploader.service.imports.report import Report
from uploader.service.imports.watch import Look, Pause
from uploader.service.operations.outlook import Limits, Outlook
from uploader.settings.model import BudgetSettings

NIGHT = datetime(2026, 11, 21, tzinfo=UTC)


def look(
    counts: dict[State, int] | None = None, *, gates: tuple[GateRow, ...] = (), paused: Pause | None = None
) -> Look:
    return Look(report=Report.of(counts or {State.STAGED: 3}), stuck=None, overdue=0, gates=gates, paused=paused)


def gate(why: Why) -> GateRow:
    message, hint = SENTENCES[why]
    return GateRow(
        name="submit", reason=why.value, message=message, hint=hint, closed_at=0, probe_at=1_795_000_000_000, failures=1
    )


def test_nothing_is_said_while_nothing_holds_it_up():
    assert hindrance_of(look()) == ""


@pytest.mark.parametrize("why", [why for why in Why if why is not Why.DAILY_LIMIT])
def test_closed_gate_is_said_with_what_to_do(why: Why):
    message, hint = SENTENCES[why]
    said = hindrance_of(look(gates=(gate(why),)))
    assert message in said
    assert hint in said


def test_daily_limit_says_until_when():
    said = hindrance_of(look(gates=(gate(Why.DAILY_LIMIT),)))
    assert "2026-11-1" in said
    assert "nothing:" not in said


@pytest.mark.parametrize("paused", list(Pause))
def test_pause_goes_before_gates(paused: Pause):
    said = hindrance_of(look(gates=(gate(Why.SCOPE),), paused=paused))
    assert said.startswith("Paused: ")
    assert "qm-uploader resume" in said


def test_folder_that_is_out_of_reach_is_said():
    assert "not exist" in hindrance_of(look(), unreachable="the folder does not exist")


def test_unknown_outcomes_are_said_once_all_else_is_done():
    assert "the outcome of 2 recordings is unknown" in hindrance_of(look({State.UNCONFIRMED: 2, State.SUBMITTED: 1}))
    assert hindrance_of(look({State.UNCONFIRMED: 2, State.STAGED: 1})) == ""


def test_hindrance_is_said_once_until_it_is_another(capsys):
    screen = Screen(Context())
    for said in ("one", "one", "", "", "one", "two"):
        screen.moved(look(), said, done=0)
    assert capsys.readouterr().err.split() == ["one", "one", "two"]


def test_quiet_says_nothing_on_standard_error(capsys):
    screen = Screen(Context(quiet=True))
    screen.begin("sending", 3)
    screen.moved(look(), "Waiting", done=0)
    screen.end()
    assert capsys.readouterr().err == ""


def test_report_in_a_pipe_is_plain_and_leaves_out_what_is_not_there(capsys):
    counts = {State.SUBMITTED: 2, State.ANALYZED: 1, State.QUARANTINED: 1}
    Screen(Context()).report("old", Report.of(counts), [("quarantined", "sidecar_missing", 1)])
    out = capsys.readouterr().out
    assert [line.split()[:2] for line in out.splitlines() if line and line[0] in "fsq"][:3] == [
        ["found", "4"], ["submitted", "3"], ["quarantined", "1"],
    ]  # fmt: skip
    assert "1 analyzed" in out
    assert "refused" not in out
    assert "sidecar_wait" not in out, "an import waits for no sidecar"
    assert "qm-uploader retry --import old" in out


def test_json_prints_no_word_for_people(capsys):
    screen = Screen(Context(json=True))
    screen.report("old", Report.of({State.QUARANTINED: 1}), [("quarantined", "sidecar_missing", 1)])
    screen.document({"import": "old"})
    assert capsys.readouterr().out == '{"import":"old"}\n'


def test_a_day_whose_rest_is_kept_is_said_unless_a_gate_says_more():
    spent = "until 00:00 UTC: the 5 left today are kept for live recordings"
    assert hindrance_of(look(), spent=spent) == f"Waiting: {spent}."
    assert SENTENCES[Why.SCOPE][0] in hindrance_of(look(gates=(gate(Why.SCOPE),)), spent=spent)
    assert hindrance_of(look({State.ANALYZED: 1}), spent=spent) == ""


@pytest.mark.parametrize(
    ("least_seconds", "left"), [(0.0, "about 10 s left"), (46_800, "about 13 h left"), (5, "about 10 s left")]
)
def test_a_line_shows_no_end_before_what_the_days_budget_allows(least_seconds, left):
    assert _line((0.0, 0), 10.0, 100, 200, "sent", least_seconds).endswith(left)


def test_the_bar_shows_no_end_before_what_the_days_budget_allows():
    bar = _new_bar(color=False)
    bar.add_task("sending", total=200, told="", least=46_800.0)
    assert "13 h" in str(bar.columns[4].render(bar.tasks[0]))


@pytest.mark.parametrize(
    ("left", "kept_until", "said"),
    [
        (0, NIGHT, "(0 left today)"),
        (5, NIGHT, "(5 left today, kept for live recordings)"),
        (80, None, "(80 left today)"),
    ],
)
def test_the_plan_says_what_is_left_and_takes_what_is_kept_into_account(capsys, left, kept_until, said):
    limits = Limits(per_second=4, learned_per_second=None, learned_left_today=left, slowed_to=None)
    done = Forecast(waiting=185, done_at=datetime(2026, 11, 22, 1, tzinfo=UTC), seconds=133_200, rate=100, per="day")
    view = Outlook(
        limits=limits,
        terms=Terms(per_second=4, left_today=left, per_day=100),
        backfill_at=kept_until,
        is_nearly_spent=True,
        foretell=lambda waiting: None,
        foretell_backfill=lambda waiting: done,
    )
    plan = Plan(recordings=186, size_bytes=1, requests=185)
    Screen(Context()).plan(plan, BudgetSettings(submissions_per_second=4, submissions_per_day=100), view)
    line = f"At most 185 requests: at least 1 d 13 h at 4 a second and 100 a day {said}."
    assert line in capsys.readouterr().out
