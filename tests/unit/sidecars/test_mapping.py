"""The native profile: from a sidecar's bytes to particulars, or to all that is wrong with it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.interaction import BODY_FIELDS, CHANNEL_TYPES, DIRECTIONS, LANGUAGES, Particulars
from uploader.domain.reasons import Reason
from uploader.domain.recording import MediaKind
from uploader.errors import UsageError
from uploader.sidecars.mapping import FieldTrace, MappingContext, map_sidecar

PLAIN = MappingContext()
FULL = {
    "start_time": "2026-11-20T04:00:00Z",
    "direction": "inbound",
    "disposition": "Sold",
    "primary_language": "de-DE",
    "queue_id": "q-7",
    "channel_type": "voice",
    "agent_email": "agent@example.com",
    "agent_id": "agent-7",
    "consumer_name": "Zoë Müller",
    "from": "+12025550143",
    "to": "+493012345678",
}


def mapped(document=None, *, context=PLAIN, media_kind=MediaKind.AUDIO, **fields):
    data = json.dumps(document if document is not None else fields).encode()
    return map_sidecar(data, context=context, media_kind=media_kind)


def problems(result):
    return {problem.field: problem.message for problem in result.problems}


def notes(result):
    return {note.field: note.message for note in result.notes}


def trace(result, field):
    return next(one for one in result.fields if one.field == field)


def flattened(body):
    return {k: v for k, v in body.items() if k != "interaction_info"} | body.get("interaction_info", {})


TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=256).filter(
    lambda text: text == text.strip() and text
)
WORDS = st.text("abcXYZ019.-_", min_size=1, max_size=60)
NUMBERS = st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True)
TIMES = st.datetimes(datetime(1991, 1, 1), datetime(2200, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
)
PARTICULARS = st.builds(
    Particulars,
    start_time=st.none() | TIMES,
    direction=st.none() | st.sampled_from(DIRECTIONS),
    disposition=st.none() | TEXT,
    primary_language=st.none() | st.sampled_from(LANGUAGES),
    queue_id=st.none() | TEXT,
    channel_type=st.sampled_from(CHANNEL_TYPES),
    agent_email=st.none() | st.builds("{}@{}".format, WORDS, WORDS),
    agent_id=st.none() | WORDS,
    consumer_name=st.none() | TEXT,
    from_=st.none() | NUMBERS,
    to=st.none() | NUMBERS,
)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from([*BODY_FIELDS, "interaction_info", "download_url", "custom", "x_a", "nonsense"])
DOCUMENTS = st.dictionaries(NAMES | st.text(), ANY_JSON | st.dictionaries(NAMES, ANY_JSON), max_size=8)


@given(PARTICULARS, st.sampled_from([None, *MediaKind]))
def test_a_body_written_as_a_sidecar_comes_back_the_same_nested_and_flat(particulars, media_kind):
    body = particulars.body()
    for document in (body, flattened(body)):
        result = mapped(document, media_kind=media_kind)
        assert result.problems == ()
        assert result.particulars == particulars
        assert result.fault is None


@given(DOCUMENTS | ANY_JSON, st.sampled_from([None, *MediaKind]), st.sampled_from(["", "US"]))
def test_whatever_json_comes_in_is_mapped_or_faulted(document, media_kind, region):
    context = MappingContext(timezone="Europe/Berlin", phone_region=region, require=("agent", "from"))
    result = mapped(document, context=context, media_kind=media_kind)
    assert (result.particulars is None) == bool(result.problems)
    assert (result.fault is None) == (not result.problems)
    if result.particulars is not None:
        assert Particulars.from_body(result.particulars.body()) == result.particulars


@given(st.binary(max_size=200))
def test_whatever_bytes_come_in_nothing_is_raised(data):
    result = map_sidecar(data, context=PLAIN, media_kind=None)
    assert (result.particulars is None) == bool(result.problems)


def test_a_full_sidecar_has_every_field_and_nothing_to_say():
    result = mapped(FULL)
    assert flattened(result.particulars.body()) == FULL
    assert (result.problems, result.notes, result.call_id) == ((), (), None)
    assert [one.field for one in result.fields] == list(BODY_FIELDS)
    assert trace(result, "from") == FieldTrace(field="from", value="+12025550143", source="sidecar", raw="+12025550143")


def test_an_empty_object_gives_what_the_medium_tells():
    assert mapped({}).particulars == Particulars(channel_type="voice")
    assert mapped({}, media_kind=MediaKind.VIDEO).particulars == Particulars(channel_type="video")
    assert mapped({}, media_kind=None).particulars == Particulars()
    assert trace(mapped({}), "channel_type").source == "media"


@pytest.mark.parametrize("missing", [None, "", "  \t"])
def test_null_and_empty_count_as_not_given(missing):
    result = mapped(dict.fromkeys(FULL, missing) | {"interaction_info": missing, "download_url": missing})
    assert result.particulars == Particulars(channel_type="voice")


def test_flat_and_nested_may_be_mixed_and_an_equal_field_may_stand_in_both():
    result = mapped(direction="inbound", agent_id="7", interaction_info={"agent_id": " 7", "to": "+12025550143"})
    assert result.particulars == Particulars(direction="inbound", agent_id="7", to="+12025550143", channel_type="voice")


def test_a_field_that_differs_between_flat_and_nested_is_a_problem():
    result = mapped(agent_id="7", interaction_info={"agent_id": "8"})
    assert list(problems(result)) == ["agent_id"]
    assert "twice" in problems(result)["agent_id"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("agnet_email", "agent_email"),
        ("startTime", "start_time"),
        ("Direction", "direction"),
        ("language", "primary_language"),
        ("queue-id", "queue_id"),
        ("interactionInfo", "interaction_info"),
        ("customer_name", "consumer_name"),
    ],
)
def test_an_unknown_field_names_the_nearest_known_one(name, meant):
    result = mapped({name: "x"})
    assert result.fault is Reason.SIDECAR_INVALID
    assert f"the nearest known one is {meant} " in problems(result)[name]
    inside = mapped(interaction_info={name: "x"})
    assert f"interaction_info.{name}" in problems(inside)


def test_own_fields_are_not_looked_at():
    own = {"custom": {"from": 1, "y": [2]}, "x_score": 3, "_id": None}
    assert mapped(own | {"interaction_info": own}).particulars == Particulars(channel_type="voice")


@pytest.mark.parametrize("name", ["+12025550143", "jane@example.com", "Jane Doe", "call_2025550143", "a" * 65])
def test_an_unknown_field_that_may_be_somebodys_is_named_by_its_place(name):
    result = mapped({"direction": "inbound", name: "x"})
    assert list(problems(result)) == ["field 2"]
    assert all(name not in f"{problem.field} {problem.message}" for problem in result.problems)


def test_a_top_field_inside_interaction_info_is_told_where_it_belongs():
    assert "beside interaction_info" in problems(mapped(interaction_info={"direction": "inbound"}))["direction"]


def test_a_download_url_is_refused_as_made_by_this_program():
    for document in ({"download_url": "https://x"}, {"interaction_info": {"download_url": 1}}):
        assert "made by this program" in problems(mapped(document))["download_url"]


@pytest.mark.parametrize("info", [[], "voice", 7, True])
def test_interaction_info_of_another_type_is_a_problem(info):
    assert "object" in problems(mapped(interaction_info=info))["interaction_info"]


def test_thousands_of_unknown_fields_are_counted_not_listed():
    result = mapped({f"nonsense_{chr(97 + n % 26)}{'b' * (n // 26)}": n for n in range(1000)})
    assert len(result.problems) == 21
    assert "980 more" in problems(result)["sidecar"]


@pytest.mark.parametrize("field", BODY_FIELDS)
@pytest.mark.parametrize("value", [7, 7.5, True, [], {}, ["inbound"], {"a": 1}])
def test_a_value_of_the_wrong_type_is_a_problem_of_its_field(field, value):
    result = mapped({field: value})
    assert "must be a string" in problems(result)[field]
    assert result.fault is Reason.SIDECAR_INVALID


@pytest.mark.parametrize("field", BODY_FIELDS)
@pytest.mark.parametrize("character", ["\n", "\x00", "\x1b", "\u2028", "\ud800"])
def test_control_characters_are_a_problem_in_every_field(field, character):
    assert field in problems(mapped({field: f"a{character}b"}))


@pytest.mark.parametrize(
    ("field", "written", "value"),
    [
        ("direction", "Inbound", "inbound"),
        ("direction", "OUTBOUND", "outbound"),
        ("channel_type", "VOICE", "voice"),
        ("primary_language", "de_DE", "de-DE"),
        ("primary_language", "EN-us", "en-US"),
        ("primary_language", "JA", "ja"),
    ],
)
def test_documented_words_are_taken_in_any_case_and_noted(field, written, value):
    result = mapped({field: written})
    assert flattened(result.particulars.body())[field] == value
    assert field in notes(result)


@pytest.mark.parametrize(
    ("field", "value", "part"),
    [
        ("direction", "in", "inbound or outbound"),
        ("direction", "internal", "inbound or outbound"),
        ("channel_type", "audio", "voice or video"),
        ("primary_language", "de", "one of de-DE;"),
        ("primary_language", "zh", "one of zh-CN, zh-HK;"),
        ("primary_language", "en-AU", "one of en-GB, en-US;"),
        ("primary_language", "Klingon", "one of en-GB, en-US, ar,"),
        ("agent_email", "agent", "one @"),
        ("agent_email", "a@b@c", "one @"),
        ("agent_email", "@b", "one @"),
        ("agent_email", "a@", "one @"),
        ("agent_email", "a b@c", "no spaces"),
        ("agent_email", "a\u00a0@c", "no spaces"),
        ("agent_email", "a" * 250 + "@b.de", "254"),
        ("agent_id", "a\u200eb", "invisible"),
        ("agent_id", "a" * 129, "128"),
        ("consumer_name", "a" * 257, "256"),
        ("disposition", "a" * 257, "256"),
        ("queue_id", "a" * 257, "256"),
        ("start_time", "yesterday", "ISO 8601"),
        ("from", "Jane", "E.164"),
    ],
)
def test_a_value_the_service_does_not_take_is_a_problem(field, value, part):
    result = mapped({field: value})
    assert part in problems(result)[field]
    assert result.particulars is None


def test_everything_wrong_is_said_at_once():
    result = mapped(
        direction="sideways", agnet_id="7", start_time="soon", interaction_info={"to": 5, "x": 1}, download_url="u",
        context=MappingContext(require=("agent", "queue_id")),
    )  # fmt: skip
    assert set(problems(result)) == {
        "direction", "agnet_id", "start_time", "to", "interaction_info.x", "download_url", "agent", "queue_id",
    }  # fmt: skip
    assert result.fault is Reason.SIDECAR_INVALID


def test_a_sidecar_that_cannot_be_read_is_one_problem_with_its_reason():
    broken = map_sidecar(b"{", context=PLAIN, media_kind=MediaKind.AUDIO)
    large = map_sidecar(b" " * (1024 * 1024 + 1), context=PLAIN, media_kind=MediaKind.AUDIO)
    assert (broken.fault, [p.field for p in broken.problems]) == (Reason.SIDECAR_UNREADABLE, ["sidecar"])
    assert (large.fault, [p.field for p in large.problems]) == (Reason.SIDECAR_TOO_LARGE, ["sidecar"])


def test_a_number_that_is_left_out_is_noted_and_not_sent():
    result = mapped({"from": "anonymous", "to": "2025550143"})
    assert result.particulars == Particulars(channel_type="voice")
    assert set(notes(result)) == {"from", "to"}
    assert trace(result, "from").raw == "anonymous"


def test_region_and_timezone_of_the_source_are_applied_without_a_note():
    context = MappingContext(timezone="Europe/Berlin", phone_region="DE")
    result = mapped({"from": "030 1234567", "start_time": "2026-11-20T05:00:00"}, context=context)
    assert result.notes == ()
    assert result.particulars.from_ == "+49301234567"
    assert result.particulars.start_time == datetime(2026, 11, 20, 4, tzinfo=UTC)
    assert "phone_region" in trace(result, "from").note


def test_defaults_fill_what_the_sidecar_lacks_and_only_that():
    context = MappingContext(defaults={"primary_language": "en-US", "queue_id": "q-1", "channel_type": "video"})
    result = mapped(queue_id="q-2", context=context)
    assert result.particulars == Particulars(primary_language="en-US", queue_id="q-2", channel_type="video")
    assert trace(result, "primary_language").source == "default"


def test_a_default_does_not_replace_a_number_that_was_left_out():
    context = MappingContext(defaults={"from": "+12025550143"})
    assert mapped({"from": "anonymous"}, context=context).particulars.from_ is None
    assert mapped({}, context=context).particulars.from_ == "+12025550143"


def test_defaults_are_judged_like_a_sidecar_and_named_as_the_culprit():
    result = mapped({}, context=MappingContext(defaults={"direction": "in", "langauge": "en-US"}))
    assert "source's defaults" in problems(result)["direction"]
    assert "1 unknown" in problems(result)["defaults"]


def test_without_a_sidecar_defaults_and_the_medium_are_all_there_is():
    context = MappingContext(defaults={"agent_id": "7"})
    result = map_sidecar(None, context=context, media_kind=MediaKind.AUDIO)
    assert result.particulars == Particulars(agent_id="7", channel_type="voice")


@pytest.mark.parametrize("require", [("start_time",), ("agent",), ("agent_id", "from")])
def test_required_fields_that_are_missing_are_named(require):
    result = mapped(direction="inbound", context=MappingContext(require=require))
    assert tuple(problems(result)) == require
    assert result.fault is Reason.FIELD_MISSING
    nothing = map_sidecar(None, context=MappingContext(require=require), media_kind=MediaKind.AUDIO)
    assert all("no sidecar" in message for message in problems(nothing).values())


@pytest.mark.parametrize("field", ["agent_email", "agent_id"])
def test_either_name_of_the_agent_will_do_where_the_agent_is_required(field):
    context = MappingContext(require=("agent",))
    assert mapped({field: "a@b"}, context=context).problems == ()
    assert mapped({}, context=replace(context, defaults={field: "a@b"})).problems == ()


def test_a_required_field_with_a_bad_value_is_one_problem_not_two():
    result = mapped(direction="in", agent_id=7, context=MappingContext(require=("direction", "agent")))
    assert len(result.problems) == 2
    assert result.fault is Reason.SIDECAR_INVALID


def test_a_required_number_that_was_left_out_is_missing():
    result = mapped({"from": "4060"}, context=MappingContext(require=("from",)))
    assert "left out" in problems(result)["from"]
    assert result.fault is Reason.FIELD_MISSING


def test_a_channel_that_cannot_be_told_is_missing_only_when_its_object_is_sent():
    result = mapped(agent_id="7", media_kind=None)
    assert list(problems(result)) == ["channel_type"]
    assert result.fault is Reason.FIELD_MISSING
    assert mapped(direction="inbound", media_kind=None).particulars == Particulars(direction="inbound")
    required = mapped(agent_id="7", media_kind=None, context=MappingContext(require=("channel_type",)))
    assert len(required.problems) == 1


def test_voice_of_a_film_is_fine_and_video_of_a_sound_is_noted():
    assert mapped(channel_type="voice", media_kind=MediaKind.VIDEO).notes == ()
    result = mapped(channel_type="Video", media_kind=MediaKind.AUDIO)
    assert result.particulars.channel_type == "video"
    assert "no picture" in notes(result)["channel_type"]


def test_what_a_trace_shows_cannot_steer_a_terminal():
    result = mapped(consumer_name="\x1b[2J\ud800" + "a" * 1000, agent_id=["\x07"])
    shown = trace(result, "consumer_name").raw
    assert shown.isprintable()
    assert len(shown) < 400
    assert trace(result, "agent_id").raw.isprintable()


def test_a_profile_that_does_not_exist_is_the_callers_mistake():
    with pytest.raises(UsageError):
        mapped({}, context=MappingContext(profile="nonsuch"))


CANARY = "Canary47110815"
SHAPES = ["{}", "+1202{}", "+1202{}***", "{}@@", "2026-11-20T{}", "{}\n", "de-{}", "tel:{}"]


@pytest.mark.parametrize("field", [*BODY_FIELDS, "interaction_info", "download_url", "nonsense", CANARY])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_sentence_holds_a_value_or_a_name_that_may_be_somebodys(field, shape):
    text = shape.format(CANARY)
    for value in (text, [text], {text: text}, {"from": text, "nonsense": text}):
        whole = json.dumps({field: value, f"{field}{CANARY}": value})
        twice = json.dumps({field: value})[:-1] + f', "{CANARY}": 1, "{CANARY}": 2}}'
        for data in (whole, whole[:-2], whole + "x", twice):
            result = map_sidecar(data.encode(), context=PLAIN, media_kind=None)
            assert result.problems
            assert CANARY not in repr((result.problems, result.notes))


@given(st.sampled_from(BODY_FIELDS), st.text(max_size=10), st.text(max_size=10), st.booleans())
def test_no_sentence_holds_a_value_whatever_stands_around_it(field, before, after, nested):
    document = {field: before + CANARY + after}
    result = mapped({"interaction_info": document} if nested else document)
    assert CANARY not in repr((result.problems, result.notes))
