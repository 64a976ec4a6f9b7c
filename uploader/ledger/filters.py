"""Which recordings are meant: a filter as a value, and the condition it makes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from uploader.domain.recording import State


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
    ids: tuple[int, ...] | None = None

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition and its values."""
        parts, values = ["1"], list[Any]()
        if self.states:
            parts.append(f"r.state IN ({', '.join('?' * len(self.states))})")
            values += [state.value for state in self.states]
        if self.overdue_before is not None:
            parts.append("r.state = 'submitted' AND r.submitted_at < ?")
            values.append(self.overdue_before)
        simple = (
            ("s.name = ?", self.source), ("i.name = ?", self.import_name), ("r.reason_code = ?", self.reason),
            ("r.discovered_at >= ?", self.since), ("r.discovered_at < ?", self.until),
        )  # fmt: skip
        for condition, value in simple:
            if value is not None:
                parts.append(condition)
                values.append(value)
        if self.ids is not None:
            parts.append(f"r.n IN ({', '.join(str(int(n)) for n in self.ids)})")
        return " AND ".join(parts), values
