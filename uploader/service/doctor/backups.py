"""The check of the backups: their directory, its room, and how old the last one is. Changes nothing."""

from __future__ import annotations

import errno
import os
import tempfile
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from uploader.ledger.backup import SPARE_BYTES, existing
from uploader.ledger.inspection import note
from uploader.platform.clock import Clock
from uploader.platform.filesystem import free_bytes
from uploader.service.doctor.report import Finding, fail, ok, warn
from uploader.service.operations.upkeep import WHY

_SETTING = "[ledger] backup_dir"
_LATE = timedelta(hours=1)
_WRITE_HINT = "give it to the user of the service, or name another one; under systemd, see README"


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupChecks:
    """What the configuration says of the backups of `ledger`; `interval` 0: the daemon makes none."""

    ledger: Path
    directory: Path
    interval: timedelta
    clock: Clock

    def check(self) -> Finding:
        """See whether the next one can be made, and the last one is there. Raises LedgerError."""
        is_beside = self.directory.parent == self.ledger.parent
        if os.path.lexists(self.directory) and not self.directory.is_dir():
            return fail(f"what {_SETTING} names is no directory", hint=f"name a directory of its own in {_SETTING}")
        if not self.directory.is_dir():
            if not self.interval:
                return ok("the daemon makes none (backup_interval = 0)")
            if is_beside and self.ledger.parent.is_dir() and (why := _unwritable(self.ledger.parent)):
                return fail(f"their directory cannot be made ({why})", hint=_WRITE_HINT)
            if is_beside:
                return ok("none yet: the daemon makes the first within its second minute")
            return fail("their directory is not there", hint=f"make or mount it: {_SETTING}")
        if why := _unwritable(self.directory):
            return fail(f"their directory cannot be written ({why}): {_SETTING}", hint=_WRITE_HINT)
        return self._judge()

    def _judge(self) -> Finding:
        now = self.clock.now()
        made = [at for at, _ in existing(self.ledger, self.directory) if at <= now]
        if not made:
            return ok("none yet")
        age = now - made[-1]
        message = f"{len(made)} kept, the last made {_told(age)} ago"
        if self.interval and age > 2 * self.interval + _LATE:
            why = note(self.ledger, WHY) if self.ledger.exists() else None
            return warn(f"{message}{f': {why}' if why else ''}", hint="`qm-uploader ledger backup` makes one now")
        size = self.ledger.stat().st_size if self.ledger.exists() else 0
        if self.interval and free_bytes(self.directory) < size + SPARE_BYTES:
            return warn(f"{message}; there is no room for another", hint="free space there, or lower backup_keep")
        return ok(message)


def _unwritable(directory: Path) -> str:
    """Return why no file can be made in a directory, or "". A file without a name is made for it, and gone at once."""
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return ""  # a full disk is told as such
        return "it takes no files" if error.errno == errno.ENOENT else os.strerror(error.errno or 0).lower()


def _told(age: timedelta) -> str:
    if age >= timedelta(days=2):
        return f"{age.days} days"
    hours = age // timedelta(hours=1)
    return f"{hours} h" if hours else f"{age // timedelta(minutes=1)} min"
