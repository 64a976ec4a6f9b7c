"""What can go wrong, as a tree by what the caller must do.

UploaderError                     a sentence for the user, and a hint on what to do
├── UsageError                    the command line or a file is at fault: mend it (exit 2)
│   └── ConfigurationError        every mistake of the configuration at once
├── LedgerError                   the ledger cannot be used: nothing may go on (exit 3)
│   ├── LedgerBusy                another process is the sender
│   ├── LedgerDamaged             its file is corrupt
│   ├── LedgerFull                its disk is full: the daemon waits for room
│   └── WrongAccount              the ledger belongs to another account or API host (exit 2)
├── RowMoved                      the recording changed under our hands: look at it again
├── ServiceRefusal                the service or store refuses us as a whole: close its gate (exit 4)
├── Unavailable                   out of reach or overloaded for now: wait and ask again
│   ├── ApiUnavailable            the Quality Management API
│   ├── TokenUnavailable          the OAuth token endpoint
│   ├── StoreUnavailable          the object store
│   └── SourceUnavailable         the root of a source
├── RateLimited                   asked too fast, or too often today: wait as told
└── RecordingFault                this one recording's own input is at fault: quarantine it

Programmer's mistakes (an illegal transition) are `RuntimeError`s outside this tree.
Messages name fields and faults, never values: no number, name, path, token or URL (promise 4).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


class UploaderError(Exception):
    """Base of all: `str(error)` is one sentence, `hint` says what to do, or is empty."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(UploaderError):
    """A command, flag or input file is wrong."""

    exit_code = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake: `field` is a dotted key or field name, `message` says what would be right."""

    field: str
    message: str


class ConfigurationError(UsageError):
    """All mistakes of a configuration; `problems` has one entry each."""

    def __init__(self, message: str, *, problems: tuple[Problem, ...] = (), hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.problems = problems


class LedgerError(UploaderError):
    """The ledger cannot be opened, read or written."""

    exit_code = 3


class LedgerBusy(LedgerError):
    """Another process holds the role of sender for this ledger."""


class LedgerDamaged(LedgerError):
    """The ledger's file is corrupt."""


class LedgerFull(LedgerError):
    """There is no room on the ledger's disk; nothing was lost."""


class WrongAccount(LedgerError):
    """The ledger remembers another account or API host."""

    exit_code = 2


class RowMoved(UploaderError):
    """The row is not in the state it was expected in; nothing was changed."""


class ServiceRefusal(UploaderError):
    """Credentials, scope, plan or rights: no recording can succeed until a person mends it.

    `reason` is a gate reason code (see `domain.gates`).
    """

    exit_code = 4

    def __init__(self, message: str, *, reason: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.reason = reason


class Unavailable(UploaderError):
    """Out of reach for now. `retry_after_seconds` is set when the other side named a time."""

    exit_code = 4

    def __init__(self, message: str, *, hint: str = "", retry_after_seconds: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_seconds = retry_after_seconds


class ApiUnavailable(Unavailable):
    """The Quality Management API cannot be reached or answers 5xx or nonsense."""


class TokenUnavailable(Unavailable):
    """The OAuth token endpoint cannot be reached or answers 5xx or nonsense."""


class StoreUnavailable(Unavailable):
    """The object store cannot be reached or answers 5xx."""


class SourceUnavailable(Unavailable):
    """The root of a source is missing, unmounted or unreadable; nothing in it is judged."""


class RateLimited(UploaderError):
    """HTTP 429. `until` is when to ask again if the service said so; `daily` for the daily quota."""

    def __init__(self, message: str, *, until: datetime | None = None, daily: bool = False) -> None:
        super().__init__(message)
        self.until = until
        self.daily = daily


class NotYet(RateLimited):
    """Our own pace does not let a request go for longer than is waited for: nothing was asked."""


class RecordingFault(UploaderError):
    """This recording cannot be sent as it is. `code` is a member of `domain.reasons.Reason`."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code
