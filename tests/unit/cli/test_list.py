"""`list`: which recordings, in which form."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from uploader.domain.reasons import Reason
from uploader.domain.recording import State

FIELDS = [
    "id", "source", "import", "location", "state", "reason", "reason_code", "interaction_id", "sha256", "content_id",
    "size_bytes", "attempts", "discovered_at", "submitted_at", "analyzed_at",
]  # fmt: skip


def test_json_gives_an_object_a_line_with_every_field(qm, maker):
    row = maker.analyzed()
    maker.quarantined()
    ran = qm("list", "--json")
    first, second = ran.lines
    assert list(first) == FIELDS
    assert first | {"id": row.id, "state": "analyzed", "submitted_at": "2026-11-20T04:00:00Z"} == first
    assert (second["sha256"], second["import"], second["reason_code"]) == (None, None, "sidecar_missing")
    assert (ran.code, ran.err) == (0, "")


def test_json_of_a_name_that_is_no_utf8_reads_back_to_its_bytes(qm, maker):
    row = maker.quarantined(name=b"gr\xfc\xdfe\n.wav")
    [found] = qm("list", "--json").lines
    assert found["location"].encode("utf-8", "surrogateescape") == row.location


def test_text_shows_a_location_so_that_it_cannot_steer_a_terminal(qm, maker):
    maker.quarantined(name=b"a\x1b[31m\nb\xff.wav")
    ran = qm("list")
    assert "\x1b" not in ran.out
    assert r"a\x1b[31m\nb\udcff.wav" in ran.out
    assert ran.out.count("\n") == 2


@pytest.mark.parametrize("args", [["--state", "quarantined,refused"], ["--state", "quarantined", "--state", "refused"]])
def test_states_are_repeated_or_separated_by_commas(qm, maker, args):
    for state in State:
        maker.in_state(state)
    assert {one["state"] for one in qm("list", "--json", *args).lines} == {"quarantined", "refused"}


def test_limit_gives_the_first_and_without_it_come_all(qm, maker):
    for _ in range(501):
        maker.discovered()
    assert len(qm("list", "--json").lines) == 501
    assert len(qm("list", "--json", "--limit", "2").lines) == 2


def test_group_reason_counts(qm, maker):
    maker.quarantined()
    maker.quarantined()
    maker.refused()
    found = qm("list", "--group", "reason", "--json").lines
    assert [(g["state"], g["reason_code"], g["count"]) for g in found] == [
        ("quarantined", "sidecar_missing", 2),
        ("refused", "refused_by_service", 1),
    ]
    assert "put the sidecar beside" in qm("list", "--group", "reason").out


def test_filters_narrow_the_list(qm, maker):
    maker.quarantined()
    other = maker.quarantined(Reason.MEDIA_EMPTY)
    maker.now = datetime.now(UTC) - timedelta(hours=71)
    maker.submitted()
    maker.pass_time(hours=-2)
    late = maker.submitted()
    assert [one["id"] for one in qm("list", "--json", "--reason", "media_empty").lines] == [other.id]
    assert [one["id"] for one in qm("list", "--json", "--overdue").lines] == [late.id]
    assert qm("list", "--json", "--source", "branch").lines == []


@pytest.mark.parametrize(
    ("args", "count"),
    [
        (["--since", "2026-11-20T04:00Z"], 1),
        (["--since", "2026-11-20T04:00:01Z"], 0),
        (["--until", "2026-11-20T04:00Z"], 0),
        (["--until", "2026-11-20T05:00+01:00"], 0),
        (["--until", "2026-11-20T05:00:01+01:00"], 1),
        (["--since", "36500d"], 1),
        (["--since", "36500d ago"], 1),
    ],
)
def test_times_are_of_discovery(qm, maker, args, count):
    maker.discovered()
    assert len(qm("list", "--json", *args).lines) == count


def test_a_date_as_until_includes_its_day(qm, maker):
    maker.discovered()
    day = maker.now.astimezone().date()
    assert len(qm("list", "--json", "--until", str(day)).lines) == 1
    assert qm("list", "--json", "--until", str(day - timedelta(days=1))).lines == []
    assert qm("list", "--json", "--since", str(day + timedelta(days=1))).lines == []


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--state", "quarantine"], "quarantined"),
        (["--state", ","], "discovered"),
        (["--reason", "sidecar_mising"], "sidecar_missing"),
        (["--reason", "twin,looking"], "one"),
        (["--source", "hg"], "did you mean hq?"),
        (["--import", "x"], "there is none yet"),
        (["--since", "yesterday"], "2026-11-20"),
        (["--limit", "0"], "limit"),
        (["--group", "state"], "reason"),
    ],
)
def test_a_filter_that_means_nothing_is_a_usage_error(qm, maker, args, says):
    maker.source("hq")
    ran = qm("list", *args)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01", "9999-12-31T23:59:59-12:00", "0001-01-01T00:00+14:00"])
def test_a_time_at_the_ends_of_the_calendar_is_taken_or_refused(qm, maker, text):
    assert {qm("list", "--since", text).code, qm("list", "--until", text).code} <= {0, 2}


def test_without_a_ledger_it_is_said_and_none_is_made(qm, tmp_path):
    ran = qm("list")
    assert (ran.code, ran.out) == (0, "")
    assert "no ledger yet" in ran.err
    assert qm("list", "--json").out == ""
    assert not (tmp_path / "ledger.db").exists()


def test_an_empty_list_says_so_beside_standard_output(qm, maker):
    ran = qm("list", "--state", "refused")
    assert (ran.code, ran.out) == (0, "")
    assert "No recordings" in ran.err
