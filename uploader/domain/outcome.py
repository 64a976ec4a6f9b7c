"""What a POST of ours came to, judged by what proves that nothing was created."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from uploader.domain.allowance import Allowance


class Kind(StrEnum):
    """The three things that a request can come to."""

    ACCEPTED = "accepted"
    """A 2xx with an interaction id."""
    NOT_CREATED = "not_created"
    """Proved: no byte was written, or a whole answer of the API's own that refuses."""
    UNKNOWN = "unknown"
    """Everything else. A repeat is allowed only after a proof (design: sending exactly once)."""


class Cause(StrEnum):
    """Whose fault it is, for whatever did not succeed."""

    NONE = "none"
    RECORDING = "recording"
    """400, 404, 413, 415, 422: this request's own content."""
    TOKEN = "token"
    """Code 124, or 401: get another token."""
    CREDENTIALS = "credentials"
    SCOPE = "scope"
    PLAN = "plan"
    FORBIDDEN = "forbidden"
    RATE_SECOND = "rate_second"
    RATE_DAY = "rate_day"
    TRANSPORT = "transport"
    """DNS, connect, TLS, time-out, reset."""
    SERVER = "server"
    """5xx, or an answer that is not the API's own."""
    CONFLICT = "conflict"
    """408, 409, 425."""
    CRASH = "crash"
    """We died between intent and answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One attempt's result. `message` is ours or scrubbed: never a value, URL or token."""

    kind: Kind
    cause: Cause = Cause.NONE
    message: str = ""
    interaction_id: str | None = None
    status: int | None = None
    code: int | None = None
    """The `code` of the API's error body."""
    retry_at: datetime | None = None
    service_date: datetime | None = None
    """The service's own `Date`, by which the created axis is searched."""
    allowance: Allowance | None = None
    """What the answer says of the account's limits."""
