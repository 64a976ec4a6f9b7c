"""What became of an import's recordings: numbers that add up. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from uploader.domain.recording import State

PENDING = (State.DISCOVERED, State.READY, State.STAGED, State.SUBMITTING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Where they stand. `discovered` is all of them; `submitted` includes those `analyzed`."""

    discovered: int
    submitted: int
    analyzed: int
    duplicate: int
    quarantined: int
    refused: int
    unconfirmed: int
    skipped: int
    discarded: int
    pending: int

    @classmethod
    def of(cls, counts: Mapping[State, int]) -> Report:
        """Sum up the counts by state: every state is in exactly one number, but `analyzed`."""
        return cls(
            discovered=sum(counts.values()),
            submitted=counts.get(State.SUBMITTED, 0) + counts.get(State.ANALYZED, 0),
            analyzed=counts.get(State.ANALYZED, 0),
            duplicate=counts.get(State.DUPLICATE, 0),
            quarantined=counts.get(State.QUARANTINED, 0),
            refused=counts.get(State.REFUSED, 0),
            unconfirmed=counts.get(State.UNCONFIRMED, 0),
            skipped=counts.get(State.SKIPPED, 0),
            discarded=counts.get(State.DISCARDED, 0),
            pending=sum(counts.get(state, 0) for state in PENDING),
        )

    @property
    def settled(self) -> int:
        """How many will not move by themselves, but for their analysis."""
        return self.discovered - self.pending - self.unconfirmed

    @property
    def needs_attention(self) -> bool:
        """Whether a person has something to look at."""
        return bool(self.quarantined or self.refused or self.unconfirmed or self.pending)

    def document(self) -> dict[str, int]:
        """Return the numbers by name, in the order in which they add up."""
        return asdict(self)
