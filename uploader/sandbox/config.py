"""What a sandbox can be told: limits, delays and faults. Knows nothing of HTTP or of the books."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from uploader.errors import UsageError

READ_SCOPES = (
    "zoom_quality_management:read:interactions:admin",
    "zoom_quality_management:read:interactions",
    "qm_interactions:read:admin",
    "qm_interactions:read",
)
"""Any one of these opens list and detail. Source: the service's OpenAPI document."""
WRITE_SCOPES = (
    "zoom_quality_management:write:interactions:admin",
    "zoom_quality_management:write:interactions",
    "qm_interactions:write:admin",
    "qm_interactions:write",
)
"""Any one of these opens POST /qm/interactions. Source: the service's OpenAPI document."""


class Fault(StrEnum):
    """What may befall a request.

    `lost-answer`: done, then the connection is closed without an answer.
    `reset`: nothing is done, the connection is reset.
    `429`: nothing is done, answered as above the per-second limit.
    `5xx`: by coin, nothing is done and 503, or done and then 502.
    `slow`: done, by coin, before or after a long wait; then answered properly.
    `garbage`: by coin, nothing is done or done; answered 200 with a page or with cut JSON.
    `expired-token`: nothing is done, a good token is called invalid (code 124).
    """

    LOST_ANSWER = "lost-answer"
    RESET = "reset"
    TOO_MANY = "429"
    SERVER_ERROR = "5xx"
    SLOW = "slow"
    GARBAGE = "garbage"
    EXPIRED_TOKEN = "expired-token"


class Operation(StrEnum):
    """What faults can be aimed at."""

    POST = "post"
    LIST = "list"
    DETAIL = "detail"
    TOKEN = "token"


class DateAxis(StrEnum):
    """What `from` and `to` of the listing mean; the service does not say."""

    START_TIME = "start_time"
    CREATED_AT = "created_at"


class RateWindow(StrEnum):
    """Which second the limit a second counts by; the service does not say."""

    CALENDAR = "calendar"
    SLIDING = "sliding"


def check_faults(probabilities: Mapping[str, float]) -> dict[Fault, float]:
    """Return the faults by name.

    Raises UsageError for an unknown name, for a probability that is not from 0 to 1, and for
    probabilities that sum to more than 1: one request meets at most one fault.
    """
    faults: dict[Fault, float] = {}
    for name, probability in probabilities.items():
        try:
            fault = Fault(name)
        except ValueError as exc:
            names = ", ".join(Fault)
            raise UsageError("there is no such fault as one that was named", hint=f"the faults are {names}") from exc
        if not 0 <= probability <= 1:
            raise UsageError(f"the probability of {fault} must be from 0 to 1")
        faults[fault] = probability
    if math.fsum(faults.values()) > 1 + 1e-9:
        raise UsageError("the probabilities of all faults together must not be over 1")
    return faults


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultAim:
    """Which faults hit which operations. Without a `seed` every run fares differently."""

    probabilities: Mapping[str, float]
    operations: frozenset[Operation] = frozenset({Operation.POST})
    seed: int | None = None


NO_FAULTS = FaultAim(probabilities={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The one Server-to-Server OAuth app that the sandbox knows."""

    account_id: str
    client_id: str
    client_secret: str

    def __repr__(self) -> str:
        """Say nothing: this stands in tracebacks."""
        return "Credentials(…)"


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Everything a sandbox can be told.

    `port` 0 takes any free one. Without `credentials` they are made up at start. A limit of 0 means
    none. `state_path` names a journal that is replayed at start, so that a killed sandbox goes on where
    it was. `list_lag_seconds` is how long an accepted interaction is kept out of the listing.
    """

    host: str = "127.0.0.1"
    port: int = 0
    credentials: Credentials | None = None
    scopes: tuple[str, ...] = (WRITE_SCOPES[0], READ_SCOPES[0])
    token_ttl_seconds: float = 3600
    fetch_delay_seconds: float = 0
    fetch_retries: int = 2
    fetch_retry_delay_seconds: float = 1
    analyze_delay_seconds: float = 1
    rate_limit_per_second: int = 0
    rate_window: RateWindow = RateWindow.CALENDAR
    daily_limit: int = 0
    faults: FaultAim = NO_FAULTS
    slow_seconds: float = 2
    date_axis: DateAxis = DateAxis.START_TIME
    list_lag_seconds: float = 0
    ca_file: Path | None = None
    state_path: Path | None = None
