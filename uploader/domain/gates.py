"""When a service is at fault, not the recording: what closes a gate, and what is said. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from uploader.domain.outcome import Cause, Kind, Outcome

FAILURES_TO_CLOSE = 3
"""So many transport failures or 5xx in a row close a gate."""
REFUSALS_TO_CLOSE = 5
"""So many equal definite refusals of different recordings, with no success between, do."""
REJECTIONS_TO_CLOSE = 10
"""So many rejected tokens in a row, a fresh one each time: more than the requests that one old token may spoil."""


class GateName(StrEnum):
    """The three services that can refuse us, and the disk under the ledger."""

    SUBMIT = "submit"
    TOKEN = "token"
    STORE = "store"
    DISK = "disk"


class Why(StrEnum):
    """Why a gate is closed; stable for scripts."""

    CREDENTIALS = "credentials"
    SCOPE = "scope"
    PLAN = "plan"
    FORBIDDEN = "forbidden"
    DAILY_LIMIT = "daily_limit"
    RATE_LIMIT = "rate_limit"
    UNREACHABLE = "unreachable"
    SERVER_ERRORS = "server_errors"
    EQUAL_REFUSALS = "equal_refusals"
    LISTING = "listing"
    PUBLIC_URL = "public_url"
    STORE_CREDENTIALS = "store_credentials"
    STORE_FORBIDDEN = "store_forbidden"
    STORE_BUCKET = "store_bucket"
    STORE_UNREACHABLE = "store_unreachable"
    DISK_FULL = "disk_full"


SENTENCES: dict[Why, tuple[str, str]] = {
    Why.CREDENTIALS: (
        "Zoom refuses the app's credentials",
        "check account_id, client_id and the secret, and that the app is activated; `qm-uploader doctor` tests them; "
        "a mended secret file is read before each try, `qm-uploader resume` tries at once",
    ),
    Why.SCOPE: (
        "the app lacks a scope",
        "add the Quality Management scopes (`doctor` names them) to the app in the Zoom Marketplace",
    ),
    Why.PLAN: ("the account's plan has no Quality Management", "ask whoever owns the Zoom account"),
    Why.FORBIDDEN: ("Zoom forbids the request to this app", "check the app's and its owner's roles in Zoom"),
    Why.DAILY_LIMIT: ("the day's submissions are used up", "nothing: it goes on when the day resets (UTC)"),
    Why.RATE_LIMIT: ("the service asks us to wait", "nothing: it goes on when the time that it named has come"),
    Why.UNREACHABLE: ("the API cannot be reached", "check network, proxy and DNS; it is tried again by itself"),
    Why.SERVER_ERRORS: ("the API answers with errors", "see status.zoom.us; it is tried again by itself"),
    Why.EQUAL_REFUSALS: (
        "five recordings in a row were refused for the same reason",
        "look at `list --reason refused_by_service` and `show`; mend it, then `resume`",
    ),
    Why.LISTING: ("the API refuses to list interactions", "see `doctor`"),
    Why.PUBLIC_URL: (
        "recordings cannot be fetched through `public_url`",
        "check the reverse proxy; `doctor` fetches a test file through it",
    ),
    Why.STORE_CREDENTIALS: ("the object store refuses the credentials", "check the AWS credentials; see `doctor`"),
    Why.STORE_FORBIDDEN: ("the object store forbids it", "check the rights of the credentials; see `doctor`"),
    Why.STORE_BUCKET: ("the bucket does not exist or lies in another region", "check bucket and region"),
    Why.STORE_UNREACHABLE: ("the object store cannot be reached", "check network and endpoint_url"),
    Why.DISK_FULL: ("the ledger's disk is nearly full", "free space on it; it goes on by itself"),
}

HALF_OPEN = frozenset({Why.CREDENTIALS, Why.SCOPE, Why.PLAN, Why.FORBIDDEN, Why.EQUAL_REFUSALS})
"""Closed for these, a gate is probed by sending one recording: nothing less asks the same question."""

_BY_CAUSE = {
    Cause.CREDENTIALS: Why.CREDENTIALS,
    Cause.SCOPE: Why.SCOPE,
    Cause.PLAN: Why.PLAN,
    Cause.FORBIDDEN: Why.FORBIDDEN,
    Cause.RATE_DAY: Why.DAILY_LIMIT,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What came in a row: failures of the service, rejected tokens, and equal refusals of different recordings."""

    failures: int = 0
    rejections: int = 0
    refusal: tuple[int | None, int | None, str] | None = None
    refused: frozenset[int] = frozenset()


def after(run: Run, outcome: Outcome, recording_n: int) -> tuple[Run, Why | None]:
    """Return what is in a row after one more outcome, and why the gate must close, if it must."""
    if outcome.kind is Kind.ACCEPTED:
        return Run(), None
    if outcome.cause in _BY_CAUSE:
        return run, _BY_CAUSE[outcome.cause]
    if outcome.cause is Cause.TOKEN:
        rejections = run.rejections + 1
        why = Why.CREDENTIALS if rejections >= REJECTIONS_TO_CLOSE else None
        return replace(run, failures=0, rejections=rejections), why
    run = replace(run, rejections=0)
    if outcome.cause in {Cause.TRANSPORT, Cause.SERVER}:
        failures = run.failures + 1
        why = Why.UNREACHABLE if outcome.cause is Cause.TRANSPORT else Why.SERVER_ERRORS
        return replace(run, failures=failures), why if failures >= FAILURES_TO_CLOSE else None
    if outcome.cause is Cause.RECORDING:
        same = (outcome.status, outcome.code, outcome.message)
        refused = (run.refused if run.refusal == same else frozenset()) | {recording_n}
        closes = len(refused) >= REFUSALS_TO_CLOSE
        return Run(refusal=same, refused=refused), Why.EQUAL_REFUSALS if closes else None
    return replace(run, failures=0), None
