"""What can be wrong with a recording's content, as sentences; no value of the file stands in them."""

from __future__ import annotations

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault


def empty(message: str = "the recording has a header, but no audio") -> RecordingFault:
    """Return the fault of a recording without content."""
    return RecordingFault(message, code=Reason.MEDIA_EMPTY)


def truncated(message: str = "the file is shorter than its header says") -> RecordingFault:
    """Return the fault of a recording that was cut off."""
    return RecordingFault(message, code=Reason.MEDIA_TRUNCATED)


def incomplete(
    message: str = "the header was never completed, as if the recorder had been stopped",
) -> RecordingFault:
    """Return the fault of a container that nobody closed."""
    return RecordingFault(message, code=Reason.MEDIA_INCOMPLETE)


def unknown(message: str = "the content is no audio or video that is known") -> RecordingFault:
    """Return the fault of content that is something else, or cannot be understood."""
    return RecordingFault(message, code=Reason.MEDIA_UNKNOWN)
