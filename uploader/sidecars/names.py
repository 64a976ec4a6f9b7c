"""Names of the fields of a sidecar: which are known, which is meant, and which may be shown.

Knows no values. A name that a user made up could hold a number or a person's name, so a message
shows it only when it looks like the name of a field.
"""

from __future__ import annotations

import difflib
import re

from uploader.domain.interaction import BODY_FIELDS

INFO = "interaction_info"
CUSTOM = "custom"
URL = "download_url"

_KNOWN = (*BODY_FIELDS, INFO, CUSTOM)
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_MOST_DIGITS = 4
_LONGEST_COMPARED = 64


def is_free(name: str) -> bool:
    """Say whether a field of this name is the user's own and not looked at."""
    return name == CUSTOM or name.startswith(("x_", "_"))


def nearest(name: str) -> str:
    """Return the known field whose name is most like `name`."""
    written = name[:_LONGEST_COMPARED].lower().replace("-", "_")
    return difflib.get_close_matches(written, _KNOWN, n=1, cutoff=0.0)[0]


def shown(name: str, *, number: int) -> str:
    """Return `name` if it looks like the name of a field, else its place: `field 3`."""
    plain = _FIELD_NAME.fullmatch(name) and sum(c.isdigit() for c in name) <= _MOST_DIGITS
    return name if plain else f"field {number}"
