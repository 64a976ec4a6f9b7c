"""What the arguments of an import mean: folders, files, or the prefix of a bucket. Reads nothing but what they are."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from stat import S_ISDIR, S_ISREG

from uploader.domain.pairing import is_sidecar_name
from uploader.errors import UsageError
from uploader.sources.folder.rules import Rules
from uploader.sources.s3.location import SCHEME, parse_location

_ARCHIVES = (b".zip", b".tar", b".gz", b".tgz", b".bz2", b".tbz2", b".xz", b".txz", b".zst", b".7z", b".rar")
_MANIFESTS = (b".csv", b".tsv", b".jsonl", b".ndjson", b".xml", b".xlsx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One argument: an absolute path, or a prefix in a bucket."""

    path: bytes
    is_folder: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """All arguments. `bucket` is empty for folders and files."""

    bucket: str
    targets: tuple[Target, ...]

    @property
    def paths(self) -> tuple[bytes, ...]:
        """Return them as an order keeps them: that of a folder ends in a slash."""
        if self.bucket:
            return tuple(target.path for target in self.targets)
        return tuple(t.path.rstrip(b"/") + b"/" if t.is_folder else t.path for t in self.targets)


def read_targets(arguments: Sequence[bytes]) -> Targets:
    """Say what the arguments are. Raises UsageError for what cannot be imported, and never repeats it."""
    remote = [argument for argument in arguments if argument.lower().startswith(SCHEME.encode())]
    if not remote:
        return Targets(bucket="", targets=tuple(_local(a, _called(i, arguments)) for i, a in enumerate(arguments)))
    if len(remote) != len(arguments):
        raise UsageError("folders and buckets cannot be imported together", hint="import one after the other")
    found = [_remote(a, _called(i, arguments)) for i, a in enumerate(arguments)]
    buckets = {bucket for bucket, _ in found}
    if len(buckets) > 1:
        raise UsageError("several buckets cannot be imported together", hint="import one after the other")
    return Targets(bucket=found[0][0], targets=tuple(target for _, target in found))


def check_names(targets: Targets, rules: Rules) -> None:
    """Refuse files, named one by one, that are no recordings by the rules. Raises UsageError."""
    for index, target in enumerate(targets.targets):
        name = target.path.rpartition(b"/")[2]
        if target.is_folder or rules.is_recording(name):
            continue
        which = _called(index, targets.targets)
        if is_sidecar_name(name):
            raise UsageError(f"{which} is a sidecar", hint="name the recording: its sidecar is found beside it")
        raise UsageError(
            f"{which} is no recording by its name", hint="--include '*.EXTENSION' takes such files as recordings"
        )


def _called(index: int, arguments: Sequence[object]) -> str:
    return "the path" if len(arguments) == 1 else f"path {index + 1} of {len(arguments)}"


def _local(argument: bytes, which: str) -> Target:
    path = os.path.abspath(argument)  # noqa: PTH100 (names are bytes)
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116
    except FileNotFoundError as error:
        raise UsageError(f"{which} does not exist", hint="check its spelling, and that it is mounted") from error
    except OSError as error:
        raise UsageError(f"{which} cannot be looked at ({os.strerror(error.errno or 0)})") from error
    if S_ISDIR(mode):
        return Target(path=path, is_folder=True)
    if not S_ISREG(mode):
        raise UsageError(f"{which} is neither a folder nor a file")
    _refuse_containers(path.lower(), which)
    return Target(path=path, is_folder=False)


def _remote(argument: bytes, which: str) -> tuple[str, Target]:
    try:
        text = argument.decode()
        bucket, prefix = parse_location(SCHEME + text[len(SCHEME) :])
    except ValueError as error:
        raise UsageError(f"{which} is not of the form s3://bucket/prefix") from error
    _refuse_containers(argument.lower(), which)
    return bucket, Target(path=f"{SCHEME}{bucket}/{prefix}".encode(), is_folder=True)


def _refuse_containers(name: bytes, which: str) -> None:
    if name.endswith(_ARCHIVES):
        raise UsageError(f"{which} is an archive file", hint="unpack it, and import the folder")
    if name.endswith(_MANIFESTS):
        raise UsageError(
            f"{which} looks like a list of recordings, which this version does not read",
            hint="import the folder, with a sidecar beside each recording",
        )
