"""Readers: the bytes of a sidecar to a plain dict, with limits on everything.

Knows no fields and no files. Messages name a line and a fault, never what stands there.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, NoReturn

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault
from uploader.sidecars.names import shown

MAX_SIDECAR_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 64

_OTHER_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "UTF-32"),
    (codecs.BOM_UTF32_BE, "UTF-32"),
    (codecs.BOM_UTF16_LE, "UTF-16"),
    (codecs.BOM_UTF16_BE, "UTF-16"),
)
_STRINGS_AND_BRACKETS = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{}]', re.DOTALL)
"""Possessive, and an unclosed string matches to its end: linear in whatever comes in."""
_FAULTS = {
    "Expecting value": "a value is missing or not in quotes",
    "Expecting ',' delimiter": "a comma is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name enclosed in double quotes": "a field name in double quotes is missing",
    "Illegal trailing comma before end of object": "a comma stands before the closing bracket",
    "Illegal trailing comma before end of array": "a comma stands before the closing bracket",
    "Extra data": "something follows the end of the object",
    "Unterminated string starting at": "a string is not closed",
    "Invalid control character at": "a line break or control character stands in a string",
}


def read_json(data: bytes) -> dict[str, Any]:
    """Read a sidecar: one JSON object in UTF-8, with or without byte order mark.

    Refused are more than `MAX_SIDECAR_BYTES`, nesting deeper than `MAX_DEPTH`, a field written twice, NaN and
    Infinity, and numbers that no field could hold. Raises RecordingFault (`sidecar_too_large`,
    `sidecar_unreadable`).
    """
    if len(data) > MAX_SIDECAR_BYTES:
        raise RecordingFault("the sidecar is larger than 1 MiB", code=Reason.SIDECAR_TOO_LARGE)
    text = _decode(data)
    if not text.strip():
        _refuse("the sidecar is empty")
    _check_depth(text)
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_fraction,
            parse_int=_integer,
        )
    except json.JSONDecodeError as exc:
        fault = _FAULTS.get(exc.msg, "this cannot be read")
        message = f"the sidecar is not valid JSON: line {exc.lineno}, column {exc.colno}: {fault}"
        # not chained: the error carries the whole document
        raise RecordingFault(message, code=Reason.SIDECAR_UNREADABLE) from None
    if not isinstance(document, dict):
        _refuse("the sidecar must be one JSON object, in curly brackets")
    return document


def _refuse(message: str) -> NoReturn:
    raise RecordingFault(message, code=Reason.SIDECAR_UNREADABLE)


def _decode(data: bytes) -> str:
    for mark, encoding in _OTHER_ENCODINGS:
        if data.startswith(mark):
            _refuse(f"the sidecar is written in {encoding}: write it in UTF-8")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        message = f"the sidecar is not in UTF-8: line {line}"
        # not chained: the error carries the whole document
        raise RecordingFault(message, code=Reason.SIDECAR_UNREADABLE) from None


def _check_depth(text: str) -> None:
    """Refuse deep nesting before the parser recurses into it."""
    depth = 0
    for match in _STRINGS_AND_BRACKETS.finditer(text):
        found = match.group()
        if found in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                line = text.count("\n", 0, match.start()) + 1
                _refuse(f"the sidecar is nested deeper than {MAX_DEPTH} levels: line {line}")
        elif found in "]}":
            depth -= 1


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for number, (name, value) in enumerate(pairs, start=1):
        if name in fields:
            _refuse(f"the sidecar has {shown(name, number=number)} twice in one object")
        fields[name] = value
    return fields


def _constant(_text: str) -> NoReturn:
    _refuse("the sidecar has NaN or Infinity, which JSON does not know")


def _fraction(text: str) -> float:
    # a long run of digits is cut before float() reads it; what is left decides nothing
    value = float(text) if len(text) <= MAX_DIGITS else math.inf
    if math.isinf(value):
        _refuse("the sidecar has a number that is too large or too long")
    return value


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        _refuse("the sidecar has a number that is too large or too long")
    return int(text)
