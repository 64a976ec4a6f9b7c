"""Completeness: whether a file that has stopped growing can be whole, or is still being written."""

from __future__ import annotations

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault
from uploader.media.bytes import ByteSource
from uploader.media.probe import probe

_MORE_MAY_COME = (Reason.MEDIA_EMPTY, Reason.MEDIA_TRUNCATED, Reason.MEDIA_INCOMPLETE)


def is_complete(source: ByteSource) -> bool:
    """Say whether the content is all that its container promises.

    False while the file is empty, its header is not closed (RIFF and AIFF sizes, MP4 `moov`), it is
    shorter than its header says, or it ends within a frame or page. True for what has no length,
    and for what is no audio or video at all: more bytes would not mend it. OSError passes through.
    """
    try:
        probe(source)
    except RecordingFault as fault:
        return fault.code not in _MORE_MAY_COME
    return True
