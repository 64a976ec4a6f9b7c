"""Why a recording stands where it stands: the closed list of reason codes, stable for scripts."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A reason code; `REASONS` says what each means and what to do."""

    # quarantined
    SIDECAR_MISSING = "sidecar_missing"
    SIDECAR_AMBIGUOUS = "sidecar_ambiguous"
    SIDECAR_UNREADABLE = "sidecar_unreadable"
    SIDECAR_TOO_LARGE = "sidecar_too_large"
    SIDECAR_INVALID = "sidecar_invalid"
    FIELD_MISSING = "field_missing"
    MEDIA_EMPTY = "media_empty"
    MEDIA_INCOMPLETE = "media_incomplete"
    MEDIA_TRUNCATED = "media_truncated"
    MEDIA_UNKNOWN = "media_unknown"
    FILE_UNREADABLE = "file_unreadable"
    FILE_VANISHED = "file_vanished"
    FILE_OUTSIDE = "file_outside"
    SOURCE_CHANGED = "source_changed"
    SAME_CALL = "same_call"
    # refused
    REFUSED_BY_SERVICE = "refused_by_service"
    # unconfirmed
    LOOKING = "looking"
    NO_PROOF = "no_proof"
    SEVERAL_CANDIDATES = "several_candidates"
    RESEMBLES = "resembles"
    FETCHED_UNLISTED = "fetched_unlisted"
    # waiting
    BACKLOG = "backlog"
    SIDECAR_AWAITED = "sidecar_awaited"
    TWIN = "twin"
    IN_DOUBT = "in_doubt"
    SOURCE_GONE = "source_gone"
    # duplicate, skipped, discarded
    SAME_RECORDING = "same_recording"
    SETTLED_BEFORE = "settled_before"
    OUTSIDE_FILTER = "outside_filter"
    DISCARDED = "discarded"


REASONS: dict[Reason, tuple[str, str]] = {
    Reason.SIDECAR_MISSING: (
        "no sidecar came within `sidecar_wait`",
        "put the sidecar beside the recording: it is picked up by itself",
    ),
    Reason.SIDECAR_AMBIGUOUS: (
        "more than one sidecar, or one sidecar for more than one recording",
        "name it after the whole file (`call.wav.json`) and remove the other",
    ),
    Reason.SIDECAR_UNREADABLE: (
        "the sidecar is not valid JSON, cannot be read, or is nested too deeply",
        "write it anew; it is picked up when it changes",
    ),
    Reason.SIDECAR_TOO_LARGE: ("the sidecar is larger than 1 MiB", "write only the call's fields into it"),
    Reason.SIDECAR_INVALID: (
        "fields of the sidecar are unknown or have values the service does not take",
        "mend the named fields; `explain` shows each",
    ),
    Reason.FIELD_MISSING: ("a field of `require` is missing", "add it to the sidecar or to [sources.defaults]"),
    Reason.MEDIA_EMPTY: ("the recording has no bytes, or a header and no audio", "look at the recorder"),
    Reason.MEDIA_INCOMPLETE: (
        "the file stopped growing before its container was complete",
        "finish or replace the file: it is picked up when it changes",
    ),
    Reason.MEDIA_TRUNCATED: ("the file is shorter than its header says", "replace it with a whole copy"),
    Reason.MEDIA_UNKNOWN: ("the content is no audio or video that is known", "replace it, or exclude it"),
    Reason.FILE_UNREADABLE: (
        "the file cannot be read",
        "give the service's user the right to read it; the next full scan picks it up, or `retry`",
    ),
    Reason.FILE_VANISHED: ("the file was gone for a day before it was sent", "put it back: it is picked up"),
    Reason.FILE_OUTSIDE: ("a link leads out of the source", "put the file itself into the source"),
    Reason.SOURCE_CHANGED: ("the file changed while it was being sent", "`retry` once it rests"),
    Reason.SAME_CALL: (
        'another file of a call that the ledger has (`same_call = "hold"`)',
        "`retry` sends it as well, `discard` gives it up",
    ),
    Reason.REFUSED_BY_SERVICE: ("the service refused it for good", "mend what it names, then `retry`"),
    Reason.LOOKING: ("the outcome of a request is unknown; the listing is being searched", "nothing: wait"),
    Reason.NO_PROOF: (
        "the listing has not been shown to display our own submissions",
        "wait, or look in Zoom: `adopt` it, or `retry --send-again`",
    ),
    Reason.SEVERAL_CANDIDATES: (
        "more than one interaction could be this recording",
        "look in Zoom: `adopt` the right one, or `retry --send-again`",
    ),
    Reason.RESEMBLES: (
        "an interaction resembles this recording, but not surely",
        "look in Zoom: `adopt` it, or `retry --send-again`",
    ),
    Reason.FETCHED_UNLISTED: (
        "the service fetched the recording, but its interaction is not listed",
        "wait, or look in Zoom and `adopt` it",
    ),
    Reason.BACKLOG: ("the first scan found more than `backlog_limit`", "look at `list`, then `resume SOURCE`"),
    Reason.SIDECAR_AWAITED: ("waiting for its sidecar", "nothing: wait"),
    Reason.TWIN: ("waits for a recording of the same particulars to be settled", "nothing: wait"),
    Reason.SOURCE_GONE: (
        "its source is not in the configuration any more",
        "configure it again under its name or path, or `discard`",
    ),
    Reason.IN_DOUBT: ("the ledger was restored; it is looked for before it is sent", "nothing: wait"),
    Reason.SAME_RECORDING: (
        "the same recording of the same call is in the ledger",
        "nothing; `retry --new-interaction` sends it a second time",
    ),
    Reason.SETTLED_BEFORE: ("an import found it already settled", "nothing"),
    Reason.OUTSIDE_FILTER: ("outside the filters of the import", "nothing"),
    Reason.DISCARDED: ("a person gave it up", "nothing; `retry --new-interaction` sends it after all"),
}
