"""The body of POST /qm/interactions: what is right and what is wrong with it. Pure.

Source of the rules: the service's OpenAPI document, operation addInteraction. Fields that it does not
know are let through, as they are there. The lengths are the sandbox's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NoReturn
from urllib.parse import urlsplit

from uploader.sandbox import answers, times
from uploader.sandbox.answers import Refused

MAX_BODY_BYTES = 1024 * 1024
_MAX_URL = 16 * 1024
_MAX_TEXT = 4096
_E164 = re.compile(r"\+[1-9][0-9]{1,14}", re.ASCII)
_ENUMS = {
    "direction": ("inbound", "outbound"),
    "channel_type": ("video", "voice"),
    "primary_language": (
        "", "en-GB", "en-US", "ar", "da-DK", "de-DE", "es-ES", "es-MX", "fr-CA", "fr-FR",
        "it-IT", "ja", "ko-KR", "nl-NL", "pt-BR", "pt-PT", "ru", "zh-CN", "zh-HK",
    ),
}  # fmt: skip
_TOP = ("direction", "disposition", "primary_language", "queue_id")
_INFO = ("channel_type", "agent_email", "agent_id", "consumer_name", "from", "to")


def read(raw: bytes) -> dict[str, Any]:
    """Return the body as sent. Raises Refused with the documented answer when it is wrong."""
    if len(raw) > MAX_BODY_BYTES:
        raise Refused(answers.too_large())
    try:
        body = json.loads(raw, parse_constant=_no_constant)
    except (ValueError, RecursionError) as exc:
        raise Refused(answers.not_an_object()) from exc
    if not isinstance(body, dict):
        raise Refused(answers.not_an_object())
    wrong = list(_wrong_fields(body))
    if wrong:
        raise Refused(answers.invalid_fields(*wrong))
    if "start_time" in body:
        try:
            times.parse(body["start_time"])
        except ValueError as exc:
            raise Refused(answers.invalid_start_time()) from exc
    return body


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _wrong_fields(body: dict[str, Any]) -> Iterator[str]:
    if not is_download_url(body.get("download_url")):
        yield "download_url"
    yield from (name for name in _TOP if name in body and not _is_right(name, body[name]))
    if "interaction_info" not in body:
        return
    info = body["interaction_info"]
    if not isinstance(info, dict):
        yield "interaction_info"
        return
    if "channel_type" not in info:
        yield "interaction_info.channel_type"
    for name in _INFO:
        if name in info and not _is_right(name, info[name]):
            yield f"interaction_info.{name}"


def _is_right(name: str, value: object) -> bool:
    if not isinstance(value, str) or len(value) > _MAX_TEXT or not _is_encodable(value):
        return False
    if name in _ENUMS:
        return value in _ENUMS[name]
    if name in {"from", "to"}:
        return _E164.fullmatch(value) is not None
    return True


def _is_encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON lets through
        return False
    return True


def is_download_url(value: object) -> bool:
    """Say whether this is an absolute http or https URL that can stand in a request line."""
    if not isinstance(value, str) or len(value) > _MAX_URL:
        return False
    if not value.isascii() or any(character <= " " or character == "\x7f" for character in value):
        return False
    try:
        parts = urlsplit(value)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
