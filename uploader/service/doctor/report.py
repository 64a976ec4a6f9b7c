"""What a check finds, as values; knows nothing of how it is found out or shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from uploader.errors import RateLimited, ServiceRefusal, UploaderError, WrongAccount

NEEDS_ATTENTION = 1
_OF_THE_STORE = "store_"


class Status(StrEnum):
    """How a check ended. `SKIP`: it could not be made, for a reason that another check tells."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was found, as a sentence, and what to do about it. `exit_code` is 0 unless it failed."""

    status: Status
    message: str
    hint: str = ""
    exit_code: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing to find out, in a thread of its own. `act` may raise UploaderErrors: it failed then."""

    name: str
    act: Callable[[], Finding]
    limit_seconds: float = 30.0


def ok(message: str, *, hint: str = "") -> Finding:
    """Return that all is well."""
    return Finding(status=Status.OK, message=message, hint=hint)


def warn(message: str, *, hint: str = "") -> Finding:
    """Return that it works, but should be looked at."""
    return Finding(status=Status.WARN, message=message, hint=hint)


def fail(message: str, *, hint: str = "", exit_code: int = NEEDS_ATTENTION) -> Finding:
    """Return that it does not work."""
    return Finding(status=Status.FAIL, message=message, hint=hint, exit_code=exit_code)


def skip(message: str) -> Finding:
    """Return that it could not be found out."""
    return Finding(status=Status.SKIP, message=message)


def of_error(error: UploaderError) -> Finding:
    """Return what an error means: a service that refuses us as a whole weighs more than one out of reach."""
    if isinstance(error, RateLimited):
        return warn(str(error), hint="wait until the limit resets; other apps of the account share it")
    exit_code = NEEDS_ATTENTION
    if isinstance(error, WrongAccount) or (
        isinstance(error, ServiceRefusal) and not error.reason.startswith(_OF_THE_STORE)
    ):
        exit_code = error.exit_code
    return fail(str(error), hint=error.hint, exit_code=exit_code)


def exit_code_of(findings: list[Finding]) -> int:
    """Return the command's exit code: the configuration's mistake first, then the refusal, then the rest."""
    codes = {finding.exit_code for finding in findings}
    return next(
        (code for code in (WrongAccount.exit_code, ServiceRefusal.exit_code, NEEDS_ATTENTION) if code in codes), 0
    )
