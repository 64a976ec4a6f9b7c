"""What list and detail show of an interaction, in the documented fields. Pure.

Scores, transcript and texts are there once it is analysed, never before. They are made from the
recording's checksum: the same recording is always judged the same. The duration is an estimate by
size (8 kHz, 16 bit, mono) and in minutes, as documented for both answers.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from uploader.sandbox import times
from uploader.sandbox.interaction import Fetch, Interaction

_BYTES_PER_SECOND = 16_000
_MAX_ESTIMATE_SECONDS = 24 * 3600
_CHANNELS = {"voice": "AUDIO", "video": "VIDEO"}
_SHOWN_INFO = ("from", "to", "consumer_name")
_SHOWN_TOP = ("queue_id", "direction")


def channel_of(interaction: Interaction) -> str:
    """Return the channel in the words of the answers; without one it is taken for audio."""
    return _CHANNELS[_info(interaction).get("channel_type", "voice")]


def language_of(interaction: Interaction, now: datetime) -> str | None:
    """Return the short language code: as sent, else `en`, detected by the analysis."""
    sent = interaction.body.get("primary_language")
    if sent:
        return str(sent).partition("-")[0]
    return "en" if interaction.is_analyzed(now) else None


def list_item(interaction: Interaction, now: datetime) -> dict[str, Any]:
    """Return one entry of the listing."""
    item = _common(interaction)
    if "disposition" in interaction.body:
        item["disposition"] = interaction.body["disposition"]
    language = language_of(interaction, now)
    if language:
        item["primary_language"] = language
    item["summary"] = {}
    recording = interaction.recording()
    if recording and interaction.is_analyzed(now):
        item |= {"silence_event_count": 0, "crosstalk_event_count": 0, "hold_event_count": 0}
        item["summary"] = _scores(recording)
    return item


def detail(interaction: Interaction, now: datetime) -> dict[str, Any]:
    """Return the detail of one interaction."""
    shown = _common(interaction)
    language = language_of(interaction, now)
    if language:
        shown["language"] = language
    recording = interaction.recording()
    if recording is None or not interaction.is_analyzed(now):
        return shown
    return shown | {
        "summary": _scores(recording),
        "interaction_summary": "The sandbox has fetched the recording and made up this summary.",
        "analysis": {
            "good_questions": [],
            "indicators": [],
            "next_steps": [{"next_step": "Submit the same to a real account."}],
            "topics": [{"topic_name": "Sandbox", "type": "predefined"}],
        },
        "metrics": {},
        "crosstalk_events": [],
        "hold_events": [],
        "silence_events": [],
        "transcript_body": _transcript(interaction, recording, language or "en"),
    }


def _info(interaction: Interaction) -> dict[str, Any]:
    info: dict[str, Any] = interaction.body.get("interaction_info", {})
    return info


def _common(interaction: Interaction) -> dict[str, Any]:
    sent = _info(interaction)
    info = {"interaction_id": interaction.interaction_id, "channel_type": channel_of(interaction)}
    info |= {name: sent[name] for name in _SHOWN_INFO if name in sent}
    if sent.get("agent_email"):
        info["agent_name"] = str(sent["agent_email"]).partition("@")[0]
    shown: dict[str, Any] = {
        "interaction_info": info | {"associated_ids": [], "evaluations": []},
        "start_time": times.show(interaction.start_time),
        "screen_recording_status": "UNAVAILABLE",
    }
    shown |= {name: interaction.body[name] for name in _SHOWN_TOP if name in interaction.body}
    recording = interaction.recording()
    if recording:
        shown["duration"] = round(_seconds(recording) / 60, 2)
    return shown


def _seconds(recording: Fetch) -> float:
    return min(recording.size_bytes / _BYTES_PER_SECOND, _MAX_ESTIMATE_SECONDS)


def _scores(recording: Fetch) -> dict[str, float]:
    digest = bytes.fromhex(recording.sha256 or "00" * 32)
    return {"sentiment_score": 40 + digest[0] % 60, "engagement_score": 40 + digest[1] % 60}


def _transcript(interaction: Interaction, recording: Fetch, language: str) -> dict[str, Any]:
    seconds = _seconds(recording)
    email = str(_info(interaction).get("agent_email", ""))
    left = datetime.max.replace(tzinfo=UTC) - interaction.start_time
    end = interaction.start_time + min(timedelta(seconds=seconds), left)
    return {
        "language": language,
        "recording_start": times.show(interaction.start_time),
        "recording_end": times.show(end),
        "items": [
            {
                "item_id": "1",
                "speaker_id": "1",
                "start_time": "00:00:00.000",
                "end_time": _clock_face(seconds),
                "text": "This is what the sandbox heard.",
            }
        ],
        "speakers": [
            {
                "speaker_id": "1",
                "zoom_user_id": str(_info(interaction).get("agent_id", "")),
                "email_address": email,
                "username": email.partition("@")[0],
                "role": "rep",
            }
        ],
    }


def _clock_face(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
