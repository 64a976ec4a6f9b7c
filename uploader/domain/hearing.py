"""Whether events of a folder can be relied on, judged by what scans found that no event told. Pure.

File systems that other hosts write to tell of local changes only; some tell of none. Two scans that find
such files are needed: a single one may have an innocent cause, and is met by watching anew.
"""

from __future__ import annotations

from dataclasses import dataclass

OVERDUE_SECONDS = 3.0
"""An event that did not come within this time after the change does not come at all."""
_STRIKES = 2
_FORGIVEN_AFTER = 50
"""So many scans without such a file make a single earlier one forgotten."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hearing:
    """What the scans since the watch began came to."""

    strikes: int = 0
    calm: int = 0

    @property
    def is_doubtful(self) -> bool:
        """Say whether events seem to be missing."""
        return self.strikes > 0

    @property
    def is_deaf(self) -> bool:
        """Say whether events cannot be relied on; that is for good."""
        return self.strikes >= _STRIKES

    def after_scan(self, *, unheard: int) -> Hearing:
        """Return what is known after a scan that found so many files no event had told of."""
        if unheard:
            return Hearing(strikes=self.strikes + 1)
        if self.is_deaf or self.calm + 1 < _FORGIVEN_AFTER:
            return Hearing(strikes=self.strikes, calm=self.calm + 1)
        return Hearing()


def is_overdue(age_seconds: float) -> bool:
    """Say whether the event of a file should have come, so long after the file's last change of any kind."""
    return age_seconds >= OVERDUE_SECONDS
