"""What is measured: every figure from its source, by labels from closed sets, and the README and alerts about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml  # type: ignore[import-untyped]
from prometheus_client.openmetrics import parser as open_metrics
from prometheus_client.parser import text_string_to_metric_families

import uploader
from tests.ledger_maker import LedgerMaker
from tests.unit.ledger.kit import FakeClock
from uploader.domain.gates import GateName, Why
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.domain.reasons import Reason
from uploader.domain.recording import State
from uploader.domain.retry import RetryPolicy
from uploader.ledger.ledger import Ledger
from uploader.pipeline.meters import LineMeters
from uploader.platform.meters import Distribution
from uploader.service.gate import Gate
from uploader.service.governor import Governor
from uploader.service.meters import FetchMeters, ScanMeters
from uploader.service.metrics.family import PREFIX, Family
from uploader.service.metrics.family import Kind as FamilyKind
from uploader.service.metrics.metrics import Bounds, Meters, Metrics
from uploader.service.metrics.servers import ServerLoad
from uploader.service.metrics.standing import OTHER
from uploader.web.exposition import Exposition
from uploader.zoom.meters import Request, ServiceMeters

ROOT = Path(uploader.__file__).parents[1]
README = (ROOT / "README.md").read_text()
ALERTS = ROOT / "config" / "alerts.example.yml"
NOW = datetime(2026, 11, 20, 4, tzinfo=UTC)


class Scene:
    """A ledger with its sender, and everything that Metrics asks."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock(NOW)
        self.maker = LedgerMaker(path)
        self.ledger = Ledger.open_for_sending(path)
        policy = RetryPolicy(initial=timedelta(seconds=5), maximum=timedelta(hours=1))
        self.gates = {name: Gate(name, self.ledger.books, self.clock, policy) for name in GateName}
        governor = Governor(
            submissions_per_second=4, submissions_per_day=100, reads_per_second=2, gates=self.gates,
            books=self.ledger.books, clock=self.clock,
        )  # fmt: skip
        self.dispatcher = SimpleNamespace(busy=3, beat=self.clock.monotonic())
        self.scans = ScanMeters()
        self.meters = Meters(service=ServiceMeters(), line=LineMeters(), fetches=FetchMeters())
        self.loads = {"web": ServerLoad(connections=1, requests=9, refused={"busy": 2})}
        scanner = SimpleNamespace(name="hq", meters=self.scans, is_watched=True, times_lost=1)
        self.metrics = Metrics(
            ledger=self.ledger,
            governor=governor,
            dispatcher=cast(Any, self.dispatcher),
            scanners=cast(Any, [scanner]),
            servers=lambda: self.loads,
            meters=self.meters,
            bounds=Bounds(
                sources=("hq", "import"), workers=8, submissions_per_day=100, analysis_deadline=timedelta(hours=72)
            ),
            clock=self.clock,
        )
        self.exposition = Exposition(self.metrics.families, self.clock)

    def close(self) -> None:
        self.ledger.close()
        self.maker.close()

    def read(self) -> dict[str, Family]:
        families = list(self.metrics.families())
        assert len({one.name for one in families}) == len(families)
        return {one.name.removeprefix(PREFIX): one for one in families}

    def value(self, name: str, *labels: str) -> float | Distribution:
        return self.read()[name].values[labels]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "ledger.db")
    yield made
    made.close()


def test_recordings_are_told_by_source_and_state_and_unconfigured_sources_together(scene: Scene) -> None:
    scene.maker.discovered()
    scene.maker.discovered(source="gone-1")
    scene.maker.discovered(source="gone-2")
    values = scene.read()["recordings"].values
    assert values["hq", State.DISCOVERED] == 1
    assert values[OTHER, State.DISCOVERED] == 2
    assert {source for source, _ in values} == {"hq", OTHER}
    assert len([source for source, _ in values if source == "hq"]) == len(State)


def test_an_entry_into_a_state_is_never_taken_back(scene: Scene) -> None:
    row = scene.maker.quarantined()
    before = scene.value("state_entries", "hq", State.QUARANTINED)
    scene.ledger.recordings.judge_again([row], at=scene.maker.at, detail="again")
    assert scene.value("recordings", "hq", State.QUARANTINED) == 0
    assert scene.value("state_entries", "hq", State.QUARANTINED) == before == 1


