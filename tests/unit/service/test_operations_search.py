"""Finding recordings, and what is said can be done about each."""

from __future__ import annotations

import os
import shlex
import subprocess
from datetime import timedelta

import pytest

from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.errors import UsageError
from uploader.ledger.filters import Filter
from uploader.service.operations import pausing, search
from uploader.service.operations.search import Wanted
from uploader.service.operations.views import recording_view


def remedies(maker, row):
    late = search.overdue_before(maker.now, timedelta(hours=72))
    return [r.command for r in search.account(maker.ledger, maker.get(row), overdue_before=late).remedies]


def test_an_id_its_beginning_an_interaction_id_and_a_path_all_find_the_recording(maker, monkeypatch):
    row = maker.submitted("QMp3e6_WShCVuifNbrQd4w")
    maker.quarantined()
    path = row.location.decode()
    monkeypatch.chdir("/")
    for text in (row.id, row.id[:6], "QMp3e6_WShCVuifNbrQd4w", path, path.lstrip("/"), f"/srv//rec/../rec{path[8:]}"):
        assert search.find(maker.ledger, text) == row


def test_a_name_that_is_no_utf8_is_found_by_its_path(maker):
    row = maker.quarantined(name=b"gr\xfc\xdfe.wav")
    assert search.find(maker.ledger, os.fsdecode(row.location)) == row


@pytest.mark.parametrize("text", ["", "zzzz", "/srv/rec/none.wav", "s3://bucket/none.wav"])
def test_what_means_nothing_is_a_usage_error(maker, text):
    maker.quarantined()
    with pytest.raises(UsageError, match="no recording"):
        search.find(maker.ledger, text)


def test_an_ambiguous_beginning_names_the_ids_it_may_mean(maker):
    rows = [maker.quarantined() for _ in range(40)]
    by_first: dict[str, list[str]] = {}
    for row in rows:
        by_first.setdefault(row.id[0], []).append(row.id)
    beginning, ids = max(by_first.items(), key=lambda item: len(item[1]))
    assert len(ids) > 1
    with pytest.raises(UsageError) as caught:
        search.find(maker.ledger, beginning)
    assert sum(id_ in str(caught.value) for id_ in ids) == min(len(ids), 10)


def test_the_same_recording_named_twice_counts_once(maker):
    row = maker.submitted("one")
    assert search.find_all(maker.ledger, [row.id, "one", row.id[:8]]) == [row]


def test_filters_add_up(maker):
    old = maker.quarantined()
    maker.pass_time(days=2)
    new = maker.quarantined(Reason.MEDIA_EMPTY)
    maker.refused()

    def ids(**wanted):
        filter_ = search.filter_of(maker.ledger, Wanted(**wanted), overdue_before=0)
        return [view.id for view in search.recordings(maker.ledger, filter_)]

    assert ids(states=(State.QUARANTINED,)) == [old.id, new.id]
    assert ids(states=(State.QUARANTINED,), since=maker.now) == [new.id]
    assert ids(states=(State.QUARANTINED,), until=maker.now) == [old.id]
    assert ids(reason=Reason.MEDIA_EMPTY) == [new.id]
    assert len(ids(source="hq")) == 3


def test_overdue_is_what_was_submitted_before_the_deadline(maker):
    late = maker.submitted()
    maker.pass_time(hours=72, seconds=1)
    maker.submitted()
    before = search.overdue_before(maker.now, timedelta(hours=72))
    filter_ = search.filter_of(maker.ledger, Wanted(overdue=True), overdue_before=before)
    assert [view.id for view in search.recordings(maker.ledger, filter_)] == [late.id]


@pytest.mark.parametrize(("wanted", "known"), [({"source": "hw"}, "hq"), ({"import_name": "x"}, "none yet")])
def test_an_unknown_source_or_import_names_the_known_ones(maker, wanted, known):
    maker.source("hq")
    with pytest.raises(UsageError) as caught:
        search.filter_of(maker.ledger, Wanted(**wanted), overdue_before=0)
    assert known in caught.value.hint


def test_a_configured_source_that_was_never_scanned_is_known(maker):
    assert search.filter_of(maker.ledger, Wanted(source="hq"), overdue_before=0, sources=["hq"]).source == "hq"


def test_groups_count_by_state_and_reason_with_what_to_do(maker):
    maker.quarantined()
    maker.quarantined()
    maker.quarantined(Reason.MEDIA_EMPTY)
    found = search.groups(maker.ledger, Filter())
    assert [(g.state, g.reason_code, g.count) for g in found] == [
        ("quarantined", "sidecar_missing", 2),
        ("quarantined", "media_empty", 1),
    ]
    assert all(g.reason and g.hint for g in found)


@pytest.mark.parametrize("state", list(State))
def test_every_state_has_something_that_can_be_done_or_says_that_there_is_nothing(maker, state):
    row = maker.in_state(state)
    late = search.overdue_before(maker.now, timedelta(hours=72))
    account = search.account(maker.ledger, row, overdue_before=late)
    assert account.remedies
    assert all(remedy.effect for remedy in account.remedies)
    assert account.history[-1].state == state


def test_an_unconfirmed_one_can_be_adopted_looked_for_sent_or_discarded(maker):
    row = maker.unconfirmed()
    assert remedies(maker, row) == [
        f"adopt {row.id} INTERACTION_ID",
        f"retry {row.id}",
        f"retry --send-again {row.id}",
        f"discard {row.id} --reason TEXT",
    ]


def test_only_an_overdue_one_is_offered_a_second_interaction(maker):
    row = maker.submitted()
    assert f"retry --new-interaction {row.id}" not in remedies(maker, row)
    maker.pass_time(hours=73)
    assert f"retry --new-interaction {row.id}" in remedies(maker, row)


def test_a_paused_or_held_one_says_how_it_goes_on(maker):
    held = maker.discovered(held=Reason.BACKLOG)
    assert "resume hq" in remedies(maker, held)
    row = maker.discovered()
    pausing.pause_source(maker.ledger, "hq", now=maker.now)
    assert "resume hq" in remedies(maker, row)


def test_a_duplicate_names_the_one_it_repeats(maker):
    row = maker.duplicate()
    first = maker.ledger.recordings.get(row.duplicate_of)
    assert f"show {first.id}" in remedies(maker, row)


@pytest.mark.parametrize(
    "name", [b"a b.wav", b"it's.wav", b"a\nb\x1b[31m.wav", b"gr\xfc\xdfe \\x.wav", "größe.wav".encode()]
)
def test_a_quoted_location_means_the_same_file_to_a_shell(name):
    text = search.quoted(b"/srv/" + name)
    assert text.isprintable()
    printed = subprocess.run(["bash", "-c", f"printf %s {text}"], capture_output=True, check=True)
    assert printed.stdout == b"/srv/" + name


def test_a_view_has_text_and_times(maker):
    row = maker.analyzed()
    view = recording_view(row)
    assert (view.sha256, view.submitted_at, view.analyzed_at) == (f"{row.n:064x}", maker.now, maker.now)
    assert shlex.quote(view.location) == view.location
