"""Local files staged on a real S3 server."""

from __future__ import annotations

import hashlib
import os

import pytest
import structlog

from uploader.domain.recording import Stamp
from uploader.errors import RecordingFault, ServiceRefusal
from uploader.platform.s3.session import open_session
from uploader.staging.s3 import S3Stager

MIB = 1024 * 1024
CALL = b"RIFF" + bytes(range(256)) * 300
PARTS = {"whole_up_to_bytes": 5 * MIB, "part_size_bytes": 5 * MIB}


class Recording:
    """A file with what the ledger knows of it."""

    def __init__(self, path, content: bytes) -> None:
        path.write_bytes(content)
        self.path = path
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.stamp = self.stamp_now()

    def stamp_now(self) -> Stamp:
        found = os.stat(self.path)
        return Stamp(size_bytes=found.st_size, mtime_ns=found.st_mtime_ns, inode=found.st_ino)

    def arguments(self, **other):
        return {
            "path": os.fsencode(self.path),
            "stamp": self.stamp,
            "sha256": self.sha256,
            "extension": ".wav",
            "content_type": "audio/x-wav",
        } | other


@pytest.fixture
def recording(tmp_path):
    return Recording(tmp_path / os.fsdecode(b"a call \xff.wav"), CALL)


@pytest.fixture
def stager(server, make_bucket):
    return S3Stager(make_bucket(server, prefix="qm/"))


def keys_in(server, stager: S3Stager) -> list[str]:
    client = server.client()
    answer = client.list_objects_v2(Bucket=stager._bucket.access.bucket)
    return [entry["Key"] for entry in answer.get("Contents", [])]


def uploads(stager: S3Stager, recording: Recording, **other) -> bool:
    with structlog.testing.capture_logs() as logged:
        stager.stage(**recording.arguments(**other))
    (event,) = (one for one in logged if one["event"] == "store.object_staged")
    return event["uploaded"]


def test_a_staged_file_can_be_fetched_by_its_url(server, stager, recording):
    staged = stager.stage(**recording.arguments())
    assert staged.key == f"qm/{recording.sha256[:2]}/{recording.sha256}.wav"
    assert staged.size_bytes == len(CALL)
    assert server.fetch(stager.url(staged, lifetime_seconds=60).url) == (200, CALL)


def test_the_same_content_goes_up_once(stager, recording, tmp_path):
    assert uploads(stager, recording)
    assert not uploads(stager, recording)
    assert not uploads(stager, Recording(tmp_path / "copy.wav", CALL))


