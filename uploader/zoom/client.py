"""The Quality Management API: submit one interaction, list them, look at one.

Decides nothing: outcomes are judged in `outcomes`, waits are the caller's. Every call is one
request; reads get one more after a token was rejected, the POST never does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

import structlog

from uploader.domain.analysis import Detail
from uploader.domain.interaction import format_time
from uploader.domain.listing import Page
from uploader.domain.outcome import Cause, Kind, Outcome
from uploader.errors import ApiUnavailable, RateLimited, ServiceRefusal
from uploader.platform.clock import Clock
from uploader.platform.http import HttpClient, HttpFailure, Reply
from uploader.zoom.auth import Token, TokenKeeper
from uploader.zoom.meters import Request, ServiceMeters
from uploader.zoom.outcomes import Refusal, failure_outcome, judge_submission, refusal_of
from uploader.zoom.schemas import DETAIL_BYTES, LIST_BYTES, interaction_id_of, parse_detail, parse_page
from uploader.zoom.waits import header, parse_retry_after, service_date

log = structlog.get_logger()

SUBMISSION_BYTES = 256 * 1024
"""The most that is read of the answer to a POST."""
LARGEST_PAGE = 99
"""The documented maximum of 100 is marked exclusive."""

_RATES = frozenset({Cause.RATE_SECOND, Cause.RATE_DAY})
_REASONS = {
    Cause.CREDENTIALS: "credentials",
    Cause.SCOPE: "scope",
    Cause.PLAN: "plan",
    Cause.FORBIDDEN: "forbidden",
}
_HINTS = {
    Cause.CREDENTIALS: "check zoom.client_id and zoom.client_secret",
    Cause.SCOPE: "add the scopes that `doctor` names to the app",
    Cause.PLAN: "ask the account's administrator for a Quality Management plan",
    Cause.FORBIDDEN: "check the rights of the app and its role",
}


class ZoomClient:
    """Speaks to one account's API. Safe from any thread."""

    def __init__(
        self,
        http: HttpClient,
        tokens: TokenKeeper,
        *,
        api_url: str,
        request_timeout_seconds: float,
        clock: Clock,
        meters: ServiceMeters | None = None,
    ) -> None:
        self._http = http
        self._tokens = tokens
        self._interactions_url = f"{api_url.rstrip('/')}/qm/interactions"
        self._request_timeout_seconds = request_timeout_seconds
        self._clock = clock
        self._meters = meters or ServiceMeters()

    def submit(
        self,
        body: Mapping[str, Any],
        *,
        download_url: str,
        token: Token,
        idempotency_key: str | None,
    ) -> Outcome:
        """Send one POST and judge what came of it.

        Whatever service and network do is in the outcome; nothing is raised for it, or tried again.
        """
        headers = {**_authorized(token), "Content-Type": "application/json"}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        try:
            text = json.dumps({**body, "download_url": download_url}, ensure_ascii=False, separators=(",", ":"))
            content = text.encode("utf-8")
        except UnicodeEncodeError:
            message = "a field holds characters that cannot be written as UTF-8"
            return Outcome(kind=Kind.NOT_CREATED, cause=Cause.RECORDING, message=message)
        began = self._clock.monotonic()
        try:
            reply = self._http.request(
                "POST",
                self._interactions_url,
                headers=headers,
                content=content,
                deadline_seconds=self._request_timeout_seconds,
                max_body_bytes=SUBMISSION_BYTES,
            )
        except HttpFailure as failure:
            self._meters.answered(Request.SUBMISSION, None, self._clock.monotonic() - began)
            return failure_outcome(failure)
        self._meters.answered(Request.SUBMISSION, reply.status, self._clock.monotonic() - began)
        _log_category("submission.answered", reply)
        outcome = judge_submission(
            reply.status,
            reply.headers,
            b"" if reply.truncated else reply.body,
            now=self._clock.now(),
            idempotency_key_sent=idempotency_key is not None,
        )
        if outcome.cause in _RATES:
            self._meters.was_throttled(Request.SUBMISSION, daily=outcome.cause is Cause.RATE_DAY)
        return outcome

    def list_interactions(self, *, start: datetime, end: datetime, page_size: int, page_token: str | None) -> Page:
        """Return one page of what the service lists from `start` to `end`.

        Raises ApiUnavailable, RateLimited, what getting a token raises, and ServiceRefusal with
        reason `credentials`, `scope`, `plan`, `forbidden` or `listing` (it does not take the query).
        """
        if not 1 <= page_size <= LARGEST_PAGE:
            raise ValueError(f"page_size must be 1 to {LARGEST_PAGE}")
        params = {"from": format_time(start), "to": format_time(end), "page_size": str(page_size)}
        if page_token is not None:
            params["next_page_token"] = page_token
        reply = self._get(Request.LISTING, self._interactions_url, params=params, max_body_bytes=LIST_BYTES)
        if reply.status == 404:
            raise ServiceRefusal("the service does not know its own list", reason="listing", hint=_URL_HINT)
        page = parse_page(reply.body, service_date=service_date(reply.headers))
        return replace(page, rate_category=_rate_category(reply))

    def interaction(self, interaction_id: str) -> Detail | None:
        """Return one interaction, or None if the service does not know it. Raises as the list does."""
        if interaction_id_of(interaction_id) is None or interaction_id in {".", ".."}:
            return None
        url = f"{self._interactions_url}/{quote(interaction_id, safe='')}"
        reply = self._get(Request.DETAIL, url, params={}, max_body_bytes=DETAIL_BYTES)
        if reply.status == 404:
            return None
        when = service_date(reply.headers)
        return parse_detail(reply.body, interaction_id=interaction_id, service_date=when)

    def _get(self, request: Request, url: str, *, params: Mapping[str, str], max_body_bytes: int) -> Reply:
        """Return a whole 200, or a 404 in the API's own shape."""
        token = self._tokens.token()
        reply, refusal = self._read(request, url, params, max_body_bytes, token)
        if refusal is not None and refusal.cause is Cause.TOKEN:
            self._tokens.reject(token)
            reply, refusal = self._read(request, url, params, max_body_bytes, self._tokens.token())
        if refusal is not None:
            if reply.status == 404 and refusal.cause is Cause.RECORDING:
                return reply
            if refusal.cause in _RATES:
                self._meters.was_throttled(request, daily=refusal.cause is Cause.RATE_DAY)
            if refusal.cause in {Cause.SCOPE, Cause.PLAN, Cause.FORBIDDEN}:
                # A token carries what the app was allowed when it was issued: the next one may carry more.
                self._tokens.reject(token)
            raise self._error(reply, refusal)
        if reply.status != 200:
            raise self._unavailable(reply, f"the service answered {reply.status}")
        if reply.truncated:
            raise ApiUnavailable("the service's answer is larger than is read of it")
        self._meters.succeeded(request, self._clock.now().timestamp())
        return reply

    def _read(
        self, request: Request, url: str, params: Mapping[str, str], max_body_bytes: int, token: Token
    ) -> tuple[Reply, Refusal | None]:
        failed, began = None, self._clock.monotonic()
        try:
            reply = self._http.request(
                "GET",
                url,
                headers=_authorized(token),
                params=params,
                deadline_seconds=self._request_timeout_seconds,
                max_body_bytes=max_body_bytes,
            )
        except HttpFailure as failure:
            failed = failure
        self._meters.answered(request, None if failed else reply.status, self._clock.monotonic() - began)
        if failed is not None:
            message = f"the service cannot be reached: {failed.kind.value}"
            raise ApiUnavailable(message, hint=failed.hint)
        body = b"" if reply.truncated else reply.body
        return reply, refusal_of(reply.status, reply.headers, body)

    def _error(self, reply: Reply, refusal: Refusal) -> Exception:
        if refusal.cause in _RATES:
            until = parse_retry_after(reply.headers, now=self._clock.now())
            return RateLimited(refusal.message, until=until, daily=refusal.cause is Cause.RATE_DAY)
        if refusal.cause is Cause.TOKEN:
            return self._unavailable(reply, "the service rejects a token just issued")
        reason = _REASONS.get(refusal.cause, "listing")
        return ServiceRefusal(refusal.message, reason=reason, hint=_HINTS.get(refusal.cause, _URL_HINT))

    def _unavailable(self, reply: Reply, message: str) -> ApiUnavailable:
        now = self._clock.now()
        until = parse_retry_after(reply.headers, now=now)
        wait_seconds = None if until is None else (until - now).total_seconds()
        return ApiUnavailable(message, retry_after_seconds=wait_seconds)


_URL_HINT = "check zoom.api_url"


def _authorized(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.value}", "Accept": "application/json"}


def _log_category(event: str, reply: Reply) -> None:
    """Write down which rate class the service counts this under: it documents none for the POST."""
    log.debug(event, status=reply.status, rate_category=_rate_category(reply))


def _rate_category(reply: Reply) -> str | None:
    category = header(reply.headers, "x-ratelimit-category") or ""
    return category if re.fullmatch(r"[A-Za-z-]{1,32}", category) else None
