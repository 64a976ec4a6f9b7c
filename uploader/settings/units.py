"""Durations, sizes and listening addresses as people write them; nothing about files or keys."""

from __future__ import annotations

import re
from datetime import timedelta

DURATION_RULE = "must be a duration such as 500ms, 2s, 15m, 24h or 7d"
SIZE_RULE = "must be a size such as 100B, 64KiB, 20MiB or 5GiB"
LISTEN_RULE = "must be an address and a port such as 127.0.0.1:8080 or [::1]:8080"

_MILLISECOND = timedelta(milliseconds=1)
_DURATIONS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_SIZES = {"TiB": 1 << 40, "GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "B": 1}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,19})([A-Za-z]{1,3})")
_LISTEN = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9.-]{1,253}):([0-9]{1,5})")

MAX_DURATION = timedelta(days=36_500)
"""A century: longer ones are slips of the pen, and would overflow dates."""
MAX_SIZE_BYTES = 1 << 60


def parse_duration(text: str) -> timedelta:
    """Read `500ms`, `2s`, `15m`, `24h`, `7d` or `0`.

    Raises ValueError with the rule, never with the text.
    """
    amount = _amount(text, _DURATIONS, DURATION_RULE)
    if amount > MAX_DURATION // _MILLISECOND:
        raise ValueError("must be at most 36500d")
    return amount * _MILLISECOND


def format_duration(duration: timedelta) -> str:
    """Write `duration` in the largest unit that keeps it whole.

    Raises ValueError for one that is negative or has parts of a millisecond.
    """
    amount, rest = divmod(duration, _MILLISECOND)
    if amount < 0 or rest:
        raise ValueError("only whole milliseconds from 0 on can be written")
    return _written(amount, _DURATIONS, nothing="0s")


def parse_size(text: str) -> int:
    """Read `100B`, `64KiB`, `20MiB`, `5GiB`, `1TiB` or `0` as bytes.

    Raises ValueError with the rule, never with the text.
    """
    amount = _amount(text, _SIZES, SIZE_RULE)
    if amount > MAX_SIZE_BYTES:
        raise ValueError("must be at most 1048576TiB")
    return amount


def format_size(size_bytes: int) -> str:
    """Write `size_bytes` in the largest unit that keeps it whole. Raises ValueError below 0."""
    if size_bytes < 0:
        raise ValueError("a size starts at 0")
    return _written(size_bytes, _SIZES, nothing="0B")


def split_listen(text: str) -> tuple[str, int]:
    """Return host and port of `127.0.0.1:8080` or `[::1]:8080`, the host without brackets.

    Port 0 asks the system for a free one. Raises ValueError with the rule, never with the text.
    """
    match = _LISTEN.fullmatch(text)
    if match is None or int(match[2]) > 65_535:
        raise ValueError(LISTEN_RULE)
    return match[1].strip("[]"), int(match[2])


def _amount(text: str, units: dict[str, int], rule: str) -> int:
    if text == "0":
        return 0
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] not in units:
        raise ValueError(rule)
    return int(match[1]) * units[match[2]]


def _written(amount: int, units: dict[str, int], *, nothing: str) -> str:
    if amount == 0:
        return nothing
    unit = next(unit for unit, factor in units.items() if amount % factor == 0)
    return f"{amount // units[unit]}{unit}"
