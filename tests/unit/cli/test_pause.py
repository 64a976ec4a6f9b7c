"""`pause` and `resume`: everything, a source, an import."""

from __future__ import annotations

import pytest

from uploader.domain.reasons import Reason


def submission(qm):
    return qm("status", "--json").json["submission"]


def test_everything_is_held_and_goes_on(qm, maker):
    assert qm("pause").code == 0
    assert submission(qm) == "closed: paused"
    assert qm("resume").code == 0
    assert submission(qm) == "open"


def test_a_pause_before_the_first_run_makes_the_ledger_and_is_kept(qm, tmp_path):
    assert qm("pause", "--json").json == {"paused": True, "source": None, "import": None}
    assert (tmp_path / "ledger.db").stat().st_mode & 0o777 == 0o600
    assert submission(qm) == "closed: paused"


@pytest.mark.parametrize("name", ["hq", "branch", "bucket"])
def test_a_configured_source_can_be_paused_before_it_was_ever_scanned(qm, name):
    assert qm("pause", name).code == 0
    [found] = [one for one in qm("status", "--json").json["sources"] if one["name"] == name]
    assert found["paused"]


def test_resuming_a_source_releases_its_backlog_and_says_how_many(qm, maker):
    maker.discovered(held=Reason.BACKLOG)
    maker.discovered(held=Reason.BACKLOG)
    ran = qm("resume", "hq")
    assert "2 held since the first scan" in ran.out
    assert qm("status", "--json").json["held"] == {}


def test_resuming_everything_says_what_is_paused_still(qm, maker):
    maker.source("hq")
    qm("pause", "hq")
    qm("pause")
    ran = qm("resume")
    assert "qm-uploader resume hq" in ran.err
    qm("pause")
    assert "Everything is paused still" in qm("resume", "hq").err


@pytest.mark.parametrize("command", ["pause", "resume"])
@pytest.mark.parametrize(
    ("args", "says"),
    [(["hp"], "known: hq"), (["--import", "old"], "none yet"), (["hq", "--import", "old"], "exclude")],
)
def test_what_does_not_exist_is_a_usage_error_that_names_what_does(qm, maker, command, args, says):
    maker.source("hq")
    ran = qm(command, *args)
    assert ran.code == 2
    assert says in ran.err
