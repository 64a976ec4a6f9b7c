"""Mapping: a sidecar's bytes, the source's constants and the kind of medium to the particulars of a call.

Knows no files and no clock. Says everything that is wrong at once, by field, and never a value; only the
trace, which is for the user's own terminal, holds values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from uploader.domain.interaction import BODY_FIELDS, INFO_FIELDS, TOP_FIELDS, Particulars
from uploader.domain.reasons import Reason
from uploader.domain.recording import MediaKind
from uploader.errors import Problem, RecordingFault, UsageError
from uploader.sidecars import native
from uploader.sidecars.names import INFO
from uploader.sidecars.readers import read_json
from uploader.sidecars.values import is_empty, judge
from uploader.sidecars.verdict import Verdict

PROFILES: Mapping[str, Callable[[Mapping[str, Any]], native.Found]] = {"native": native.find_fields}
"""How the sidecars of a profile are read."""

AGENT = "agent"
"""In `require`: agent_email or agent_id."""
_AGENT_FIELDS = ("agent_email", "agent_id")
_MAX_RAW = 300
_NOTHING = Verdict()
_CHANNEL_OF = {MediaKind.AUDIO: "voice", MediaKind.VIDEO: "video"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingContext:
    """What a source says on how to read its sidecars; `timezone` and `phone_region` may be empty."""

    profile: str = "native"
    timezone: str = ""
    phone_region: str = ""
    require: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldTrace:
    """Where a field's value came from: `sidecar`, `default`, `media` or `none`. Holds values: not for logs.

    `raw` is what was written, with invisible characters escaped; `value` is what would be sent, or None.
    """

    field: str
    value: str | None = None
    source: str = "none"
    raw: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One field's verdict, where its value came from, and what was written."""

    verdict: Verdict = _NOTHING
    source: str = "none"
    written: object = None


_NOT_GIVEN = Judged()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapped:
    """What became of a sidecar. `particulars` is None exactly when there are `problems`.

    `notes` tell what was left out or altered. `call_id` is the recorder's own name for the call, where the
    profile has one. `fault` is the reason to quarantine for.
    """

    particulars: Particulars | None = None
    call_id: str | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    judged: Mapping[str, Judged] = field(default_factory=dict, repr=False)
    fault: Reason | None = None

    @property
    def fields(self) -> tuple[FieldTrace, ...]:
        """Return where the value of each field of the body came from."""
        return tuple(_trace(name, judged) for name, judged in self.judged.items())


def map_sidecar(data: bytes | None, *, context: MappingContext, media_kind: MediaKind | None) -> Mapped:
    """Map a sidecar (None: there is none) to what is sent of a call.

    Never raises for what the sidecar holds. Raises UsageError for a profile that does not exist.
    """
    find_fields = PROFILES.get(context.profile)
    if find_fields is None:
        raise UsageError("there is no profile of this name", hint=f"profiles: {', '.join(PROFILES)}")
    try:
        found = native.Found(values={}) if data is None else find_fields(read_json(data))
    except RecordingFault as fault:
        problem = Problem(field="sidecar", message=str(fault))
        return Mapped(problems=(problem,), fault=Reason(fault.code))
    judged = _judge_all(found.values, context)
    judged["channel_type"] = _with_channel(judged, media_kind)
    invalid = (*found.problems, *_problems(judged), *_unknown_defaults(context))
    missing = (
        *_missing(judged, context.require, has_data=data is not None),
        *_missing_channel(judged, context.require),
    )
    return _mapped(judged, invalid=invalid, missing=missing)


def _mapped(judged: Mapping[str, Judged], *, invalid: tuple[Problem, ...], missing: tuple[Problem, ...]) -> Mapped:
    problems = tuple(dict.fromkeys((*invalid, *missing)))
    notes = tuple(Problem(field=n, message=j.verdict.note) for n, j in judged.items() if j.verdict.note)
    fault = Reason.SIDECAR_INVALID if invalid else Reason.FIELD_MISSING if missing else None
    return Mapped(
        particulars=None if problems else _particulars(judged),
        problems=problems,
        notes=notes,
        judged=judged,
        fault=fault,
    )


