"""What differs between what a directory holds and what was known of it. Pure; names are bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from struct import error as OutOfRange

from uploader.domain.pairing import by_stem, is_sidecar_name, near, recordings_of
from uploader.domain.recording import Stamp

_pack = Struct("<qqQ").pack
_MODULUS = 1 << 64
_HALF = 1 << 63


def signed(value: int) -> int:
    """Return the low 64 bits of a number as a signed integer, which is what a database keeps.

    Some file systems number files by hashes, and a file may be dated beyond 2262.
    """
    return (value + _HALF) % _MODULUS - _HALF


def digest(name: bytes, size_bytes: int, mtime_ns: int, inode: int) -> int:
    """Return 64 bits that stand for one file as it is; the same on every machine and in every version.

    Numbers count by their low 64 bits, signed or not.
    """
    try:
        stamp = _pack(size_bytes, mtime_ns, inode)
    except OutOfRange:
        stamp = _pack(signed(size_bytes), signed(mtime_ns), inode % _MODULUS)
    return int.from_bytes(blake2b(stamp + name, digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Total:
    """How many files there are, and the sum of their digests: two directories that agree hold the same.

    In any order, and files can be added and taken away one by one. A change is overlooked with a
    probability of 2^-64, whatever it is: the digests of different files have nothing to do with each other.
    """

    count: int = 0
    checksum: int = 0
    """As a signed integer of 64 bits, which is what a database keeps."""

    @classmethod
    def of(cls, count: int, digests: int) -> Total:
        """Return the total of `count` files whose digests sum up to `digests`."""
        return cls(count, signed(digests))

    def plus(self, name: bytes, stamp: Stamp) -> Total:
        """Return the total with one file more."""
        return Total.of(self.count + 1, self.checksum + _digest(name, stamp))

    def minus(self, name: bytes, stamp: Stamp) -> Total:
        """Return the total with one file less."""
        return Total.of(self.count - 1, self.checksum - _digest(name, stamp))


def _digest(name: bytes, stamp: Stamp) -> int:
    return digest(name, stamp.size_bytes, stamp.mtime_ns, stamp.inode)


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
