"""What an answer, or its absence, proves. Pure functions over status, headers and body.

Decides what may be repeated, so in doubt the outcome is unknown. Of the service's own words only
codes and known field names are passed on: its sentences may hold the values that it complains of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from uploader.domain.allowance import Span
from uploader.domain.interaction import BODY_FIELDS
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.platform.http import HttpFailure
from uploader.zoom.schemas import interaction_id_of, json_object
from uploader.zoom.waits import allowance_of, header, parse_retry_after, service_date

DEFINITE = frozenset({400, 401, 403, 404, 413, 415, 422, 429})
"""Statuses that, in the API's own shape, prove that nothing was created."""
CONFLICTS = frozenset({408, 409, 425})
CODE_LIMIT = 1_000_000
FIELDS_NAMED = 20
TEXT_LENGTH = 4096

_FIELDS = frozenset({*BODY_FIELDS, "download_url", "interaction_info"})
_SCOPE_CODES = frozenset({4700, 4711})
_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client", "invalid_grant"})
_PLAN_WORDS = ("plan", "paid", "licen", "subscri", "not enabled")
_KNOWN = (
    ("start time is invalid", "start_time: the service does not take it"),
    ("from or to time is invalid", "from, to: the service does not take this span of time"),
    ("download_url", "download_url: the service does not take it"),
    ("download url", "download_url: the service does not take it"),
    ("queue", "queue_id: the service does not know it"),
    ("agent", "agent_id or agent_email: the service does not know it"),
    ("user does not exist", "agent_id or agent_email: the service does not know it"),
    ("valid json", "the service could not read the request"),
)
_BY_STATUS = {
    404: "something that the request names is not known to the service",
    413: "the request is too large for the service",
    415: "the service does not take this kind of request",
}
_BY_CAUSE = {
    Cause.TOKEN: "the service does not take our token",
    Cause.CREDENTIALS: "the service does not take our credentials",
    Cause.SCOPE: "the app lacks a scope",
    Cause.PLAN: "the account's plan does not include this",
    Cause.FORBIDDEN: "the service does not permit this",
    Cause.RATE_SECOND: "asked faster than the service permits",
    Cause.RATE_DAY: "the account's daily limit is used up",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A definite no in the API's own shape. `code` is None for the gateway's OAuth shape."""

    cause: Cause
    message: str
    code: int | None
    about_key: bool
    """Its text is about an idempotency key."""


def judge_submission(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    now: datetime,
    idempotency_key_sent: bool,
) -> Outcome:
    """Judge a whole answer to POST /qm/interactions. Give an empty `body` for one that was cut."""
    unknown = Outcome(
        kind=Kind.UNKNOWN,
        cause=Cause.SERVER,
        message=f"status {status} does not say whether an interaction was created",
        status=status,
        retry_at=parse_retry_after(headers, now=now),
        service_date=service_date(headers),
        allowance=allowance_of(headers),
    )
    answer = json_object(body) or {}
    if 200 <= status <= 299:
        interaction_id = interaction_id_of(answer.get("interaction_id"))
        if interaction_id is None:
            return unknown
        return replace(unknown, kind=Kind.ACCEPTED, cause=Cause.NONE, message="", interaction_id=interaction_id)
    refusal = refusal_of(status, headers, body)
    if refusal is None:
        cause = Cause.CONFLICT if status in CONFLICTS else Cause.SERVER
        return replace(unknown, cause=cause, code=_code(answer))
    if idempotency_key_sent and (status == 422 or (status == 400 and refusal.about_key)):
        message = "the service has seen this idempotency key: an earlier request may have been accepted"
        return replace(unknown, cause=Cause.CONFLICT, message=message, code=refusal.code)
    return replace(unknown, kind=Kind.NOT_CREATED, cause=refusal.cause, message=refusal.message, code=refusal.code)


def failure_outcome(failure: HttpFailure) -> Outcome:
    """Judge a request without a whole answer: by whether a byte of it was written, not by the error."""
    if failure.bytes_written:
        message = f"no whole answer ({failure.kind.value}): the request may have been accepted"
        return Outcome(kind=Kind.UNKNOWN, cause=Cause.TRANSPORT, message=message)
    message = f"not sent ({failure.kind.value})"
    return Outcome(kind=Kind.NOT_CREATED, cause=Cause.TRANSPORT, message=message)


def refusal_of(status: int, headers: Mapping[str, str], body: bytes) -> Refusal | None:
    """Return the refusal that a definite status in the API's own shape is, else None."""
    answer = json_object(body)
    if status not in DEFINITE or answer is None or not (_is_api_shape(answer) or _is_oauth_shape(answer)):
        return None
    code = _code(answer)
    text = _text(answer)
    cause = _cause(status, headers, answer, text)
    message = _BY_CAUSE.get(cause) or _recording_message(status, answer, text)
    if code is not None:
        message = f"{message} (code {code})"
    return Refusal(cause=cause, message=message, code=code, about_key="idempoten" in text)


def _is_api_shape(answer: Mapping[str, Any]) -> bool:
    code = answer.get("code")
    return isinstance(code, int) and not isinstance(code, bool) and isinstance(answer.get("message"), str)


def _is_oauth_shape(answer: Mapping[str, Any]) -> bool:
    return isinstance(answer.get("reason"), str) and isinstance(answer.get("error"), str)


def _code(answer: Mapping[str, Any]) -> int | None:
    code = answer.get("code")
    if not _is_api_shape(answer) or not isinstance(code, int):
        return None
    return code if 0 <= code < CODE_LIMIT else None


def _text(answer: Mapping[str, Any]) -> str:
    """All the words of a refusal in lower case, to look for known phrases in; never passed on."""
    words = [answer.get("message"), answer.get("reason"), answer.get("error")]
    for error in _errors(answer):
        words += [error.get("field"), error.get("message")]
    return "\n".join(word[:TEXT_LENGTH].lower() for word in words if isinstance(word, str))


def _errors(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    errors = answer.get("errors")
    if not isinstance(errors, list):
        return []
    return [error for error in errors[:FIELDS_NAMED] if isinstance(error, dict)]


def _cause(status: int, headers: Mapping[str, str], answer: Mapping[str, Any], text: str) -> Cause:
    code = _code(answer)
    if status == 429:
        return Cause.RATE_DAY if _is_daily(headers, text) else Cause.RATE_SECOND
    # before the token: a missing scope was seen with 400, 401 and code 124
    if code in _SCOPE_CODES or "does not contain scopes" in text:
        return Cause.SCOPE
    if code == 124:
        return Cause.TOKEN
    if code is None and _is_oauth_shape(answer) and not _is_api_shape(answer):
        return _oauth_cause(status, str(answer["error"]).lower())
    if status == 401:
        return Cause.TOKEN
    if code == 200 and status in (400, 403):
        return Cause.PLAN if any(word in text for word in _PLAN_WORDS) else Cause.FORBIDDEN
    return Cause.FORBIDDEN if status == 403 else Cause.RECORDING


def _is_daily(headers: Mapping[str, str], text: str) -> bool:
    """Say which limit a 429 is about: by its type or text, else by how large the limit is that nothing is left of."""
    kind = (header(headers, "x-ratelimit-type") or "").lower()
    if kind or "per-second" in text or "daily" in text:
        return "daily" in kind or "daily" in text
    allowance = allowance_of(headers)
    return allowance is not None and (allowance.span, allowance.remaining) == (Span.DAY, 0)


def _oauth_cause(status: int, error: str) -> Cause:
    if error == "insufficient_scope":
        return Cause.SCOPE
    if error in _CLIENT_ERRORS:
        return Cause.CREDENTIALS
    return Cause.FORBIDDEN if status == 403 else Cause.TOKEN


def _recording_message(status: int, answer: Mapping[str, Any], text: str) -> str:
    named = {str(error.get("field")).rpartition(".")[2] for error in _errors(answer)} & _FIELDS
    if named:
        return f"{', '.join(sorted(named))}: the service does not take what was sent"
    for phrase, sentence in _KNOWN:
        if phrase in text:
            return sentence
    return _BY_STATUS.get(status, "the service does not take the particulars of this call")
