"""Answers in the shapes that the service documents, and nothing about when they are given.

Sources: the service's pages on errors, OAuth errors and rate limits. Codes that these leave open
(an unknown interaction, a page token that is not ours) are the sandbox's own choice and said so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An HTTP answer. `body` is a JSON value, or bytes that are sent as they are."""

    status: int
    body: Mapping[str, Any] | bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


class Refused(Exception):
    """The request ends here, with `answer`."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


def error(status: int, code: int, message: str, **more: object) -> Answer:
    """Return the usual error: a code, a message and perhaps fields."""
    return Answer(status=status, body={"code": code, "message": message, **more})


def invalid_fields(*names: str) -> Answer:
    """Return the validation error that names each field."""
    errors = [{"field": name, "message": "Invalid field."} for name in names]
    return error(400, 300, "Validation Failed.", errors=errors)


def not_an_object() -> Answer:
    """Return the answer to a body that is no JSON object."""
    return error(400, 300, "Request Body should be a valid JSON object.")


def too_large() -> Answer:
    """Return the answer to a body over the limit; status and code are not documented."""
    answer = error(413, 300, "Request Body is too large.")
    return Answer(status=413, body=answer.body, headers={"Connection": "close"})


def invalid_start_time() -> Answer:
    """Return the documented answer to a bad `start_time`."""
    return error(400, 1001, "The interaction start time is invalid.")


def invalid_window() -> Answer:
    """Return the documented answer to a bad `from` or `to`."""
    return error(400, 1001, "The from or to time is invalid.")


def invalid_page_token() -> Answer:
    """Return the answer to a page token that is foreign, changed or too old (code not documented)."""
    return error(400, 300, "The next page token is invalid or expired.")


def unknown_interaction() -> Answer:
    """Return the answer for an id that nobody was given (code not documented)."""
    return error(404, 404, "The interaction does not exist.")


def unknown_endpoint() -> Answer:
    """Return the answer for a path or method that is not part of the API."""
    return error(404, 2300, "This API endpoint is not recognized.")


def invalid_token() -> Answer:
    """Return the answer to a token that is missing, foreign or expired."""
    return error(401, 124, "Invalid access token.")


def missing_scope(scope: str) -> Answer:
    """Return the answer to a good token that lacks `scope`."""
    return error(400, 4711, f"Invalid access token, does not contain scopes:[{scope}].")


def oauth_error(reason: str, kind: str) -> Answer:
    """Return an error of the token endpoint, which has a shape of its own."""
    return Answer(status=400, body={"reason": reason, "error": kind})


def rate_limited(message: str, headers: Mapping[str, str]) -> Answer:
    """Return HTTP 429 in the service's words."""
    return Answer(status=429, body={"code": 429, "message": message}, headers=headers)


def gateway_page(status: int) -> Answer:
    """Return what a proxy in between says: a page."""
    page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1></body></html>"
    return Answer(status=status, body=page.encode(), content_type="text/html")


def cut_json(body: bytes) -> Answer:
    """Return the first part of a good answer, cut within."""
    return Answer(status=200, body=body[: max(1, len(body) * 2 // 3)])