def _judge_all(values: Mapping[str, object], context: MappingContext) -> dict[str, Judged]:
    """Judge every field of the body; a constant counts only where the sidecar has nothing at all."""
    judged = dict.fromkeys(BODY_FIELDS, _NOT_GIVEN)
    for source, given in (("sidecar", values), ("default", context.defaults)):
        for name, value in given.items():
            if judged.get(name) is _NOT_GIVEN and not is_empty(value):
                judged[name] = _judge_one(name, value, source, context)
    return judged


def _judge_one(name: str, value: object, source: str, context: MappingContext) -> Judged:
    verdict = judge(name, value, timezone=context.timezone, phone_region=context.phone_region)
    if verdict.problem and source == "default":
        verdict = replace(verdict, problem=f"{verdict.problem} (in the source's defaults)")
    return Judged(verdict=verdict, source=source, written=value)


def _with_channel(judged: Mapping[str, Judged], media_kind: MediaKind | None) -> Judged:
    """Complete channel_type from the medium, and tell when the two disagree."""
    given = judged["channel_type"]
    if given.source == "none" and media_kind is not None:
        return Judged(verdict=Verdict(value=_CHANNEL_OF[media_kind]), source="media")
    if given.verdict.value == "video" and media_kind is MediaKind.AUDIO:
        notes = (given.verdict.note, "is video, but the recording has no picture")
        return replace(given, verdict=replace(given.verdict, note="; ".join(filter(None, notes))))
    return given


def _problems(judged: Mapping[str, Judged]) -> tuple[Problem, ...]:
    return tuple(Problem(field=n, message=j.verdict.problem) for n, j in judged.items() if j.verdict.problem)


def _unknown_defaults(context: MappingContext) -> tuple[Problem, ...]:
    unknown = sum(name not in BODY_FIELDS for name in context.defaults)
    if not unknown:
        return ()
    return (Problem(field="defaults", message=f"hold {unknown} unknown field(s); known are {', '.join(BODY_FIELDS)}"),)


def _missing(judged: Mapping[str, Judged], require: tuple[str, ...], *, has_data: bool) -> tuple[Problem, ...]:
    """Return a problem for each required field without a value, unless its value has one already."""
    place = "the sidecar has" if has_data else "there is no sidecar, and the source's defaults have"
    problems = []
    for name in require:
        candidates = [judged[n] for n in (_AGENT_FIELDS if name == AGENT else (name,)) if n in judged]
        if any(j.verdict.value is not None or j.verdict.problem for j in candidates):
            continue
        if any(j.source != "none" for j in candidates):
            message = "is required, but what is written had to be left out"
        elif name == AGENT:
            message = f"is required: {place} neither agent_email nor agent_id"
        else:
            message = f"is required: {place} none"
        problems.append(Problem(field=name, message=message))
    return tuple(problems)


def _missing_channel(judged: Mapping[str, Judged], require: tuple[str, ...]) -> tuple[Problem, ...]:
    """Return a problem when other fields of interaction_info are there, in which channel_type is required."""
    channel = judged["channel_type"].verdict
    others = (judged[n].verdict.value for n in INFO_FIELDS if n != "channel_type")
    told = channel.value is not None or channel.problem or "channel_type" in require
    if told or all(value is None for value in others):
        return ()
    message = "cannot be told from the recording: write voice or video"
    return (Problem(field="channel_type", message=message),)


def _particulars(judged: Mapping[str, Judged]) -> Particulars:
    known = {name: j.verdict.value for name, j in judged.items() if j.verdict.value is not None}
    top = {name: value for name, value in known.items() if name in TOP_FIELDS}
    return Particulars.from_body({**top, INFO: {n: v for n, v in known.items() if n in INFO_FIELDS}})


def _trace(name: str, judged: Judged) -> FieldTrace:
    verdict = judged.verdict
    said = "; ".join(part for part in (verdict.problem, verdict.note, verdict.remark) if part)
    raw = None if judged.written is None else _raw(judged.written)
    return FieldTrace(field=name, value=verdict.value, source=judged.source, raw=raw, note=said)


def _raw(value: object) -> str:
    """Show what was written, short, and so that a terminal cannot be steered by it."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    cut = text if len(text) <= _MAX_RAW else text[:_MAX_RAW] + "…"
    return cut if cut.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in cut)
