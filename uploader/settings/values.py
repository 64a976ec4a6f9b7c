"""What one value of the configuration must look like; nothing about keys, tables or where it came from.

Messages say what would be right and never repeat the value.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from datetime import timedelta
from pathlib import PurePath
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field

from uploader.domain.interaction import BODY_FIELDS, CHANNEL_TYPES, DIRECTIONS, LANGUAGES
from uploader.settings.units import DURATION_RULE, SIZE_RULE, parse_duration, parse_size, split_listen

SOURCE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}", re.IGNORECASE)
REQUIRABLE = (*BODY_FIELDS, "agent")
"""What `require` may hold; `agent` is satisfied by `agent_email` or `agent_id`."""
_LONGEST_TEXT = 4096
_CLOSED_FIELDS = {
    "direction": DIRECTIONS, "channel_type": CHANNEL_TYPES, "primary_language": LANGUAGES,
}  # fmt: skip


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta) and value >= timedelta(0):
        return value
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return timedelta(0)
    if not isinstance(value, str):
        raise ValueError(DURATION_RULE)  # noqa: TRY004 - pydantic collects ValueErrors only
    return parse_duration(value)


def _size(value: Any) -> Any:
    if isinstance(value, str):
        return parse_size(value)
    if isinstance(value, int) and value == 0 and not isinstance(value, bool):
        return 0
    raise ValueError(SIZE_RULE)


def _whole(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,18}", value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("must be a whole number")


def _number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}(\.[0-9]{1,9})?", value):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise ValueError("must be a number")


def _text(value: str) -> str:
    if len(value) > _LONGEST_TEXT:
        raise ValueError("is too long")
    if any(ord(character) < 32 or ord(character) == 127 for character in value):
        raise ValueError("must not have line breaks or control characters")
    return value


def _absolute(value: str) -> str:
    if value and not PurePath(value).is_absolute():
        raise ValueError("must be an absolute path, starting with /")
    return value


def _listen(value: str) -> str:
    split_listen(value)
    return value


def _zone(value: str) -> str:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        if value:
            ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError) as exc:
        raise ValueError("must be an IANA time zone such as Europe/Berlin" + _near_zone(value)) from exc
    return value


def _near_zone(value: str) -> str:
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    near = get_close_matches(value[:64], sorted(available_timezones()), n=1, cutoff=0.7)
    return f" (did you mean {near[0]}?)" if near else ""


def _region(value: str) -> str:
    from phonenumbers import SUPPORTED_REGIONS

    if value and value not in SUPPORTED_REGIONS:
        raise ValueError("must be an ISO country code in capitals such as DE or US")
    return value


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(value: str) -> str:
    if not value:
        return value
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError as exc:
        raise ValueError("must be a URL such as https://host/path") from exc
    if parts.scheme not in {"http", "https"} or not host or re.search(r"\s", value):
        raise ValueError("must be a URL such as https://host/path")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not have a user or password in it")
    if "?" in value or "#" in value:
        raise ValueError("must not have a query or fragment")
    if parts.scheme == "http" and not _is_loopback(host):
        raise ValueError("must start with https:// (plain http is for loopback hosts only)")
    return value.rstrip("/")


def _bucket(value: str) -> str:
    if "://" in value or re.search(r"\s", value):
        raise ValueError("must be the bare name of a bucket, without s3:// or blanks")
    return value


def _source_name(value: str) -> str:
    if not SOURCE_NAME.fullmatch(value):
        raise ValueError("must be 1 to 63 letters, digits, - or _ (no umlauts), starting with a letter or digit")
    return value


def _patterns(value: tuple[str, ...]) -> tuple[str, ...]:
    if any(not pattern for pattern in value):
        raise ValueError("must not have an empty pattern")
    return value


def _only(words: Iterable[str], known: tuple[str, ...]) -> None:
    from difflib import get_close_matches

    for word in words:
        if word not in known:
            near = get_close_matches(word[:64], known, n=1, cutoff=0.6)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"has an unknown field{meant}; known are {', '.join(known)}")


def _requirable(value: tuple[str, ...]) -> tuple[str, ...]:
    _only(value, REQUIRABLE)
    return value


def _constants(value: dict[str, str]) -> dict[str, str]:
    _only(value, BODY_FIELDS)
    for key, allowed in _CLOSED_FIELDS.items():
        if key in value and value[key] not in allowed:
            raise ValueError(f"has a {key} that the service does not take: {', '.join(allowed)}")
    return value


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Size = Annotated[int, BeforeValidator(_size)]
Whole = Annotated[int, BeforeValidator(_whole)]
MOST = 1_000_000_000
Count = Annotated[Whole, Field(ge=0, le=MOST)]
PerSecond = Annotated[float, BeforeValidator(_number), Field(gt=0, le=100_000, allow_inf_nan=False)]
Text = Annotated[str, AfterValidator(_text)]
AbsolutePath = Annotated[Text, AfterValidator(_absolute)]
Url = Annotated[Text, AfterValidator(_url)]
Listen = Annotated[Text, AfterValidator(_listen)]
Bucket = Annotated[Text, AfterValidator(_bucket)]
Patterns = Annotated[tuple[Text, ...], Field(max_length=1000), AfterValidator(_patterns)]
SourceName = Annotated[Text, AfterValidator(_source_name)]
Zone = Annotated[Text, AfterValidator(_zone)]
Region = Annotated[Text, AfterValidator(_region)]
Requirables = Annotated[tuple[str, ...], Field(max_length=100), AfterValidator(_requirable)]
Constants = Annotated[dict[str, Text], AfterValidator(_constants)]
