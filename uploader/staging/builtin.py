"""Signed URLs of the built-in server: paths, signatures, what they stand for; no I/O, HTTP or ledger."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import struct
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from uploader.domain.recording import Stamp
from uploader.platform.clock import Clock

SELFTEST_NAME: Final = "selftest.wav"
_MAX_NAME: Final = 128
_MAX_QUERY: Final = 512
_MIN_SECRET_BYTES: Final = 32

_ID = re.compile(r"[a-z0-9]{1,64}")
_EXTENSION = re.compile(r"(?:\.[a-z0-9]{1,10})?")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,32}")
# only the one way in which we write a number counts: no sign, no leading zero
_EXPIRES = re.compile(r"[1-9][0-9]{0,11}")
_NAME = re.compile(r"([a-z0-9]{1,64})-([1-9][0-9]{0,8})((?:\.[a-z0-9]{1,10})?)")


def _silence() -> bytes:
    """Return a tenth of a second of silence as RIFF/WAVE, 8 kHz, 8 bit, mono."""
    samples = b"\x80" * 800
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    body = b"WAVE" + fmt + struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI", b"RIFF", len(body)) + body


SELFTEST_WAV: Final = _silence()


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A secret of at least 32 bytes and the id by which URLs name it."""

    id: str
    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if not _KEY_ID.fullmatch(self.id):
            raise ValueError("id of a signing key: 1 to 32 letters, digits, - or _")
        if len(self.secret) < _MIN_SECRET_BYTES:
            raise ValueError(f"secret of a signing key: at least {_MIN_SECRET_BYTES} bytes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKeys:
    """`current` signs; `older` ones still verify what they signed."""

    current: SigningKey
    older: tuple[SigningKey, ...] = ()

    def __iter__(self) -> Iterator[SigningKey]:
        yield self.current
        yield from self.older


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """A URL that anyone who has it may fetch until `expires_at`; its repr does not show it."""

    url: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a signed URL stands for: one attempt of one recording."""

    recording_id: str
    attempt: int
    extension: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfTest:
    """The built-in test path: never an attempt, never evidence."""

    expires_at: datetime


class RefusalReason(StrEnum):
    """Why a URL is not served."""

    MALFORMED = "malformed"
    UNKNOWN_KEY = "unknown_key"
    BAD_SIGNATURE = "bad_signature"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A URL that is not served. `ticket` is set only when the signature holds and the time is over."""

    reason: RefusalReason
    ticket: Ticket | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The file that a ticket gives: where it lies, and the stamp it had when it was understood."""

    path: bytes = field(repr=False)
    stamp: Stamp
    content_type: str
    revoked: bool


class UrlSigner:
    """Make and check the URLs of the built-in server. Safe from any thread.

    `keys` is asked anew for every URL, so that a rotation takes effect at once; what it raises
    passes through.
    """

    def __init__(self, public_url: str, keys: Callable[[], SigningKeys], clock: Clock) -> None:
        self._base = public_url.rstrip("/")
        self._keys = keys
        self._clock = clock

    @property
    def path_prefix(self) -> str:
        """Return the path of `public_url`, which a reverse proxy may pass on or take off; "" for none."""
        return urlsplit(self._base).path

    def sign(self, recording_id: str, attempt: int, extension: str, *, lifetime_seconds: float) -> SignedUrl:
        """Return the URL of one attempt; `extension` is "" or a dot and lower-case letters and digits.

        Raises ValueError for an id, attempt or extension that a URL cannot carry.
        """
        name = f"{recording_id}-{attempt}{extension}"
        if not (_ID.fullmatch(recording_id) and _EXTENSION.fullmatch(extension) and _NAME.fullmatch(name)):
            raise ValueError("recording id, attempt or extension is not of the form that a URL carries")
        return self._signed(name, lifetime_seconds)

    def sign_selftest(self, *, lifetime_seconds: float) -> SignedUrl:
        """Return the URL of the built-in test path, which serves `SELFTEST_WAV`."""
        return self._signed(SELFTEST_NAME, lifetime_seconds)

    def verify(self, path_name: str, query: str) -> Ticket | SelfTest | Refusal:
        """Judge the last part of a path and its raw query string.

        Only the exact form that `sign` writes is taken; signatures are compared in constant time.
        """
        if len(path_name) > _MAX_NAME or len(query) > _MAX_QUERY or not query.isascii():
            return Refusal(reason=RefusalReason.MALFORMED)
        try:
            pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=3)
        except ValueError:
            return Refusal(reason=RefusalReason.MALFORMED)
        fields = dict(pairs)
        parts = _NAME.fullmatch(path_name)
        if (parts is None and path_name != SELFTEST_NAME) or not _well_formed(pairs, query):
            return Refusal(reason=RefusalReason.MALFORMED)
        key = next((key for key in self._keys() if key.id == fields["key"]), None)
        if key is None:
            return Refusal(reason=RefusalReason.UNKNOWN_KEY)
        # the text is compared, not the bytes it decodes to: unused bits of base64 stay significant
        if not hmac.compare_digest(_signature(key, path_name, fields["expires"]), fields["signature"]):
            return Refusal(reason=RefusalReason.BAD_SIGNATURE)
        return self._in_time(parts, int(fields["expires"]))

    def _in_time(self, parts: re.Match[str] | None, expires: int) -> Ticket | SelfTest | Refusal:
        expires_at = datetime.fromtimestamp(expires, UTC)
        over = self._clock.now() >= expires_at
        if parts is None:
            return Refusal(reason=RefusalReason.EXPIRED) if over else SelfTest(expires_at=expires_at)
        ticket = Ticket(recording_id=parts[1], attempt=int(parts[2]), extension=parts[3], expires_at=expires_at)
        return Refusal(reason=RefusalReason.EXPIRED, ticket=ticket) if over else ticket

    def _signed(self, name: str, lifetime_seconds: float) -> SignedUrl:
        key = self._keys().current
        expires = math.ceil(self._clock.now().timestamp() + lifetime_seconds)
        # As `urlencode` would write it: neither a key's id nor a signature has anything to be escaped.
        query = f"expires={expires}&key={key.id}&signature={_signature(key, name, str(expires))}"
        return SignedUrl(url=f"{self._base}/recordings/{name}?{query}", expires_at=datetime.fromtimestamp(expires, UTC))


def _well_formed(pairs: list[tuple[str, str]], query: str) -> bool:
    """Return whether the query is what `urlencode` makes of an expiry, a key id and a signature, in order."""
    return (
        [name for name, _ in pairs] == ["expires", "key", "signature"]
        and _EXPIRES.fullmatch(pairs[0][1]) is not None
        and _KEY_ID.fullmatch(pairs[1][1]) is not None
        and pairs[2][1].isascii()
        and urlencode(pairs) == query
    )


def _signature(key: SigningKey, name: str, expires: str) -> str:
    """Return the signature of an expiry and a name, which splits in one way into id, attempt, extension."""
    message = f"qm-uploader recording url 1\n{name}\n{expires}".encode()
    digest = hmac.new(key.secret, message, hashlib.sha256).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode()
