"""Values: what each field of the body may hold, judged one by one.

Knows no sidecar formats, files or media. Nothing is guessed: a value is taken, or it is a problem, or it is
left out with a note. Source of the rules: the service's OpenAPI document, operation addInteraction; the
lengths are ours, since it states none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping

from uploader.domain.interaction import CHANNEL_TYPES, DIRECTIONS, LANGUAGES
from uploader.sidecars.numbers import judge_number
from uploader.sidecars.times import judge_time
from uploader.sidecars.verdict import Verdict

MAX_TEXT = 256
MAX_ID = 128
MAX_EMAIL = 254
"""The longest address that mail can carry (RFC 5321, section 4.5.3.1.3)."""

_NOT_TEXT = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of controls, lone surrogates, and line and paragraph separators."""


def is_empty(value: object) -> bool:
    """Say whether `value` counts as not given: null, or a string of nothing but spaces."""
    return value is None or (isinstance(value, str) and not value.strip())


def judge(field: str, value: object, *, timezone: str, phone_region: str) -> Verdict:
    """Judge the value of a field of the body; `timezone` and `phone_region` are the source's, or empty."""
    if not isinstance(value, str):
        return Verdict(problem=_wrong_type(field, value))
    text = value.strip()
    if not text.isprintable() and any(unicodedata.category(character) in _NOT_TEXT for character in text):
        return Verdict(problem="must not have line breaks or control characters")
    if field == "start_time":
        return judge_time(text, zone_name=timezone)
    if field in ("from", "to"):
        return judge_number(text, region=phone_region)
    return _JUDGES[field](text)


def _wrong_type(field: str, value: object) -> str:
    if field == "start_time":
        return "must be a string in ISO 8601 with zone, such as 2026-11-20T04:00:00Z"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "must be a string: write it in quotes"
    return "must be a string"


def _direction(text: str) -> Verdict:
    return _one_of(text, DIRECTIONS)


def _channel_type(text: str) -> Verdict:
    return _one_of(text, CHANNEL_TYPES)


def _one_of(text: str, words: tuple[str, ...]) -> Verdict:
    if text.lower() not in words:
        return Verdict(problem=f"must be {' or '.join(words)}")
    return _as_documented(text, text.lower())


def _primary_language(text: str) -> Verdict:
    written = text.replace("_", "-").lower()
    for language in LANGUAGES:
        if language.lower() == written:
            return _as_documented(text, language)
    main = written.partition("-")[0]
    possible = [language for language in LANGUAGES if language.lower().partition("-")[0] == main]
    choice = ", ".join(possible or LANGUAGES)
    return Verdict(problem=f"must be one of {choice}; left out, the service detects it")


def _as_documented(text: str, documented: str) -> Verdict:
    note = "" if text == documented else "written the way the service documents it"
    return Verdict(value=documented, note=note)


def _agent_email(text: str) -> Verdict:
    local, _, domain = text.partition("@")
    spaced = any(character.isspace() for character in text)
    if not local or not domain or "@" in domain or spaced or not text.isprintable():
        return Verdict(problem="must be an e-mail address: one @, and no spaces")
    return _no_longer_than(text, MAX_EMAIL)


def _agent_id(text: str) -> Verdict:
    if not text.isprintable():
        return Verdict(problem="must not have invisible characters")
    return _no_longer_than(text, MAX_ID)


def _text(text: str) -> Verdict:
    return _no_longer_than(text, MAX_TEXT)


def _no_longer_than(text: str, characters: int) -> Verdict:
    if len(text) > characters:
        return Verdict(problem=f"must not be longer than {characters} characters")
    return Verdict(value=text)


_JUDGES: Mapping[str, Callable[[str], Verdict]] = {
    "direction": _direction,
    "channel_type": _channel_type,
    "primary_language": _primary_language,
    "agent_email": _agent_email,
    "agent_id": _agent_id,
    "consumer_name": _text,
    "disposition": _text,
    "queue_id": _text,
}
