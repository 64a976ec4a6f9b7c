"""The daemon's backups: when one is due, and what becomes of one that fails."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from tests.unit.ledger.kit import Kit
from uploader.service.backups import FIRST_LOOK_SECONDS, LOOK_SECONDS, RETRY_SECONDS, BackupDuty
from uploader.service.operations import upkeep
from uploader.service.operations.upkeep import BackupPlace, standing

DAY = timedelta(hours=24)


@pytest.fixture
def kit(tmp_path: Path):
    kit = Kit(tmp_path / "ledger.db")
    yield kit
    kit.close()


class Stop(threading.Event):
    """A stop that comes at the given wait; the waits are kept."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.waits: list[float] = []
        self._after = after

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout or 0)
        return len(self.waits) > self._after


def duty(kit: Kit, *, interval: timedelta = DAY, keep: int = 3, stop: threading.Event | None = None) -> BackupDuty:
    place = BackupPlace(directory=kit.path.with_name("backups"), keep=keep)
    return BackupDuty(
        ledger=kit.ledger, place=place, interval=interval, clock=kit.clock, stop=stop or threading.Event()
    )


def names(kit: Kit) -> list[str]:
    return sorted(path.name for path in kit.path.with_name("backups").iterdir())


def test_the_first_is_made_in_a_directory_of_its_own_and_the_next_when_it_is_due(kit):
    one = duty(kit)
    assert one.turn() == LOOK_SECONDS
    assert names(kit) == ["ledger-20261120T120000Z.db"]
    assert kit.path.with_name("backups").stat().st_mode & 0o777 == 0o700
    kit.clock.advance(DAY.total_seconds() - 30)
    assert one.turn() == pytest.approx(30)
    assert len(names(kit)) == 1
    kit.clock.advance(30)
    one.turn()
    assert names(kit) == ["ledger-20261120T120000Z.db", "ledger-20261121T120000Z.db"]


def test_the_interval_goes_on_across_restarts(kit):
    duty(kit).turn()
    kit.clock.advance(3600)
    duty(kit).turn()
    assert len(names(kit)) == 1


def test_a_directory_that_was_emptied_gets_a_backup_at_once(kit):
    duty(kit).turn()
    kit.path.with_name("backups").joinpath(*names(kit)).unlink()
    kit.clock.advance(60)
    duty(kit).turn()
    assert names(kit) == ["ledger-20261120T120100Z.db"]


def test_status_goes_by_the_backups_that_are_there(kit):
    one = duty(kit)
    one.turn()
    first = kit.clock.now()
    kit.clock.advance(DAY.total_seconds())
    one.turn()
    assert standing(kit.ledger).made_at == kit.clock.now()
    kit.path.with_name("backups").joinpath(names(kit)[-1]).unlink()
    kit.clock.advance(-1)
    one.turn()
    assert standing(kit.ledger).made_at == first


def test_a_backup_of_the_future_does_not_keep_the_next_from_being_made(kit):
    one = duty(kit)
    one.turn()
    kit.clock.step(-3 * DAY.total_seconds())
    one.turn()
    assert names(kit) == ["ledger-20261117T120000Z.db", "ledger-20261120T120000Z.db"]


def test_no_more_are_kept_than_wanted(kit):
    one = duty(kit, keep=2)
    for _ in range(4):
        one.turn()
        kit.clock.advance(DAY.total_seconds())
    assert names(kit) == ["ledger-20261122T120000Z.db", "ledger-20261123T120000Z.db"]


def test_one_that_fails_is_logged_without_a_path_shown_by_status_and_tried_again(kit):
    place = kit.path.with_name("backups")
    place.write_text("in the way")
    one = duty(kit)
    with structlog.testing.capture_logs() as logs:
        assert one.turn() == RETRY_SECONDS
    assert [(line["event"], line["log_level"]) for line in logs] == [("backup.failed", "warning")]
    assert str(kit.path.parent) not in str(logs)
    assert standing(kit.ledger).problem == logs[0]["why"]
    assert standing(kit.ledger).failed_at == kit.clock.now()
    place.unlink()
    assert one.turn() == LOOK_SECONDS
    assert standing(kit.ledger) == upkeep.BackupStanding(made_at=kit.clock.now(), failed_at=None, problem="")


def test_a_configured_directory_that_is_not_there_is_not_made(kit, tmp_path):
    """It may be a mount that is missing: a backup on the disk below it would be none."""
    place = BackupPlace(directory=tmp_path / "mnt" / "backups", keep=1)
    assert BackupDuty(
        ledger=kit.ledger, place=place, interval=DAY, clock=kit.clock, stop=threading.Event()
    ).turn() == RETRY_SECONDS  # fmt: skip
    assert not (tmp_path / "mnt").exists()


def test_one_that_is_interrupted_by_the_stop_is_no_failure(kit):
    stop = threading.Event()
    stop.set()
    with structlog.testing.capture_logs() as logs:
        duty(kit, stop=stop).turn()
    assert (names(kit), logs, standing(kit.ledger).problem) == ([], [], "")


@pytest.mark.parametrize(("interval", "first"), [(DAY, FIRST_LOOK_SECONDS), (timedelta(seconds=5), 5), (DAY / 1e9, 1)])
def test_the_first_look_is_a_minute_after_the_start_or_sooner(kit, interval, first):
    stop = Stop(after=1)
    duty(kit, interval=interval, stop=stop).run()
    assert stop.waits[0] == first
    assert all(wait >= 1 for wait in stop.waits), "it never spins"
    assert len(names(kit)) == 1
