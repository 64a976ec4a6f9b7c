"""The native sidecar: the fields of the body of POST /qm/interactions, nested as there or flat.

Finds what is written for which field; whether a value is right is not its business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from uploader.domain.interaction import INFO_FIELDS, TOP_FIELDS
from uploader.errors import Problem
from uploader.sidecars.names import INFO, URL, is_free, nearest, shown
from uploader.sidecars.values import is_empty

MAX_STRAYS = 20
"""Fields out of place that are named one by one; a file of another kind may have thousands."""

_INNER = frozenset(INFO_FIELDS)
_FLAT = _INNER.union(TOP_FIELDS)
_OUTER = _FLAT | {INFO}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The value written for each field of the body that has one, and what is wrong with the fields."""

    values: Mapping[str, object]
    problems: tuple[Problem, ...] = ()


def find_fields(document: Mapping[str, Any]) -> Found:
    """Find the fields of the body in a native sidecar, each flat or in `interaction_info`."""
    info = document.get(INFO)
    nested = info if isinstance(info, dict) else {}
    flat = {name: value for name, value in document.items() if name in _FLAT and not is_empty(value)}
    inner = {name: value for name, value in nested.items() if name in _INNER and not is_empty(value)}
    strays = [*_strays(document, inside=False), *_strays(nested, inside=True)]
    problems = [_problem(stray) for stray in strays[:MAX_STRAYS]]
    if len(strays) > MAX_STRAYS:
        left = len(strays) - MAX_STRAYS
        problems.append(Problem(field="sidecar", message=f"has {left} more fields that do not belong there"))
    if not is_empty(info) and not isinstance(info, dict):
        problems.append(Problem(field=INFO, message="must be an object with fields in it"))
    for name in flat.keys() & inner.keys():
        if not _same(flat[name], inner[name]):
            problems.append(Problem(field=name, message=f"is written twice, and differs inside {INFO}"))
    return Found(values=flat | inner, problems=tuple(problems))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stray:
    """A field that does not belong where it stands, the `number`th of its object."""

    name: str
    number: int
    inside: bool


def _strays(fields: Mapping[str, Any], *, inside: bool) -> Iterator[_Stray]:
    known = _INNER if inside else _OUTER
    for number, (name, value) in enumerate(fields.items(), start=1):
        if name in known or is_free(name) or (name == URL and is_empty(value)):
            continue
        yield _Stray(name=name, number=number, inside=inside)


def _problem(stray: _Stray) -> Problem:
    if stray.name == URL:
        return Problem(field=URL, message="must be left out: it is made by this program")
    if stray.inside and stray.name in TOP_FIELDS:
        return Problem(field=stray.name, message=f"must stand beside {INFO}, not inside it")
    place = f"{INFO}." if stray.inside else ""
    meant = nearest(stray.name)
    message = f"is not a known field; the nearest known one is {meant} (a field of your own begins with x_)"
    return Problem(field=place + shown(stray.name, number=stray.number), message=message)


def _same(one: object, other: object) -> bool:
    if isinstance(one, str) and isinstance(other, str):
        return one.strip() == other.strip()
    return type(one) is type(other) and one == other
