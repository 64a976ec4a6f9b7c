"""Which recordings are meant: a filter as a value, and the index look-ups that find them in order.

A recording keeps its place in the order (when it was discovered, or sent), whatever becomes of it: so each is
found once, however long a listing takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uploader.domain.recording import State
from uploader.ledger.connection import Database

Place = tuple[int, int]
"""Where a recording stands: a time and its number."""
FIRST: Place = (-1 << 63, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which recordings: what is None does not matter. Times in milliseconds; `since`/`until` are of discovery."""

    states: tuple[State, ...] = ()
    source: str | None = None
    import_name: str | None = None
    reason: str | None = None
    overdue_before: int | None = None
    since: int | None = None
    until: int | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition on `recording` and its values."""
        parts, values = ["1"], list[Any]()
        if self.states:
            parts.append(f"state IN ({', '.join('?' * len(self.states))})")
            values += [state.value for state in self.states]
        simple = (
            ("source_n = (SELECT n FROM source WHERE name = ?)", self.source),
            ("import_n > 0 AND import_n = (SELECT n FROM import WHERE name = ?)", self.import_name),
            ("reason_code = ?", self.reason), ("discovered_at >= ?", self.since), ("discovered_at < ?", self.until),
            ("state = 'submitted' AND submitted_at < ?", self.overdue_before),
        )  # fmt: skip
        for condition, value in simple:
            if value is not None:
                parts.append(condition)
                values.append(value)
        return " AND ".join(parts), values

    def page(self, db: Database, *, after: Place, size: int) -> list[Place]:
        """Return the next places after one, in order."""
        where, values = self.where()
        by = "discovered_at" if self.overdue_before is None else "submitted_at"
        if self.overdue_before is None and self.since is not None:
            after = max(after, (self.since, 0))  # the index begins there
        found: list[Place] = []
        for index, condition, known in self._look_ups(db):
            found += db.execute(
                f"SELECT {by}, n FROM recording INDEXED BY {index} WHERE {condition} AND ({by}, n) > (?, ?) "
                f"AND {where} ORDER BY {by}, n LIMIT ?",
                (*known, *after, *values, size),
            ).fetchall()
        return sorted(found)[:size]

    def is_of_tally(self) -> bool:
        """Say whether the counts by source, import and state can answer how many there are."""
        return self.reason is None and self.overdue_before is None and self.since is None and self.until is None

    def _look_ups(self, db: Database) -> list[tuple[str, str, tuple[Any, ...]]]:
        """Return index, condition and values of the look-ups whose results together hold all that is meant."""
        states = [state.value for state in self.states or State]
        if self.overdue_before is not None:
            return [("recording_submitted", "state = 'submitted'", ())]
        if self.reason is not None:
            condition = "state = ? AND reason_code = ? AND reason_code IS NOT NULL"
            return [("recording_reason", condition, (state, self.reason)) for state in states]
        if self.import_name is not None:
            imports = db.execute("SELECT n FROM import WHERE name = ?", (self.import_name,)).fetchall()
            condition = "import_n = ? AND import_n > 0 AND state = ?"
            return [("recording_import", condition, (n, state)) for (n,) in imports for state in states]
        only = "" if self.source is None else " WHERE name = ?"
        sources = db.execute(f"SELECT n FROM source{only}", () if self.source is None else (self.source,)).fetchall()
        return [("recording_state", "source_n = ? AND state = ?", (n, state)) for (n,) in sources for state in states]
