"""Ledger ids: how one is made of a recording's number, and which numbers an id or its beginning may mean.

Ten characters without look-alikes. The first four follow from the number, so that an id needs no index and no
two of a million recordings in a row begin alike; the others are drawn, so that the ids of another ledger, or
of one that was restored, are others. Knows no table.
"""

from __future__ import annotations

import secrets

ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
LENGTH = 10
SPAN = len(ALPHABET) ** 4
"""Numbers so far apart have ids that begin with the same four characters."""

_STEM = 4
_FACTOR = 0x5D2B5
"""Odd, so that it can be undone; only to make neighbours look different."""
_INVERSE = pow(_FACTOR, -1, SPAN)
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def new_id(n: int) -> str:
    """Return a fresh ledger id for recording number `n`."""
    rest, characters = n * _FACTOR % SPAN, ""
    for _ in range(_STEM):
        # The lowest digit first: then what is known of the beginning tells what is known of the number.
        rest, digit = divmod(rest, len(ALPHABET))
        characters += ALPHABET[digit]
    return characters + "".join(ALPHABET[byte % len(ALPHABET)] for byte in secrets.token_bytes(LENGTH - _STEM))


def numbers(beginning: str) -> tuple[int, int] | None:
    """Return the least number whose id may begin so, and the step to each further one; None when none may."""
    digits = [_VALUES.get(character) for character in beginning[:_STEM]]
    if not digits or None in digits or len(beginning) > LENGTH:
        return None
    step = len(ALPHABET) ** len(digits)
    known = sum((digit or 0) * len(ALPHABET) ** place for place, digit in enumerate(digits))
    return known * _INVERSE % step, step