def test_ages_run_by_the_clock_and_are_zero_when_nothing_waits(scene: Scene) -> None:
    assert scene.value("oldest_waiting_seconds") == scene.value("oldest_unanalyzed_seconds") == 0
    scene.maker.discovered()
    scene.maker.submitted()
    scene.clock.advance(73 * 3600)
    assert scene.value("oldest_waiting_seconds") == scene.value("oldest_unanalyzed_seconds") == 73 * 3600
    assert scene.value("overdue_recordings") == 1


def test_a_closed_gate_closes_submission_and_says_why(scene: Scene) -> None:
    assert scene.value("submission_open") == 1
    assert not scene.read()["gate_closed"].values
    scene.gates[GateName.TOKEN].close(Why.CREDENTIALS)
    assert scene.value("submission_open") == scene.value("gate_open", "token") == 0
    assert scene.value("gate_open", "submit") == 1
    assert scene.read()["gate_closed"].values == {("token", "credentials"): 1}
    assert scene.value("disk_full") == 0
    scene.gates[GateName.DISK].close(Why.DISK_FULL)
    assert scene.value("disk_full") == 1


def test_a_pause_closes_submission_but_no_gate(scene: Scene) -> None:
    scene.ledger.books.set_notes({"paused": "1"})
    assert scene.value("submission_open") == 0
    assert scene.value("paused") == 1
    assert scene.value("gate_open", "submit") == 1


def test_holds_counters_and_failures_come_from_the_ledger(scene: Scene) -> None:
    scene.maker.discovered(held=Reason.BACKLOG)
    notes = {"doubles": "1", "resent_after_unknown": "2", "tracking_problem": "x", "backup_failure": "full"}
    scene.ledger.books.set_notes(notes)
    assert scene.value("held_recordings", "backlog") == 1
    assert scene.value("held_recordings", "no_proof") == 0
    assert ("twin",) not in scene.read()["held_recordings"].values
    assert scene.value("doubles") == 1
    assert scene.value("resent_after_unknown") == 2
    assert scene.value("tracking_failing") == scene.value("backup_failing") == 1


def test_the_last_success_outlives_a_restart_where_the_ledger_knows_it(scene: Scene) -> None:
    values = scene.read()["last_success_timestamp_seconds"].values
    assert not values
    scene.maker.submitted()
    scene.ledger.books.set_notes({"backup_last_at": "5000"})
    scene.meters.service.succeeded(Request.TOKEN, 7.0)
    values = scene.read()["last_success_timestamp_seconds"].values
    assert values == {("submission",): NOW.timestamp(), ("token",): 7.0, ("backup",): 5.0}


def test_limits_and_paces_are_those_in_force(scene: Scene) -> None:
    assert scene.value("rate_limit_per_second", "submission") == 4
    assert scene.value("rate_pace_per_second", "submission") == 4
    assert scene.value("rate_limit_per_second", "read") == 2
    assert scene.value("submissions_per_day") == 100
    assert scene.value("submissions_left") == 100


def test_requests_and_attempts_are_counted_by_what_came_of_them(scene: Scene) -> None:
    scene.meters.service.answered(Request.LISTING, 200, 0.02)
    scene.meters.service.answered(Request.LISTING, 429, 0.02)
    scene.meters.service.answered(Request.LISTING, None, 30.0)
    scene.meters.service.was_throttled(Request.LISTING, daily=True)
    live = scene.maker.staged()
    refused = Outcome(kind=Kind.NOT_CREATED, cause=Cause.RATE_SECOND)
    scene.meters.line.attempted(refused, live, at=live.discovered_at + 500)
    scene.meters.line.attempted(Outcome(kind=Kind.ACCEPTED), live, at=live.discovered_at + 20)
    asked = {labels: count for labels, count in scene.read()["requests"].values.items() if count}
    assert asked == {("listing", "2xx"): 1, ("listing", "429"): 1, ("listing", "none"): 1}
    assert scene.value("throttled", "listing", "day") == 1
    assert scene.value("throttled", "listing", "second") == 0
    assert scene.value("attempts", "not_created", "rate_second") == 1
    taken = scene.value("accepted_seconds")
    assert isinstance(taken, Distribution)
    assert (taken.count, taken.sum) == (1, 0.02)


