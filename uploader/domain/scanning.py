"""What differs between what a directory holds and what was known of it. Pure; names are bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from uploader.domain.pairing import is_sidecar_name, recordings_of
from uploader.domain.recording import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Names that came or changed, went, and whose pairing may be another now."""

    came: tuple[bytes, ...]
    went: tuple[bytes, ...]
    concerned: tuple[bytes, ...]
    """Recordings that did not change themselves, but a file beside them did."""


def difference(
    known: Mapping[bytes, Stamp],
    found: Mapping[bytes, Stamp],
    *,
    gone: frozenset[bytes],
    is_recording: Callable[[bytes], bool],
    gone_stamp: Stamp,
) -> Difference:
    """Compare. `found` holds recordings and sidecars as they are now; `gone` are names known to be away.

    A name that is in neither was not looked at, and nothing is said of it.
    """
    came = tuple(sorted(name for name, stamp in found.items() if known.get(name) != stamp))
    went = tuple(sorted(name for name in gone if name in known and known[name] != gone_stamp))
    here = {name for name, stamp in known.items() if stamp != gone_stamp and name not in gone} | set(found)
    concerned: set[bytes] = set()
    for name in (*came, *went):
        if is_sidecar_name(name) or is_recording(name):
            concerned.update(recordings_of(name, here, is_recording=is_recording))
    return Difference(came=came, went=went, concerned=tuple(sorted(concerned - set(came))))
