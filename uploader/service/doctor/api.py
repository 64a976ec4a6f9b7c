"""Checks of the service: its clock beside ours, the token, the scopes, the listing. Submits nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from uploader.errors import RateLimited, ServiceRefusal, Unavailable
from uploader.platform.clock import Clock
from uploader.platform.http import HttpClient, HttpFailure
from uploader.service.doctor.report import Finding, fail, of_error, ok, skip, warn
from uploader.zoom.auth import NEEDED_SCOPES, Token, TokenKeeper, missing_scopes
from uploader.zoom.client import ZoomClient
from uploader.zoom.waits import service_date

SKEW_WARNED = timedelta(seconds=60)
SKEW_FAILED = timedelta(seconds=300)
_ANSWER_BYTES = 64 * 1024
_WINDOW = timedelta(hours=1)
_NTP_HINT = "let an NTP client set this machine's clock (chrony, systemd-timesyncd): signed URLs go by it"
_SCOPE_HINT = "add them, or the same with :admin, to the app in the Zoom App Marketplace, and activate it anew"


def skew_between(*, asked_at: datetime, answered_at: datetime, theirs: datetime) -> timedelta:
    """Return how far our clock is surely ahead of the service's, which tells whole seconds; 0 if it may agree.

    The service looked at its clock at some moment between our question and its answer.
    """
    if asked_at > theirs + timedelta(seconds=1):
        return asked_at - theirs - timedelta(seconds=1)
    return answered_at - theirs if answered_at < theirs else timedelta(0)


def judge_skew(skew: timedelta) -> Finding:
    """Judge how far our clock is ahead of the service's."""
    seconds = abs(skew.total_seconds())
    if seconds <= 1:
        return ok("agrees with the service's")
    message = f"{seconds:.0f} s {'ahead of' if skew > timedelta(0) else 'behind'} the service's"
    if abs(skew) > SKEW_FAILED:
        return fail(message, hint=_NTP_HINT)
    return warn(message, hint=_NTP_HINT) if abs(skew) > SKEW_WARNED else ok(message)


def judge_scopes(token: Token) -> Finding:
    """Judge what the app may do, as far as the service says it."""
    if not token.scopes:
        message = "the service does not say which scopes the app has: whether it may submit shows with the first one"
        return warn(message, hint=f"see the app's page in the Marketplace: it needs {' and '.join(NEEDED_SCOPES)}")
    missing = missing_scopes(token)
    if missing:
        message = f"the app lacks {' and '.join(missing)}"
        return fail(message, hint=_SCOPE_HINT, exit_code=ServiceRefusal.exit_code)
    return ok("the app may list and submit interactions")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiChecks:
    """The checks of one account. Threads that need a token at once share one request for it."""

    http: HttpClient
    tokens: TokenKeeper
    client: ZoomClient
    clock: Clock
    api_url: str
    timeout_seconds: float

    def skew(self) -> Finding:
        """Compare the clocks by an answer's `Date`: any answer has one, also to a request without a token."""
        asked_at = self.clock.now()
        try:
            reply = self.http.request(
                "GET",
                f"{self.api_url.rstrip('/')}/qm/interactions",
                headers={"Accept": "application/json"},
                deadline_seconds=self.timeout_seconds,
                max_body_bytes=_ANSWER_BYTES,
            )
        except HttpFailure as failure:
            return skip(f"not compared: the service cannot be reached ({failure.kind.value})")
        theirs = service_date(reply.headers)
        if theirs is None:
            return skip("not compared: the service does not say what time it is")
        return judge_skew(skew_between(asked_at=asked_at, answered_at=self.clock.now(), theirs=theirs))

    def token(self) -> Finding:
        """Get a token."""
        token = self.tokens.token()
        minutes = (token.expires_at_monotonic - token.obtained_at_monotonic) / 60
        lives = f"{minutes:.0f} min" if minutes >= 2 else f"{minutes * 60:.0f} s"
        return ok(f"got one that lives {lives}")

    def scopes(self) -> Finding:
        """Look at what the token permits."""
        token = self._token()
        return skip("not checked: there is no token") if token is None else judge_scopes(token)

    def listing(self) -> Finding:
        """List the last hour's interactions."""
        if self._token() is None:
            return skip("not checked: there is no token")
        began, now = self.clock.monotonic(), self.clock.now()
        try:
            page = self.client.list_interactions(start=now - _WINDOW, end=now, page_size=1, page_token=None)
        except ServiceRefusal as error:
            return of_error(error)
        took = self.clock.monotonic() - began
        category = f"; rate class {page.rate_category}" if page.rate_category else ""
        return ok(f"lists interactions, in {took * 1000:.0f} ms{category}")

    def _token(self) -> Token | None:
        """Return the token; None where the check of the token itself tells why there is none."""
        try:
            return self.tokens.token()
        except (ServiceRefusal, Unavailable, RateLimited):
            return None