def test_commits_are_counted(scene: Scene) -> None:
    before = scene.value("ledger_commit_seconds")
    scene.ledger.books.set_notes({"x": "1"})
    after = scene.value("ledger_commit_seconds")
    assert isinstance(before, Distribution)
    assert isinstance(after, Distribution)
    assert after.count == before.count + 1
    assert scene.value("ledger_commit_failures") == scene.value("ledger_waiting_writes") == 0


def test_every_name_follows_the_conventions(scene: Scene) -> None:
    for family in scene.read().values():
        assert re.fullmatch(r"qm_uploader_[a-z_]+", family.name)
        assert not family.name.endswith("_total")
        assert family.text.endswith(".") or family.text.endswith(".5")
        assert not re.search(r"_(ms|millis|minutes|hours|kib|mib|percent)\b", family.name)
        assert (family.kind is FamilyKind.HISTOGRAM) == any(isinstance(v, Distribution) for v in family.values.values())


def test_both_formats_are_what_their_parsers_take(scene: Scene) -> None:
    scene.maker.submitted()
    kind, text = scene.exposition.text("text/plain")
    assert kind.startswith("text/plain; version=0.0.4")
    plain = {one.name for one in text_string_to_metric_families(text.decode())}
    kind, text = scene.exposition.text("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert kind.startswith("application/openmetrics-text; version=1.0.0")
    assert {one.name for one in open_metrics.text_string_to_metric_families(text.decode())} == plain


def exported(scene: Scene) -> dict[str, tuple[str, str]]:
    """Return type and meaning of each metric by the name that a query uses."""
    text = scene.exposition.text("")[1].decode()
    kinds = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    return {name: (kinds[name], help_) for name, help_ in re.findall(r"^# HELP (\S+) (.+)$", text, re.MULTILINE)}


def test_the_readme_has_every_metric_as_it_is_exported_and_no_other(scene: Scene) -> None:
    section = README.partition("\n## Monitoring\n")[2].partition("\n## ")[0]
    told = {
        name: (kind, meaning.strip())
        for name, kind, _, meaning in re.findall(
            r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \|$", section, re.MULTILINE
        )
    }
    assert told == exported(scene)


def test_the_readme_names_the_labels_of_every_metric(scene: Scene) -> None:
    for family in scene.read().values():
        labels = " ".join(f"`{label}`" for label in family.labels)
        assert f"| `{family.shown_name}` | {family.kind.value} | {labels or '-'} |" in README


def test_every_metric_of_the_alerts_is_exported_and_every_label_is_one(scene: Scene) -> None:
    families = {one.shown_name: one for one in scene.read().values()}
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    assert len(rules) >= 6
    for rule in rules:
        assert {"alert", "expr", "labels", "annotations"} <= set(rule)
        for name, labels in re.findall(r"(qm_uploader_\w+)(?:\{(\w+)[!=~])?", rule["expr"]):
            assert name in families, rule["alert"]
            assert not labels or labels in families[name].labels


def alert(name: str) -> tuple[str, str]:
    """Return expression and severity of a rule."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    (rule,) = [rule for rule in rules if rule["alert"] == f"QmUploader{name}"]
    return rule["expr"], rule["labels"]["severity"]


def test_reasons_that_the_alerts_name_are_reasons_and_none_that_heals_by_itself_pages() -> None:
    named = re.findall(r'reason!?[=~]+"([^"]+)"', ALERTS.read_text())
    assert {reason for names in named for reason in names.split("|")} <= set(Why)
    expression, severity = alert("SubmissionClosed")
    assert severity == "page"
    assert f'reason!~"{Why.DAILY_LIMIT}|{Why.RATE_LIMIT}"' in expression
    assert alert("AskedToWait")[1] == "ticket"


def test_a_recording_that_waits_is_a_ticket_and_none_while_others_get_through_or_the_day_is_used_up() -> None:
    expression, severity = alert("WaitingTooLong")
    assert severity == "ticket"
    for part in ('{what="submission"} < 3600', f'{{reason="{Why.DAILY_LIMIT}"}}', "qm_uploader_submissions_left == 0"):
        assert part in expression.partition("unless")[2]


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("BackupFailing", "qm_uploader_backup_failing == 1"),
        ("BackupOld", 'qm_uploader_last_success_timestamp_seconds{what="backup"}'),
        ("TrackingFailing", "qm_uploader_tracking_failing == 1"),
    ],
)
def test_backup_and_tracking_have_an_alert(name: str, metric: str) -> None:
    assert metric in alert(name)[0]
