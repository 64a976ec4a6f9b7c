"""Completeness: whether a file that cannot be used as it is may still be being written."""

from __future__ import annotations

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault

_MORE_MAY_COME = frozenset({Reason.MEDIA_EMPTY, Reason.MEDIA_TRUNCATED, Reason.MEDIA_INCOMPLETE})


def may_still_grow(fault: RecordingFault) -> bool:
    """Say whether more bytes could mend what `probe` found.

    So while the file is empty, its header is not closed (RIFF and AIFF sizes, MP4 `moov`), it is shorter
    than its header says, or it ends within a frame or page. Not so for what is no audio or video at all.
    """
    return fault.code in _MORE_MAY_COME
