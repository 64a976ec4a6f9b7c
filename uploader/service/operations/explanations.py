"""What would be sent of recordings, and why, field by field. Sends nothing, writes nothing, knows no ledger."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import Any

from uploader.domain.pairing import is_sidecar_name, orphans
from uploader.domain.reasons import REASONS, Reason
from uploader.domain.recording import MediaFacts
from uploader.errors import Problem, RecordingFault, UsageError
from uploader.pipeline.places import FolderPlace, Place
from uploader.pipeline.spec import SourceSpec
from uploader.pipeline.understand import Understanding, understand
from uploader.platform.s3 import Bucket
from uploader.sidecars.mapping import PROFILES, FieldTrace
from uploader.sources.folder.rules import Rules
from uploader.sources.folder.scan import files
from uploader.sources.s3.location import location_of

_NOT_INCLUDED = "its name is not among what the source takes (`include`, `exclude`)"
_LEFT_ALONE = "files of this name are left alone: hidden, still being written, or left behind by a system"
_NO_SIDECAR = "there is none: it would be sent without one once `sidecar_wait` is over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What would be sent of one recording. `body` is None exactly when it would not be sent.

    `recording` and `sidecar` are whole locations.
    """

    recording: bytes
    sidecar: bytes | None = None
    profile: str
    body: dict[str, Any] | None = None
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
    media: MediaFacts | None = None
    fields: tuple[FieldTrace, ...] = ()


def check_profile(name: str) -> None:
    """Raise UsageError when there is no profile of this name."""
    if name not in PROFILES:
        raise UsageError("there is no profile of this name", hint=f"profiles: {', '.join(PROFILES)}")


def explain(place: Place, location: bytes, spec: SourceSpec, *, root: bytes) -> Explanation:
    """Explain the recording at `location`, below `root`.

    Raises SourceUnavailable and the store's errors, UsageError when it is not there or a sidecar.
    """
    folder, _, name = location.rpartition(b"/")
    if is_sidecar_name(name):
        raise UsageError("this is a sidecar, not a recording", hint="name the recording beside it")
    problem = _name_problem(spec.rules, name, folder[len(root) :].strip(b"/"))
    if problem is None:
        problem = _file_problem(place, location)
    if problem is not None:
        return Explanation(recording=location, profile=spec.mapping.profile, problems=(problem,))
    return _explained(location, folder, spec, understand(place, location, spec))


def _name_problem(rules: Rules, name: bytes, folder: bytes) -> Problem | None:
    if rules.is_ignored(name) or not all(rules.enters(part) for part in folder.split(b"/") if part):
        return Problem(field="recording", message=_LEFT_ALONE)
    return None if rules.is_recording(name, folder) else Problem(field="recording", message=_NOT_INCLUDED)


def _file_problem(place: Place, location: bytes) -> Problem | None:
    try:
        if isinstance(place, FolderPlace) and not _is_regular(location):
            return Problem(field="recording", message="is no regular file")
        found = place.stamp(location)
    except RecordingFault as fault:
        return Problem(field="recording", message=str(fault))
    if found is None:
        raise UsageError("there is no such recording", hint="check the path; quote names with blanks")
    return None


def _is_regular(location: bytes) -> bool:
    try:
        return stat.S_ISREG(os.stat(location).st_mode)  # noqa: PTH116 (names are bytes)
    except OSError:
        return True  # not there or not to be read: the place says so better


def _explained(location: bytes, folder: bytes, spec: SourceSpec, found: Understanding) -> Explanation:
    mapped = found.mapped
    particulars = None if mapped is None or found.fault else mapped.particulars
    notes = () if mapped is None else mapped.notes
    if found.waits is Reason.SIDECAR_AWAITED and not found.fault:
        notes = (Problem(field="sidecar", message=_NO_SIDECAR), *notes)
    problems = found.problems
    if particulars is None and not problems:
        problems = (Problem(field="recording", message=REASONS[found.fault][0] if found.fault else "not understood"),)
    return Explanation(
        recording=location,
        sidecar=None if found.sidecar is None else folder + b"/" + found.sidecar,
        profile=spec.mapping.profile,
        body=None if particulars is None else particulars.body(),
        problems=problems,
        notes=notes,
        media=found.media,
        fields=() if mapped is None else mapped.fields,
    )


class FolderListing:
    """The recordings below a folder of a source, found by walking it."""

    def __init__(self, folder: bytes, *, root: bytes, rules: Rules) -> None:
        self._folder = folder
        self._root = root
        self._rules = rules
        self.orphans = 0
        """Sidecars without a recording, in the directories that were walked so far."""

    def recordings(self) -> Iterator[bytes]:
        """Yield the location of each recording, directory by directory. Raises SourceUnavailable."""
        found = files(self._folder, self._rules, stop=threading.Event(), base=self._root)
        for folder, in_it in groupby(found, attrgetter("folder")):
            names = sorted(file.name for file in in_it)
            recordings = {name for name in names if not is_sidecar_name(name)}
            self.orphans += len(orphans(names, is_recording=recordings.__contains__))
            for name in names:
                if name in recordings:
                    yield os.path.join(folder, name)  # noqa: PTH118 (names are bytes)


def bucket_recordings(bucket: Bucket, *, root: bytes, rules: Rules) -> Iterator[bytes]:
    """Yield the location of each recording under the bucket's prefix, below `root`. Raises the store's errors."""
    for page in bucket.list():
        for info in page.objects:
            location = location_of(bucket.access.bucket, info.key).encode("utf-8", "surrogateescape")
            folder, _, name = location.rpartition(b"/")
            if (
                name
                and not is_sidecar_name(name)
                and _name_problem(rules, name, folder[len(root) :].strip(b"/")) is None
            ):
                yield location
