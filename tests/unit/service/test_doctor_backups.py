"""What `doctor` says of the backups."""

from __future__ import annotations

import errno
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from tests.unit.ledger.kit import Kit
from uploader.service.doctor import backups
from uploader.service.doctor.backups import BackupChecks
from uploader.service.doctor.report import Status
from uploader.service.operations.upkeep import BackupPlace, back_up

DAY = timedelta(hours=24)


@pytest.fixture
def kit(tmp_path: Path):
    kit = Kit(tmp_path / "ledger.db")
    yield kit
    kit.close()


def checked(kit: Kit, directory: Path | None = None, *, interval: timedelta = DAY):
    place = directory or kit.path.with_name("backups")
    return BackupChecks(ledger=kit.path, directory=place, interval=interval, clock=kit.clock).check()


def make(kit: Kit) -> None:
    back_up(kit.ledger, BackupPlace(directory=kit.path.with_name("backups"), keep=7), now=kit.clock.now())


def test_before_the_first_all_is_well(kit, tmp_path):
    assert checked(kit).status is Status.OK
    (tmp_path / "backups").mkdir()
    assert checked(kit).message == "none yet"


def test_the_last_is_told_with_its_age(kit):
    make(kit)
    kit.clock.advance(5 * 3600)
    assert (checked(kit).status, checked(kit).message) == (Status.OK, "1 kept, the last made 5 h ago")


def test_one_that_is_late_is_a_warning_with_the_reason(kit):
    make(kit)
    kit.ledger.books.set_notes({"backup_failure": "the disk has no room"})
    kit.clock.advance(3 * DAY.total_seconds())
    found = checked(kit)
    assert (found.status, found.message) == (Status.WARN, "1 kept, the last made 3 days ago: the disk has no room")
    assert checked(kit, interval=timedelta(0)).status is Status.OK, "nobody wants them"


def test_a_directory_that_is_elsewhere_and_not_there_is_a_fault(kit, tmp_path):
    assert checked(kit, tmp_path / "mnt" / "backups").status is Status.FAIL
    assert checked(kit, tmp_path / "mnt" / "backups", interval=timedelta(0)).status is Status.OK


def test_a_directory_that_cannot_be_written_is_a_fault(kit, monkeypatch):
    make(kit)
    refuse_files(monkeypatch)
    assert checked(kit).status is Status.FAIL


def test_a_directory_that_cannot_be_made_is_a_fault_before_the_first_backup(kit, monkeypatch):
    refuse_files(monkeypatch)
    found = checked(kit)
    assert (found.status, bool(found.hint)) == (Status.FAIL, True)


@pytest.mark.parametrize("name", ["ledger.db", "file"])
def test_a_file_for_a_directory_is_a_fault(kit, tmp_path, name):
    (tmp_path / "file").touch()
    found = checked(kit, tmp_path / name)
    assert (found.status, "backup_dir" in found.hint) == (Status.FAIL, True)


def test_to_look_leaves_nothing_in_the_directory(kit, tmp_path):
    (tmp_path / "backups").mkdir()
    checked(kit)
    assert list((tmp_path / "backups").iterdir()) == []


def refuse_files(monkeypatch) -> None:
    """Have a disk that is read-only: root may write anywhere else, and the tests may run as root."""

    def refuse(**_):
        raise OSError(errno.EROFS, "read-only")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)


def test_no_room_for_another_is_a_warning(kit, monkeypatch):
    make(kit)
    monkeypatch.setattr(backups, "SPARE_BYTES", shutil.disk_usage("/").total + 1)
    assert "no room" in checked(kit).message
