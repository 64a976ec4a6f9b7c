"""What a recording is and what would be sent of it: pairing, media, mapping, put together.

Used by the intake, `explain` and an import's plan alike, so that all three say the same. Reads the
recording and its sidecar; knows no ledger and decides nothing about time but what it is told.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

from uploader.domain.pairing import Pairing, pair
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import MediaFacts
from uploader.errors import Problem, RecordingFault
from uploader.media.completeness import may_still_grow
from uploader.media.probe import probe
from uploader.pipeline.places import Place
from uploader.pipeline.spec import SidecarPolicy, SourceSpec
from uploader.sidecars.mapping import Mapped, map_sidecar
from uploader.sidecars.readers import MAX_SIDECAR_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Understanding:
    """All that could be told. `fault` is why it would not be sent; `waits` why it is too early to say.

    `sidecar_mtime_ns` is 0 without a sidecar. The message of `fault` is in `problems` too.
    """

    sidecar: bytes | None = None
    sidecar_mtime_ns: int = 0
    media: MediaFacts | None = None
    mapped: Mapped | None = None
    fault: Reason | None = None
    waits: Reason | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def message(self) -> str:
        """Return all problems in one sentence each, fields named."""
        return "; ".join(
            p.message if p.field in {"recording", "sidecar"} else f"{p.field}: {p.message}" for p in self.problems
        )


def understand(place: Place, location: bytes, spec: SourceSpec) -> Understanding:
    """Look at the recording at `location` as it lies there now.

    An incomplete container or a missing sidecar is `waits` as well as `fault`: whether it is too
    early or too late is for the caller. Raises SourceUnavailable and the store's errors.
    """
    found = _paired(place, location, spec)
    try:
        media = _probed(place, location)
    except RecordingFault as fault:
        code = Reason(fault.code)
        waits = Reason.MEDIA_INCOMPLETE if may_still_grow(fault) else None
        # The recording's own fault is told before its sidecar's: mending that would not help.
        problems = (Problem(field="recording", message=str(fault)), *found.problems)
        return replace(found, fault=code, waits=waits or found.waits, problems=problems)
    if found.fault:
        return replace(found, media=media)
    return _mapped(place, location, spec, found, media)


def _paired(place: Place, location: bytes, spec: SourceSpec) -> Understanding:
    if spec.sidecar is SidecarPolicy.NONE:
        return Understanding()
    name = location.rpartition(b"/")[2]
    pairing = pair(name, place.siblings(location), is_recording=spec.rules.is_recording)
    if pairing.fault:
        return _faulty_pairing(pairing)
    if pairing.sidecar is not None:
        return Understanding(sidecar=pairing.sidecar)
    awaited = Problem(field="sidecar", message=_awaited(name))
    if spec.sidecar is SidecarPolicy.REQUIRED:
        return Understanding(fault=Reason.SIDECAR_MISSING, waits=Reason.SIDECAR_AWAITED, problems=(awaited,))
    return Understanding(waits=Reason.SIDECAR_AWAITED)


def _awaited(name: bytes) -> str:
    suffix = os.path.splitext(name)[1].decode("utf-8", "replace")  # noqa: PTH122 (names are bytes)
    suffix = suffix if len(suffix) <= 6 and suffix[1:].isalnum() else ""
    return f"{REASONS[Reason.SIDECAR_MISSING][0]} (looked for NAME{suffix}.json and NAME.json beside it)"


def _faulty_pairing(pairing: Pairing) -> Understanding:
    problem = Problem(field="sidecar", message=pairing.message)
    return Understanding(fault=pairing.fault, problems=(problem,))


def _probed(place: Place, location: bytes) -> MediaFacts:
    suffix = os.path.splitext(location)[1].decode("utf-8", "replace").lower()  # noqa: PTH122
    with place.open(location) as source:
        return probe(source, suffix=suffix)


def _mapped(place: Place, location: bytes, spec: SourceSpec, found: Understanding, media: MediaFacts) -> Understanding:
    data, mtime_ns = None, 0
    if found.sidecar is not None:
        try:
            data, mtime_ns = place.read_sidecar(location, found.sidecar, limit=MAX_SIDECAR_BYTES)
        except RecordingFault as fault:
            problem = Problem(field="sidecar", message=str(fault))
            return replace(found, media=media, fault=Reason(fault.code), problems=(problem,))
    mapped = map_sidecar(data, context=spec.mapping, media_kind=media.kind)
    return Understanding(
        sidecar=found.sidecar, sidecar_mtime_ns=mtime_ns, media=media, mapped=mapped, fault=mapped.fault,
        waits=found.waits, problems=mapped.problems,
    )  # fmt: skip
