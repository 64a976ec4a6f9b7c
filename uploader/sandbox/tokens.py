"""Access tokens: who gets one, how long it lives, what it opens. Knows nothing of requests but values.

Source: the service's pages on Server-to-Server OAuth and OAuth error messages. Several tokens are good
at the same time. The answer to a wrong account id is not documented.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from uploader.sandbox import answers
from uploader.sandbox.answers import Answer, Refused
from uploader.sandbox.config import Credentials

_MAX_TOKENS = 10_000


class Tokens:
    """Issues and checks the tokens of one app."""

    def __init__(
        self,
        credentials: Credentials,
        *,
        ttl_seconds: float,
        scopes: tuple[str, ...],
        api_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._credentials = credentials
        self._ttl = timedelta(seconds=ttl_seconds)
        self._scopes = scopes
        self._api_url = api_url
        self._now = now
        self._expiry: dict[str, datetime] = {}

    def issue(self, *, authorization: str, content_type: str, form: Mapping[str, str]) -> Answer:
        """Return the answer with a new token. Raises Refused in the token endpoint's own shape."""
        if not self._is_our_client(authorization):
            raise Refused(answers.oauth_error("Invalid client_id or client_secret", "invalid_client"))
        is_form = content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded"
        if not is_form or form.get("grant_type") != "account_credentials":
            raise Refused(answers.oauth_error("unsupported grant type", "unsupported_grant_type"))
        if not _same(form.get("account_id", ""), self._credentials.account_id):
            raise Refused(answers.oauth_error("Invalid account_id", "invalid_request"))
        return Answer(
            status=200,
            body={
                "access_token": self._new_token(),
                "token_type": "bearer",
                "expires_in": int(self._ttl.total_seconds()),
                "scope": " ".join(self._scopes),
                "api_url": self._api_url,
            },
        )

    def rotate(self, client_secret: str) -> None:
        """Let only this secret be good from now on, and no token that was issued before."""
        self._credentials = replace(self._credentials, client_secret=client_secret)
        self._expiry.clear()

    def check(self, authorization: str) -> None:
        """Raise Refused unless this is `Bearer` with a living token."""
        kind, _, token = authorization.partition(" ")
        expiry = self._expiry.get(token.strip())
        if kind.lower() != "bearer" or expiry is None or expiry <= self._now():
            raise Refused(answers.invalid_token())

    def check_scope(self, accepted_scopes: tuple[str, ...]) -> None:
        """Raise Refused unless the app has one of the scopes; the first is named as missing."""
        if not set(accepted_scopes) & set(self._scopes):
            raise Refused(answers.missing_scope(accepted_scopes[0]))

    def _is_our_client(self, authorization: str) -> bool:
        kind, _, encoded = authorization.partition(" ")
        try:
            decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return False
        ours = f"{self._credentials.client_id}:{self._credentials.client_secret}"
        return kind.lower() == "basic" and _same(decoded, ours)

    def _new_token(self) -> str:
        now = self._now()
        if len(self._expiry) >= _MAX_TOKENS:
            living = [(token, expiry) for token, expiry in self._expiry.items() if expiry > now]
            self._expiry = dict(living[-_MAX_TOKENS // 2 :])
        token = secrets.token_urlsafe(48)
        self._expiry[token] = now + self._ttl
        return token


def _same(given: str, ours: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), ours.encode())
