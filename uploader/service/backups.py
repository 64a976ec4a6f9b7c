"""The daemon's duty to back its ledger up: when it is due; how it is done is in `operations.upkeep`."""

from __future__ import annotations

import contextlib
import threading
from datetime import timedelta

import structlog

from uploader.errors import UploaderError
from uploader.ledger.backup import Interrupted
from uploader.ledger.ledger import Ledger
from uploader.platform.clock import Clock
from uploader.service.operations.upkeep import BackupPlace, back_up, newest, note_newest

log = structlog.get_logger()

FIRST_LOOK_SECONDS = 60.0
"""A start has better things to do than to copy the ledger."""
LOOK_SECONDS = 60.0
RETRY_SECONDS = 900.0
_LEAST_SECONDS = 1.0
"""Backups are named after the second."""


class BackupDuty:
    """Makes a backup whenever the newest one is older than the interval. One thread runs it.

    The stamps in the directory say how old it is: so the interval survives restarts, and a directory
    that was emptied gets a backup.
    """

    def __init__(
        self, *, ledger: Ledger, place: BackupPlace, interval: timedelta, clock: Clock, stop: threading.Event
    ) -> None:
        self._ledger = ledger
        self._place = place
        self._every = max(_LEAST_SECONDS, interval.total_seconds())
        self._clock = clock
        self._stop = stop

    def run(self) -> None:
        """Do what is due until the stop."""
        wait = min(FIRST_LOOK_SECONDS, self._every)
        while not self._stop.wait(wait):
            wait = self.turn()

    def turn(self) -> float:
        """Make a backup if one is due; return after how many seconds to look again. Never raises UploaderError."""
        now = self._clock.now()
        last = newest(self._ledger.path, self._place.directory, until=now)
        with contextlib.suppress(UploaderError):  # the next look does it
            note_newest(self._ledger, last)
        left = 0.0 if last is None else self._every - (now - last).total_seconds()
        if left > 0:
            return min(LOOK_SECONDS, max(_LEAST_SECONDS, left))
        began = self._clock.monotonic()
        try:
            made, removed = back_up(self._ledger, self._place, now=now, stopped=self._stop.is_set)
        except Interrupted:
            return LOOK_SECONDS
        except UploaderError as error:
            log.warning("backup.failed", error=type(error).__name__, why=str(error))
            return min(RETRY_SECONDS, self._every)
        seconds = round(self._clock.monotonic() - began, 3)
        log.info("backup.made", size_bytes=made.size_bytes, seconds=seconds, removed=removed)
        return min(LOOK_SECONDS, self._every)
