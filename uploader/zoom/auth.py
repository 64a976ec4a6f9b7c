"""Access tokens by Server-to-Server OAuth: one at a time for all threads, got before they are due.

Knows nothing of interactions. Source: the vendor's Server-to-Server OAuth pages; parameters go into
the body, because the query form began to fail for some accounts.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from uploader.errors import RateLimited, ServiceRefusal, TokenUnavailable, UploaderError
from uploader.platform.clock import Clock
from uploader.platform.http import HttpClient, HttpFailure, Reply
from uploader.zoom.meters import Request, ServiceMeters
from uploader.zoom.schemas import json_object
from uploader.zoom.waits import header, parse_retry_after

GOOD_FOR_SECONDS = 60.0
REJECTED_AT_MOST_EVERY_SECONDS = 1.0
"""A token younger than this is kept though it was rejected: no storm of refreshes."""
LONGEST_LIFE_SECONDS = 86_400.0
ANSWER_BYTES = 64 * 1024
TOKEN_LENGTH = 16 * 1024
SCOPES = 1000

NEEDED_SCOPES = {
    "zoom_quality_management:write:interactions": "qm_interactions:write",
    "zoom_quality_management:read:interactions": "qm_interactions:read",
}
"""Granular scope to classic scope; each may also end in `:admin`. Source: the OpenAPI document."""

_APP_CODES = frozenset({4717})
_CLIENT_CODES = frozenset({4702, 4704, 4706})
_SCOPE_CODES = frozenset({4700, 4711})


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """An access token; `expires_at_monotonic` and `obtained_at_monotonic` are the clock's seconds."""

    value: str = field(repr=False)
    scopes: frozenset[str]
    obtained_at_monotonic: float
    expires_at_monotonic: float


def missing_scopes(token: Token) -> tuple[str, ...]:
    """Return the granular names of what the app lacks; nothing if the service did not list scopes."""
    if not token.scopes:
        return ()
    held = {scope.removesuffix(":admin") for scope in token.scopes}
    return tuple(granular for granular, classic in NEEDED_SCOPES.items() if not held & {granular, classic})


class TokenKeeper:
    """Gets and keeps the process's one token. Safe from any thread."""

    def __init__(
        self,
        http: HttpClient,
        *,
        token_url: str,
        account_id: str,
        client_id: str,
        client_secret: Callable[[], str],
        clock: Clock,
        timeout_seconds: float,
        meters: ServiceMeters | None = None,
    ) -> None:
        self._http = http
        self._token_url = token_url
        self._account_id = account_id
        self._client_id = client_id
        self._client_secret = client_secret
        self._clock = clock
        self._timeout_seconds = timeout_seconds
        self._meters = meters or ServiceMeters()
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._flight: Future[Token] | None = None

    def token(self, *, good_for_seconds: float = GOOD_FOR_SECONDS) -> Token:
        """Return a token that lives at least min(`good_for_seconds`, half its life).

        Threads that ask at once share one request and its fate. Raises ServiceRefusal with reason
        `credentials` or `scope`, RateLimited, or TokenUnavailable.
        """
        with self._lock:
            if self._token is not None and self._is_good(self._token, good_for_seconds):
                return self._token
            flight = self._flight
            if flight is None:
                mine = self._flight = Future()
        if flight is not None:
            return flight.result()
        try:
            token = self._fetch()
        except BaseException as error:
            self._land(mine, None)
            # waiters get an error of ours, or are told to ask again where it was a bug or an interrupt
            known = isinstance(error, UploaderError)
            mine.set_exception(error if known else TokenUnavailable("the request for a token was broken off"))
            raise
        self._land(mine, token)
        mine.set_result(token)
        return token

    def reject(self, token: Token) -> None:
        """Take it that the service does not accept `token`: the next caller gets another one.

        Nothing happens if another thread has got a newer one, or if this one was issued within the
        last second: then it is not the token that is at fault.
        """
        with self._lock:
            age_seconds = self._clock.monotonic() - token.obtained_at_monotonic
            if self._token is token and age_seconds >= REJECTED_AT_MOST_EVERY_SECONDS:
                self._token = None

    def _is_good(self, token: Token, good_for_seconds: float) -> bool:
        life_seconds = token.expires_at_monotonic - token.obtained_at_monotonic
        remaining_seconds = token.expires_at_monotonic - self._clock.monotonic()
        return remaining_seconds >= min(good_for_seconds, life_seconds / 2)

    def _land(self, flight: Future[Token], token: Token | None) -> None:
        with self._lock:
            if self._flight is flight:
                self._flight = None
            if token is not None:
                self._token = token

    def _fetch(self) -> Token:
        # counted from before the request: an answer that dawdles does not lengthen the token's life
        asked_at = self._clock.monotonic()
        form = {"grant_type": "account_credentials", "account_id": self._account_id}
        fault = None
        try:
            reply = self._http.request(
                "POST",
                self._token_url,
                headers={
                    "Authorization": f"Basic {self._basic()}",
                    "Content-Type": "application/x-www-form-urlencoded",
                    "Accept": "application/json",
                },
                content=urlencode(form, quote_via=quote).encode("ascii"),
                deadline_seconds=self._timeout_seconds,
                max_body_bytes=ANSWER_BYTES,
            )
        except HttpFailure as failure:
            fault = failure
        self._meters.answered(Request.TOKEN, None if fault else reply.status, self._clock.monotonic() - asked_at)
        if fault is not None:
            raise TokenUnavailable(f"no token was given: {fault.kind.value}", hint=fault.hint or _URL_HINT)
        if not 200 <= reply.status <= 299:
            raise self._refusal(reply)
        token = _token(reply, asked_at)
        self._meters.succeeded(Request.TOKEN, self._clock.now().timestamp())
        return token

    def _basic(self) -> str:
        return base64.b64encode(f"{self._client_id}:{self._client_secret()}".encode()).decode("ascii")

    def _refusal(self, reply: Reply) -> UploaderError:
        now = self._clock.now()
        until = parse_retry_after(reply.headers, now=now)
        answer = (None if reply.truncated else json_object(reply.body)) or {}
        if reply.status == 429:
            daily = "daily" in (header(reply.headers, "x-ratelimit-type") or "").lower()
            self._meters.was_throttled(Request.TOKEN, daily=daily)
            return RateLimited("asked for tokens too often", until=until, daily=daily)
        if reply.status in (400, 401, 403) and (_is_oauth_error(answer) or _code(answer) is not None):
            return _credentials_refusal(answer)
        wait_seconds = None if until is None else (until - now).total_seconds()
        message = f"no token was given: the token endpoint answered {reply.status}"
        return TokenUnavailable(message, hint=_URL_HINT, retry_after_seconds=wait_seconds)