def test_the_same_content_goes_up_once_in_parts_too(server, make_bucket, tmp_path):
    stager = S3Stager(make_bucket(server, **PARTS))
    recording = Recording(tmp_path / "long.wav", CALL * (11 * MIB // len(CALL)))
    assert uploads(stager, recording)
    assert not uploads(stager, recording)


def test_other_content_of_the_same_size_under_the_key_is_replaced(server, stager, recording):
    staged = stager.stage(**recording.arguments())
    client = server.client()
    client.put_object(Bucket=staged.bucket, Key=staged.key, Body=CALL[::-1])
    assert uploads(stager, recording)
    assert server.fetch(stager.url(staged, lifetime_seconds=60).url) == (200, CALL)


def test_a_new_generation_lets_the_old_url_be_revoked(server, stager, recording):
    old = stager.stage(**recording.arguments())
    old_url = stager.url(old, lifetime_seconds=60)
    new = stager.stage(**recording.arguments(generation=1))
    stager.remove(old)
    stager.remove(old)
    assert server.fetch(old_url.url)[0] == 404
    assert server.fetch(stager.url(new, lifetime_seconds=60).url) == (200, CALL)


def test_an_empty_extension_and_an_empty_prefix_are_fine(server, make_bucket, recording):
    stager = S3Stager(make_bucket(server))
    assert stager.stage(**recording.arguments(extension="")).key.endswith(recording.sha256)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(CALL + b"more"),
        lambda path: path.write_bytes(CALL[::-1]),
        lambda path: os.utime(path, ns=(0, 0)),
        lambda path: (path.with_name("new").write_bytes(CALL), path.with_name("new").replace(path)),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["size", "content", "mtime", "inode", "fifo", "folder"],
)
def test_a_file_that_is_not_the_one_that_was_read_is_not_staged(server, stager, recording, change):
    change(recording.path)
    with pytest.raises(RecordingFault) as caught:
        stager.stage(**recording.arguments())
    assert caught.value.code == "source_changed"
    assert keys_in(server, stager) == []


def test_content_changed_behind_an_unchanged_stamp_is_found_by_its_hash(server, stager, recording):
    recording.path.write_bytes(CALL[::-1])
    with pytest.raises(RecordingFault) as caught:
        stager.stage(**recording.arguments(stamp=recording.stamp_now()))
    assert caught.value.code == "source_changed"
    assert keys_in(server, stager) == []


def test_what_is_no_file_is_not_staged_though_its_stamp_is_known(stager, recording):
    recording.path.unlink()
    os.mkfifo(recording.path)
    with pytest.raises(RecordingFault) as caught:
        stager.stage(**recording.arguments(stamp=recording.stamp_now()))
    assert caught.value.code == "source_changed"


@pytest.mark.parametrize(
    "change",
    [
        lambda path: os.utime(path, ns=(0, 0)),
        lambda path: (path.with_name("new").write_bytes(CALL), path.with_name("new").replace(path)),
        lambda path: path.unlink(),
    ],
    ids=["mtime", "inode", "gone"],
)
def test_a_file_that_is_touched_or_replaced_during_the_upload_is_not_called_staged(
    server, make_bucket, recording, change
):
    def meddle(**_):
        change(recording.path)

    def new_session(access):
        session = open_session(access)
        session.events.register("before-send.s3.PutObject", meddle)
        return session

    with pytest.raises(RecordingFault) as caught:
        S3Stager(make_bucket(server, new_session=new_session)).stage(**recording.arguments())
    assert caught.value.code == "source_changed"


def test_changed_content_does_not_touch_what_another_recording_has_staged(server, stager, recording, tmp_path):
    staged = stager.stage(**recording.arguments())
    other = Recording(tmp_path / "copy.wav", CALL)
    other.path.write_bytes(CALL[::-1])
    with pytest.raises(RecordingFault):
        stager.stage(**other.arguments(stamp=other.stamp_now()))
    assert server.fetch(stager.url(staged, lifetime_seconds=60).url) == (200, CALL)


def test_a_file_that_is_gone_or_locked_says_which(stager, recording):
    recording.path.unlink()
    with pytest.raises(RecordingFault) as caught:
        stager.stage(**recording.arguments())
    assert caught.value.code == "file_vanished"
    recording.path.symlink_to(recording.path)
    with pytest.raises(RecordingFault) as caught:
        stager.stage(**recording.arguments())
    assert caught.value.code == "file_unreadable"


def test_a_link_to_the_file_is_the_file(server, stager, recording):
    moved = recording.path.rename(recording.path.with_name("elsewhere.wav"))
    recording.path.symlink_to(moved)
    staged = stager.stage(**recording.arguments())
    assert server.fetch(stager.url(staged, lifetime_seconds=60).url) == (200, CALL)


def test_rights_that_do_not_suffice_close_the_store_and_blame_no_recording(server, make_bucket, recording):
    with pytest.raises(ServiceRefusal) as caught:
        S3Stager(make_bucket(server, keys=server.reader)).stage(**recording.arguments())
    assert caught.value.reason == "store_forbidden"
    with pytest.raises(ServiceRefusal) as caught:
        S3Stager(make_bucket(server, keys=server.writer)).stage(**recording.arguments())
    assert caught.value.reason == "store_forbidden"
