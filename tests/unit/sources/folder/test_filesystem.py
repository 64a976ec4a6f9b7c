"""What the operating system says of files and mounts."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess

import pytest

from uploader.platform.filesystem import (
    NETWORK_TYPES,
    free_bytes,
    free_files,
    has_room,
    is_gone,
    is_network,
    mount_type,
    read_small,
    sha256_of,
    stamp_of,
)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(b"x" * 3_000_000)
    return path


def test_the_digest_is_that_of_the_content(file):
    expected = hashlib.sha256(file.read_bytes()).digest()
    assert sha256_of(os.fsencode(file), expected=stamp_of(file.stat())) == expected


def test_another_file_than_expected_has_no_digest(file):
    stamp = stamp_of(file.stat())
    os.utime(file, (1, 1))
    assert sha256_of(os.fsencode(file), expected=stamp) is None


def test_a_file_put_in_its_place_with_the_same_size_and_time_is_another(file):
    stat = file.stat()
    other = file.with_name("b")
    other.write_bytes(b"y" * 3_000_000)
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert sha256_of(os.fsencode(file), expected=stamp_of(stat)) is None


def test_what_is_not_there_is_an_error_of_the_system(tmp_path):
    with pytest.raises(OSError) as error:
        sha256_of(os.fsencode(tmp_path / "none"), expected=stamp_of(tmp_path.stat()))
    assert is_gone(error.value)


@pytest.mark.parametrize(("number", "gone"), [
    (errno.ENOENT, True), (errno.ENOTDIR, True), (errno.EACCES, False), (errno.EIO, False), (errno.ESTALE, False),
])  # fmt: skip
def test_gone_is_not_out_of_reach(number, gone):
    assert is_gone(OSError(number, "x")) is gone


def test_no_more_than_a_byte_over_the_limit_is_read(file):
    assert len(read_small(os.fsencode(file), limit=10)[0]) == 11


def test_a_pipe_in_the_place_of_a_file_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert read_small(os.fsencode(tmp_path / "pipe"), limit=10)[0] == b""


def test_a_folder_in_the_place_of_a_file_is_an_error_and_leaves_nothing_open(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(IsADirectoryError):
            read_small(os.fsencode(tmp_path), limit=10)
    assert len(os.listdir("/proc/self/fd")) <= before + 1


def test_the_type_of_a_mount_is_that_of_the_deepest_one(tmp_path):
    assert mount_type("/proc/self/status") == "proc"
    assert mount_type(tmp_path) == mount_type(tmp_path / "not" / "there")
    assert mount_type("/proc") not in NETWORK_TYPES


def test_this_machines_own_disk_is_no_network(tmp_path):
    assert not is_network(tmp_path)
    assert {"nfs", "nfs4", "cifs", "fuse.sshfs"} <= NETWORK_TYPES


def test_a_disk_without_bytes_or_without_inodes_has_no_room(tmp_path, small_disk):
    disk = small_disk(1)
    assert has_room(disk, least_bytes=1024)
    assert not has_room(disk, least_bytes=2 << 20)
    subprocess.run(["mount", "-o", "remount,size=1m,nr_inodes=10", str(disk)], check=True)
    assert not has_room(disk, least_bytes=1024)
    assert free_files(disk) == 9


def test_free_bytes_are_those_of_the_disk(tmp_path):
    assert 0 < free_bytes(tmp_path) <= os.statvfs(tmp_path).f_frsize * os.statvfs(tmp_path).f_blocks
