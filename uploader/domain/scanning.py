"""What differs between what a directory holds and what was known of it. Pure; names are bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from uploader.domain.pairing import by_stem, is_sidecar_name, near, recordings_of
from uploader.domain.recording import Stamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Names that came or changed, went, and whose pairing may be another now."""

    came: tuple[bytes, ...]
    went: tuple[bytes, ...]
    concerns: Mapping[bytes, frozenset[bytes]]
    """By each name that came or went, the recordings beside it that did not change themselves."""

    def concerned_by(self, names: Iterable[bytes]) -> tuple[bytes, ...]:
        """Return the recordings beside these names that did not change themselves."""
        none: frozenset[bytes] = frozenset()
        return tuple(sorted(none.union(*(self.concerns.get(name, none) for name in names))))


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
    stems = by_stem({name for name, stamp in known.items() if stamp != gone_stamp and name not in gone} | set(found))
    changed, concerns = frozenset(came), dict[bytes, frozenset[bytes]]()
    for name in (*came, *went):
        if is_sidecar_name(name) or is_recording(name):
            beside = frozenset(recordings_of(name, near(name, stems), is_recording=is_recording)) - changed
            if beside:
                concerns[name] = beside
    return Difference(came=came, went=went, concerns=concerns)
