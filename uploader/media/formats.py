"""Formats by name: the extension and content type that say what the content is."""

from __future__ import annotations

from uploader.domain.recording import MediaFacts, MediaKind

_NAMES = {
    "wav": (".wav", "audio/wav"),
    "aiff": (".aiff", "audio/aiff"),
    "au": (".au", "audio/basic"),
    "mp3": (".mp3", "audio/mpeg"),
    "mp2": (".mp2", "audio/mpeg"),
    "aac": (".aac", "audio/aac"),
    "m4a": (".m4a", "audio/mp4"),
    "mp4": (".mp4", "video/mp4"),
    "mov": (".mov", "video/quicktime"),
    "3gp": (".3gp", "video/3gpp"),
    "ogg": (".ogg", "audio/ogg"),
    "flac": (".flac", "audio/flac"),
    "webm": (".webm", "video/webm"),
    "matroska": (".mkv", "video/matroska"),
    "amr": (".amr", "audio/AMR"),
    "gsm": (".gsm", "audio/gsm"),
    "g722": (".g722", "audio/G722"),
    "avi": (".avi", "video/vnd.avi"),
    "asf": (".wmv", "video/x-ms-wmv"),
}
"""Format → extension and content type."""
_AUDIO_ONLY = {
    "3gp": (".3gp", "audio/3gpp"),
    "webm": (".webm", "audio/webm"),
    "matroska": (".mka", "audio/matroska"),
    "asf": (".wma", "audio/x-ms-wma"),
}
"""Formats whose name or type is another when there is no picture."""


def true_extension(facts: MediaFacts) -> str:
    """Return the extension, with its dot, that says what the content is, whatever the file is called."""
    if facts.format == "ogg":
        if facts.kind is MediaKind.VIDEO:
            return ".ogv"
        return ".opus" if facts.codec == "opus" else ".ogg"  # RFC 7845, section 9
    return _names(facts)[0]


def content_type(facts: MediaFacts) -> str:
    """Return the media type to serve the content with."""
    if facts.format == "amr" and facts.codec == "amr_wb":
        return "audio/AMR-WB"
    if facts.format == "ogg" and facts.kind is MediaKind.VIDEO:
        return "video/ogg"
    return _names(facts)[1]


def _names(facts: MediaFacts) -> tuple[str, str]:
    if facts.kind is MediaKind.AUDIO and facts.format in _AUDIO_ONLY:
        return _AUDIO_ONLY[facts.format]
    return _NAMES.get(facts.format, (".bin", "application/octet-stream"))
