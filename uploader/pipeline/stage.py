"""The second step: where the service will fetch a recording, and the URL it is given.

Three ways: served in place by this program, copied to a bucket, or signed where it lies in one.
URLs are minted at the moment of submission and never kept.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol

from uploader.ledger.rows import RecordingRow
from uploader.media.formats import content_type, true_extension
from uploader.pipeline.intake import media_from_json
from uploader.pipeline.places import BucketPlace, as_source
from uploader.platform.s3 import Bucket
from uploader.staging.builtin import UrlSigner
from uploader.staging.s3 import S3Stager, StagedObject


class Stager(Protocol):
    """Makes recordings fetchable. Raises RecordingFault, StoreUnavailable, ServiceRefusal."""

    is_instant: bool
    """Whether staging needs nothing from outside, so that it cannot fail."""

    def stage(self, row: RecordingRow) -> str:
        """Bring the recording to where it can be fetched; return what `url` needs, as JSON."""

    def needs_renewal(self, row: RecordingRow) -> bool:
        """Say whether a repeat must be staged anew, so that older URLs lead nowhere."""

    def url(self, row: RecordingRow, *, attempt: int) -> str:
        """Mint the URL for one attempt."""

    def remove(self, row: RecordingRow) -> None:
        """Take back what was staged."""


class BuiltinStager:
    """This program serves the file itself; revoking is done per attempt in the ledger."""

    is_instant = True

    def __init__(self, signer: UrlSigner, *, lifetime_seconds: int) -> None:
        self._signer = signer
        self._lifetime_seconds = lifetime_seconds

    def stage(self, row: RecordingRow) -> str:
        """Return the true extension; the file stays where it is."""
        return _extended(true_extension(media_from_json(row.media or "{}")))

    def needs_renewal(self, row: RecordingRow) -> bool:
        """Every attempt has a URL of its own; what was staged elsewhere, before the settings changed, has none here."""
        return "extension" not in json.loads(row.staged or "{}")

    def url(self, row: RecordingRow, *, attempt: int) -> str:
        """Sign the path of this attempt."""
        return self._signer.sign(
            row.id, attempt, _extension(row.staged or "{}"), lifetime_seconds=self._lifetime_seconds
        ).url

    def remove(self, row: RecordingRow) -> None:
        """Leave the file alone: it is the source's."""


@functools.lru_cache(maxsize=64)
def _extended(extension: str) -> str:
    return json.dumps({"extension": extension})


@functools.lru_cache(maxsize=64)
def _extension(staged: str) -> str:
    return str(json.loads(staged)["extension"])


class BucketStager:
    """Local files are copied to a bucket under their content's hash."""

    is_instant = False

    def __init__(self, stager: S3Stager, *, lifetime_seconds: int) -> None:
        self._stager = stager
        self._lifetime_seconds = lifetime_seconds

    def stage(self, row: RecordingRow) -> str:
        """Upload the file; a repeat gets a key of its own, and the older copy is deleted."""
        if row.sha256 is None:
            raise RuntimeError("a local recording has a SHA-256 once it is ready")
        facts = media_from_json(row.media or "{}")
        staged = self._stager.stage(
            path=row.location,
            stamp=row.stamp,
            sha256=row.sha256.hex(),
            extension=true_extension(facts),
            content_type=content_type(facts),
            generation=row.attempts,
        )
        return json.dumps(asdict(staged) | {"generation": row.attempts})

    def needs_renewal(self, row: RecordingRow) -> bool:
        """Say whether what is staged was given out by an attempt before, or lies elsewhere."""
        staged = json.loads(row.staged or "{}")
        return "key" not in staged or bool(row.cleared and staged["generation"] != row.attempts)

    def url(self, row: RecordingRow, *, attempt: int) -> str:
        """Sign for the copy."""
        return self._stager.url(_object(row), lifetime_seconds=self._lifetime_seconds).url

    def remove(self, row: RecordingRow) -> None:
        """Delete the copy, if it is one. Whether another recording shares it is the caller's to know."""
        if "key" in json.loads(row.staged or "{}"):
            self._stager.remove(_object(row))


class InPlaceStager:
    """Objects of an S3 source are signed where they lie."""

    is_instant = True

    def __init__(self, bucket: Bucket, place: BucketPlace, *, lifetime_seconds: int) -> None:
        self._bucket = bucket
        self._place = place
        self._lifetime_seconds = lifetime_seconds

    def stage(self, row: RecordingRow) -> str:
        """Return that nothing is copied."""
        return json.dumps({"in_place": True})

    def needs_renewal(self, row: RecordingRow) -> bool:
        """There is one object and one key."""
        return False

    def url(self, row: RecordingRow, *, attempt: int) -> str:
        """Sign for the source's own object."""
        key = self._place.key(row.location)
        with as_source():
            return self._bucket.presign_get(key, lifetime_seconds=self._lifetime_seconds).url

    def remove(self, row: RecordingRow) -> None:
        """Leave the object alone: it is the source's."""


def _object(row: RecordingRow) -> StagedObject:
    document: Mapping[str, object] = json.loads(row.staged or "{}")
    return StagedObject(
        bucket=str(document["bucket"]),
        key=str(document["key"]),
        size_bytes=int(str(document["size_bytes"])),
        etag=str(document["etag"]),
    )
