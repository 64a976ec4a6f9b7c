"""Writing what an import found into the ledger, in its order. Sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uploader.ledger.imports import Added, ImportSight
from uploader.ledger.ledger import Ledger
from uploader.ledger.rows import to_ms
from uploader.platform.clock import Clock
from uploader.service.imports.finding import Found, batches

_NS_PER_MS = 1_000_000


class Entering:
    """Adds recordings to an import. `rest_seconds`: one that has just changed is due when it has rested."""

    def __init__(self, ledger: Ledger, *, import_n: int, source_n: int, clock: Clock, rest_seconds: float) -> None:
        self._ledger = ledger
        self._import_n = import_n
        self._source_n = source_n
        self._clock = clock
        self._rest_ms = int(rest_seconds * 1000)

    def enter(self, found: Iterable[Found], *, total: int, go_on: Callable[[Added], bool]) -> Added:
        """Add all of `found`, a batch at a time, as long as `go_on` says so; return what it came to.

        The first is due first, and all of them at once: the order is in the milliseconds before now.
        """
        due, added = to_ms(self._clock.now()) - total, Added()
        for part in batches(found):
            now = to_ms(self._clock.now())
            sights = [self._sight(one, due_at=due + index, now=now) for index, one in enumerate(part)]
            added += self._ledger.imports.add(import_n=self._import_n, source_n=self._source_n, sights=sights, at=now)
            due += len(part)
            if not go_on(added):
                return added
        self._ledger.discovery.import_planned(self._import_n, at=to_ms(self._clock.now()))
        return added

    def _sight(self, found: Found, *, due_at: int, now: int) -> ImportSight:
        age_ms = now - found.stamp.mtime_ns // _NS_PER_MS
        is_fresh = 0 <= age_ms < self._rest_ms
        return ImportSight(
            location=found.location,
            stamp=found.stamp,
            etag=found.etag,
            due_at=now + self._rest_ms - age_ms if is_fresh else due_at,
        )