_URL_HINT = "check zoom.token_url, and that this machine may reach it"


def _is_oauth_error(answer: dict[str, Any]) -> bool:
    return isinstance(answer.get("error"), str)


def _code(answer: dict[str, Any]) -> int | None:
    code = answer.get("code")
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _credentials_refusal(answer: dict[str, Any]) -> ServiceRefusal:
    """Name the setting to look at; the service's own words are read, but not passed on."""
    code = _code(answer)
    error = str(answer.get("error", "")).lower()
    text = f"{answer.get('reason', '')} {answer.get('message', '')}".lower()
    reason = "credentials"
    if code in _SCOPE_CODES or error == "invalid_scope":
        reason, what, hint = "scope", "the app lacks a scope", "add the scopes that `doctor` names to the app"
    elif code in _APP_CODES or "disabled" in text or "deactivated" in text:
        what, hint = "the app is disabled", "activate the app in the Zoom App Marketplace"
    elif error in ("invalid_client", "unauthorized_client") or code in _CLIENT_CODES:
        what = "zoom.client_id or zoom.client_secret is wrong"
        hint = "copy both anew from the app's page in the Zoom App Marketplace"
    elif error in ("unsupported_grant_type", "invalid_grant") or code == 4705:
        what = "the app does not permit this kind of login"
        hint = "it must be of the type Server-to-Server OAuth: check zoom.client_id"
    elif error in ("invalid_request", "bad_request") or "account" in text:
        what, hint = "zoom.account_id is wrong", "copy the account ID from the app's page"
    else:
        what = "the credentials were refused"
        hint = "check zoom.account_id, zoom.client_id and zoom.client_secret"
    return ServiceRefusal(what, reason=reason, hint=hint)


def _token(reply: Reply, asked_at: float) -> Token:
    answer = (None if reply.truncated else json_object(reply.body)) or {}
    value = answer.get("access_token")
    if not isinstance(value, str) or not 0 < len(value) <= TOKEN_LENGTH or not _is_visible(value):
        raise TokenUnavailable("no token was given: the token endpoint's answer has none", hint=_URL_HINT)
    life_seconds = answer.get("expires_in")
    if isinstance(life_seconds, bool) or not isinstance(life_seconds, int | float) or not life_seconds > 0:
        raise TokenUnavailable("no token was given: the token endpoint does not say how long it lives", hint=_URL_HINT)
    scope = answer.get("scope")
    scopes = scope.split()[:SCOPES] if isinstance(scope, str) else []
    return Token(
        value=value,
        scopes=frozenset(scopes),
        obtained_at_monotonic=asked_at,
        expires_at_monotonic=asked_at + float(min(life_seconds, LONGEST_LIFE_SECONDS)),
    )


def _is_visible(value: str) -> bool:
    """Only such characters can stand in a header."""
    return all("!" <= character <= "~" for character in value)
