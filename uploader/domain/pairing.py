"""Pairing: which sidecar belongs to which recording, by names alone.

Knows no files, no ledger and no content: names are the bytes of the last part of a path or key, all of one
directory, because a file name need not be UTF-8. A sidecar is named after the whole recording
(`call.wav.json`, exact) or after its stem (`call.json`); the extension may be written in any case.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from uploader.domain.reasons import Reason

_EXTENSION = b".json"

BOTH_PRESENT = "more than one sidecar for this recording: keep the one named after the whole file"
SHARED = "one sidecar for more than one recording: name each after the whole file"
ANOTHERS = "the sidecar is named after another whole recording: give this one its own"

IsRecording = Callable[[bytes], bool]
"""Says by its name whether a file is taken for a recording; a sidecar's name never counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairing:
    """What a recording is paired with. Without `sidecar` and `fault` there is none as yet."""

    sidecar: bytes | None = None
    fault: Reason | None = None
    message: str = ""


def is_sidecar_name(name: bytes) -> bool:
    """Say whether `name` is that of a native sidecar: it ends in .json and is no dotfile."""
    return name.lower().endswith(_EXTENSION) and not name.startswith(b".")


def stem_prefix(name: bytes, *, is_recording: IsRecording) -> bytes:
    """Return the prefix of all names that matter for the pairing of `name`, a recording or a sidecar.

    One name is outside it: the bare stem (the prefix without its dot), when recordings without any extension
    are taken. A caller with an index looks up the prefix and that one name.
    """
    if not is_sidecar_name(name):
        return _stem(name) + b"."
    subject = _subject(name)
    return (_stem(subject) if _recognised(subject, is_recording) else subject) + b"."


def pair(recording: bytes, siblings: Collection[bytes], *, is_recording: IsRecording) -> Pairing:
    """Find the sidecar of `recording` among `siblings` (whether it is itself among them or not).

    A sidecar by stem belongs to the one recording of that stem that has no exact one. It is ambiguous when
    several have none, and one too many when all have theirs.
    """
    exact = _sidecars_of(recording, siblings)
    if len(exact) > 1:
        return _ambiguous(BOTH_PRESENT)
    stem = _stem(recording)
    by_stem = _sidecars_of(stem, siblings) if stem != recording else []
    if not by_stem:
        return Pairing(sidecar=exact[0] if exact else None)
    if _is_taken(stem, siblings, is_recording):
        return Pairing(sidecar=exact[0]) if exact else _ambiguous(ANOTHERS)
    peers = {recording, *_of_stem(stem, siblings, is_recording)}
    without = [peer for peer in peers if not _sidecars_of(peer, siblings)]
    if exact:
        return Pairing(sidecar=exact[0]) if without else _ambiguous(BOTH_PRESENT)
    if len(without) > 1:
        return _ambiguous(SHARED)
    return Pairing(sidecar=by_stem[0]) if len(by_stem) == 1 else _ambiguous(BOTH_PRESENT)


def recordings_of(changed: bytes, siblings: Collection[bytes], *, is_recording: IsRecording) -> tuple[bytes, ...]:
    """Return the recordings among `siblings` whose pairing may differ since `changed` came, went or changed.

    `changed` is a sidecar or a recording. Sorted. For a sidecar: those named by it, and those that share a
    stem with the one named exactly, since a sidecar by stem may now be theirs. For a recording: itself, the
    others of its stem, and those whose stem is its whole name.
    """
    subject = _subject(changed) if is_sidecar_name(changed) else changed
    found = set(_of_stem(subject, siblings, is_recording))
    if _is_taken(subject, siblings, is_recording):
        found.add(subject)
    if _recognised(subject, is_recording) and (subject in found or subject == changed):
        found.update(_of_stem(_stem(subject), siblings, is_recording))
    return tuple(sorted(found))


def by_stem(names: Iterable[bytes]) -> Mapping[bytes, Collection[bytes]]:
    """Return the names by their stems, for `near`."""
    found: dict[bytes, list[bytes]] = defaultdict(list)
    for name in names:
        found[_stem(name)].append(name)
    return found


def near(changed: bytes, stems: Mapping[bytes, Collection[bytes]]) -> list[bytes]:
    """Return of all names those that `recordings_of` can need for `changed`: a folder may hold very many."""
    subject = _subject(changed) if is_sidecar_name(changed) else changed
    return [name for stem in {subject, _stem(subject)} for name in stems.get(stem, ())]


def orphans(names: Iterable[bytes], *, is_recording: IsRecording) -> tuple[bytes, ...]:
    """Return the sidecars that no recording among `names` could have, sorted."""
    every = set(names)
    recordings = {name for name in every if _recognised(name, is_recording)}
    subjects = recordings | {_stem(name) for name in recordings}
    return tuple(sorted(name for name in every if is_sidecar_name(name) and _subject(name) not in subjects))


def _ambiguous(message: str) -> Pairing:
    return Pairing(fault=Reason.SIDECAR_AMBIGUOUS, message=message)


def _stem(name: bytes) -> bytes:
    """Return `name` without its last extension; leading dots do not begin one."""
    head, dot, _ = name.rpartition(b".")
    return head if dot and head.strip(b".") else name


def _subject(sidecar: bytes) -> bytes:
    return sidecar[: -len(_EXTENSION)]


def _recognised(name: bytes, is_recording: IsRecording) -> bool:
    return not is_sidecar_name(name) and is_recording(name)


def _is_taken(name: bytes, siblings: Collection[bytes], is_recording: IsRecording) -> bool:
    return name in siblings and _recognised(name, is_recording)


def _sidecars_of(subject: bytes, siblings: Collection[bytes]) -> list[bytes]:
    return sorted({name for name in siblings if is_sidecar_name(name) and _subject(name) == subject})


def _of_stem(stem: bytes, siblings: Collection[bytes], is_recording: IsRecording) -> list[bytes]:
    return [n for n in siblings if _stem(n) == stem and _recognised(n, is_recording)]
