"""What the operating system says of files and mounts; knows nothing of recordings in the ledger."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

from uploader.domain.recording import Stamp
from uploader.domain.scanning import signed

NETWORK_TYPES = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "ncpfs", "ocfs2",
        "gfs2", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.bindfs",
        "fuse.davfs", "fuse.curlftpfs", "fuse.goofys", "fuse.mount-s3",
    }
)  # fmt: skip
"""File systems on which other hosts write without an event here, and locks cannot be relied on."""

LEAST_FILES = 16
"""With room for fewer files than this a disk is as good as full."""

_CHUNK_BYTES = 1024 * 1024
_MORE_BYTES = 4096
"""So much more than a small file's size is asked for: it may be growing."""


def mount_type(path: str | os.PathLike[str]) -> str:
    """Return the type of the file system that `path` (or its nearest existing parent) lies on."""
    at = Path(path).absolute()
    while not at.exists() and at != at.parent:
        at = at.parent
    target = os.fsencode(at.resolve())
    best, kind = b"", "unknown"
    try:
        lines = Path("/proc/self/mountinfo").read_bytes().splitlines()
    except OSError:
        return kind
    for line in lines:
        left, _, right = line.partition(b" - ")
        point = left.split(b" ")[4].replace(b"\\040", b" ")
        inside = point in {b"/", target} or target.startswith(point + b"/")
        if inside and len(point) >= len(best):
            best, kind = point, os.fsdecode(right.split(b" ")[0])
    return kind


def is_network(path: str | os.PathLike[str]) -> bool:
    """Say whether `path` lies on a file system that other hosts write to."""
    return mount_type(path) in NETWORK_TYPES


def free_bytes(path: str | os.PathLike[str]) -> int:
    """Return the bytes that an unprivileged process can still write beside `path`."""
    stat = os.statvfs(path)
    return stat.f_bavail * stat.f_frsize


def free_files(path: str | os.PathLike[str]) -> int | None:
    """Return how many files can still be made beside `path`; None where inodes are made as they are needed."""
    stat = os.statvfs(path)
    return stat.f_favail if stat.f_files else None


def has_room(path: str | os.PathLike[str], *, least_bytes: int) -> bool:
    """Say whether so many bytes and a few files more have room beside `path`."""
    files = free_files(path)
    return free_bytes(path) >= least_bytes and (files is None or files >= LEAST_FILES)


def open_private(path: str | os.PathLike[str], *, truncate: bool = False) -> int:
    """Open a file to write it, made if need be: its owner's alone, and the folder's owner's if root runs this.

    So a command that root runs leaves nothing behind that the service's user cannot write. Raises OSError.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if truncate else 0)
    descriptor = os.open(path, flags, 0o600)
    if os.geteuid() == 0:
        owner = Path(path).absolute().parent.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    return descriptor


def stamp_of(stat: os.stat_result) -> Stamp:
    """Return by which values this file is known to be unchanged."""
    return Stamp(size_bytes=stat.st_size, mtime_ns=signed(stat.st_mtime_ns), inode=signed(stat.st_ino))


def sha256_of(path: bytes, *, expected: Stamp) -> bytes | None:
    """Return the digest of the file, or None when it is not, or no longer, the file of `expected`.

    Raises OSError as the system gives it.
    """
    digest = hashlib.sha256()
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if stamp_of(os.fstat(descriptor)) != expected:
            return None
        while part := os.read(descriptor, min(_CHUNK_BYTES, expected.size_bytes + 1)):
            digest.update(part)
        return digest.digest() if stamp_of(os.fstat(descriptor)) == expected else None
    finally:
        os.close(descriptor)


def read_small(path: bytes, *, limit: int) -> tuple[bytes, int]:
    """Return the file's content, at most `limit` + 1 bytes of it, and its mtime in ns before. Raises OSError."""
    # Never wait for a writer: a FIFO may stand in the file's place.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        stat, parts, left = os.fstat(descriptor), list[bytes](), limit + 1
        while left > 0 and (part := os.read(descriptor, min(left, stat.st_size + _MORE_BYTES))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts), stat.st_mtime_ns
    finally:
        os.close(descriptor)


def is_gone(error: OSError) -> bool:
    """Say whether `error` means that the file is not there (rather than out of reach)."""
    return error.errno in {errno.ENOENT, errno.ENOTDIR}


def real_path(path: bytes) -> bytes:
    """Return `path` with every link in it resolved, by the system in one go where it can."""
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return os.path.realpath(path)
    try:
        return os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115 (names are bytes)
    except OSError:
        return os.path.realpath(path)
    finally:
        os.close(descriptor)
