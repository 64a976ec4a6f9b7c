"""A discovered recording becomes ready, or waits, or is quarantined, or is a duplicate."""

from __future__ import annotations

import json
import os

import pytest

from tests.unit.ledger.kit import DAY_MS
from tests.unit.pipeline.bench import CALL, call, wave
from uploader.domain.identity import SameCall
from uploader.domain.recording import State
from uploader.errors import SourceUnavailable
from uploader.pipeline.spec import SidecarPolicy

OPTIONAL, NONE = SidecarPolicy.OPTIONAL, SidecarPolicy.NONE


def test_a_recording_that_rests_with_its_sidecar_is_ready(bench):
    row = bench.take_in(bench.rested())
    assert row.state is State.READY
    assert json.loads(row.body)["interaction_info"] == CALL["interaction_info"] | {"channel_type": "voice"}
    assert (row.sidecar, row.content_id) == (b"a.wav.json", f"sha256:{row.sha256.hex()}")
    assert row.claimed is not None


def test_a_file_that_has_just_come_rests_first(bench):
    row = bench.take_in(bench.drop("a.wav", CALL))
    assert (row.state, row.due_at, row.claimed) == (State.DISCOVERED, bench.now + 2000, None)


def test_a_file_that_grows_rests_anew_each_time(bench):
    row = bench.rested()
    for size in (0.6, 0.7, 0.8):
        bench.write("a.wav", wave(size))
        row = bench.take_in(row)
        assert (row.state, row.stamped_at) == (State.DISCOVERED, bench.now)
        assert row.due_at == bench.now + 2000
        bench.clock.advance(2)
    assert bench.take_in(row).state is State.READY


def test_without_settling_a_file_is_taken_at_once(bench):
    assert bench.take_in(bench.drop("a.wav", CALL), settle_seconds=0.0).state is State.READY


def test_an_old_mtime_is_no_rest(bench):
    bench.write("a.wav.json", CALL)
    bench.write("a.wav", wave(), age=10**6)
    assert bench.take_in(bench.see("a.wav")).state is State.DISCOVERED


def test_what_is_quiet_but_incomplete_waits_then_is_quarantined_then_is_taken_when_it_is_finished(bench):
    whole = wave()
    row = bench.take_in(bench.rested(audio=whole[:-100]))
    assert (row.state, row.reason_code) == (State.DISCOVERED, "media_incomplete")
    assert row.due_at == row.stamped_at + 900_000
    bench.clock.advance(901)
    row = bench.take_in(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "media_truncated")
    bench.write("a.wav", whole)
    row = bench.see("a.wav")
    assert row.state is State.DISCOVERED
    bench.clock.advance(3)
    assert bench.take_in(row).state is State.READY


@pytest.mark.parametrize(("content", "code"), [(b"", "media_empty"), (b"%PDF-1.4" + b"x" * 500, "media_unknown")])
def test_what_is_no_recording_is_quarantined(bench, content, code):
    row = bench.take_in(bench.rested(audio=content))
    if row.state is State.DISCOVERED:
        bench.clock.advance(901)
        row = bench.take_in(row)
    assert (row.state, row.reason_code, row.due_at) == (State.QUARANTINED, code, None)


def test_an_import_does_not_wait_for_what_is_incomplete(bench):
    row = bench.take_in(bench.drop("a.wav", CALL, audio=wave()[:-100]), is_import=True)
    assert row.state is State.QUARANTINED


def test_a_required_sidecar_is_waited_for_then_missed_then_taken(bench):
    row = bench.take_in(bench.rested("a.wav", None))
    assert (row.state, row.reason_code, row.due_at) == (State.DISCOVERED, "sidecar_awaited", row.stamped_at + 900_000)
    bench.clock.advance(901)
    row = bench.take_in(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "sidecar_missing")
    bench.write("a.json", CALL)
    bench.kit.record(wake=(b"a.wav",), directory=os.fsencode(bench.folder))
    row = bench.row(row)
    assert (row.state, row.due_at) == (State.DISCOVERED, bench.now)
    assert bench.take_in(row).state is State.READY


def test_a_sidecar_that_comes_while_it_is_waited_for_is_taken_at_once(bench):
    row = bench.take_in(bench.rested("a.wav", None))
    bench.write("a.json", CALL)
    bench.kit.record(wake=(b"a.wav",), directory=os.fsencode(bench.folder))
    assert bench.row(row).due_at == bench.now
    assert bench.take_in(row).state is State.READY


def test_an_optional_sidecar_is_waited_for_then_done_without(bench):
    row = bench.take_in(bench.rested("a.wav", None), sidecar=OPTIONAL)
    assert (row.state, row.reason_code) == (State.DISCOVERED, "sidecar_awaited")
    bench.clock.advance(901)
    row = bench.take_in(row, sidecar=OPTIONAL)
    assert (row.state, json.loads(row.body)) == (State.READY, {"interaction_info": {"channel_type": "voice"}})
    assert row.reason_code is None


def test_without_sidecars_none_is_read_and_none_waited_for(bench):
    bench.write("a.wav.json", b"not even JSON")
    row = bench.take_in(bench.rested("a.wav", None), sidecar=NONE)
    assert (row.state, row.sidecar) == (State.READY, None)


def test_a_sidecar_that_is_half_written_is_left_to_rest(bench):
    row = bench.rested("a.wav", None)
    bench.write("a.wav.json", CALL, age=0.5)
    row = bench.take_in(row)
    assert (row.state, row.due_at) == (State.DISCOVERED, bench.now + 1500)
    bench.clock.advance(1.5)
    assert bench.take_in(row).state is State.READY


def test_a_sidecar_from_the_future_is_no_reason_to_wait(bench):
    row = bench.rested("a.wav", None)
    bench.write("a.wav.json", CALL, age=-3600)
    assert bench.take_in(row).state is State.READY


@pytest.mark.parametrize(
    ("sidecar", "code"),
    [
        (b"{", "sidecar_unreadable"),
        (b"[" * 100_000, "sidecar_unreadable"),
        (b"{}" + b" " * 1_100_000, "sidecar_too_large"),
        (b'{"start_tme": 1}', "sidecar_invalid"),
        (b'{"direction": "sideways"}', "sidecar_invalid"),
    ],
)
def test_a_sidecar_that_says_nonsense_is_the_recordings_own_fault(bench, sidecar, code):
    bench.write("a.wav.json", sidecar)
    row = bench.take_in(bench.rested("a.wav", None))
    assert (row.state, row.reason_code) == (State.QUARANTINED, code)
    assert row.reason
    assert row.sidecar == b"a.wav.json"


def test_two_sidecars_are_ambiguous(bench):
    bench.write("a.json", CALL)
    row = bench.take_in(bench.rested())
    assert (row.state, row.reason_code) == (State.QUARANTINED, "sidecar_ambiguous")


def test_a_file_that_is_gone_is_waited_for_a_day(bench):
    row = bench.rested()
    bench.path("a.wav").unlink()
    row = bench.take_in(row)
    assert (row.state, row.due_at) == (State.DISCOVERED, bench.now + 3_600_000)
    bench.clock.advance(23 * 3600)
    assert bench.take_in(row).state is State.DISCOVERED
    bench.clock.advance(2 * 3600)
    row = bench.take_in(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "file_vanished")


def test_a_file_that_waited_for_days_before_it_was_gone_is_waited_for_a_day_too(bench):
    """It is the day without it that counts, not the days that it lay there."""
    row = bench.rested()
    bench.clock.advance(3 * DAY_MS / 1000)
    bench.path("a.wav").unlink()
    row = bench.take_in(row)
    assert row.state is State.DISCOVERED
    bench.clock.advance(23 * 3600)
    row = bench.take_in(row)
    assert row.state is State.DISCOVERED
    bench.clock.advance(2 * 3600)
    assert bench.take_in(row).reason_code == "file_vanished"


def test_a_file_that_was_gone_and_is_back_is_taken(bench):
    row = bench.rested()
    away = bench.path("a.wav").rename(bench.folder.parent / "away")
    row = bench.take_in(row)
    bench.clock.advance(3600)
    away.rename(bench.path("a.wav"))
    row = bench.take_in(row)
    bench.clock.advance(3)
    row = row if row.state is State.READY else bench.take_in(row)
    assert (row.state, row.reason_code) == (State.READY, None)


def test_in_an_import_what_is_gone_is_gone(bench):
    row = bench.drop("a.wav", CALL)
    bench.path("a.wav").unlink()
    assert bench.take_in(row, is_import=True).reason_code == "file_vanished"


def test_when_the_root_is_out_of_reach_nothing_is_judged(bench):
    row = bench.rested()
    bench.folder.rename(bench.folder.with_name("unmounted"))
    with pytest.raises(SourceUnavailable):
        bench.take_in(row)
    assert bench.row(row).state is State.DISCOVERED


def test_a_link_that_leads_out_of_the_source_is_refused(bench):
    outside = bench.folder.parent / "outside.wav"
    outside.write_bytes(wave())
    bench.path("a.wav").symlink_to(outside)
    bench.write("a.wav.json", CALL)
    row = bench.see("a.wav")
    bench.clock.advance(3)
    row = bench.take_in(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "file_outside")


def test_a_folder_that_became_a_link_out_of_the_source_is_refused(bench):
    """Not the last part of the path only: any of them may lead out."""
    inside, outside = bench.folder / "sub", bench.folder.parent / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "a.wav").write_bytes(wave())
        (folder / "a.wav.json").write_text(json.dumps(CALL))
    bench.clock.advance(3600)
    row = bench.see("sub/a.wav")
    inside.rename(bench.folder.parent / "was")
    inside.symlink_to(outside)
    for _ in range(3):
        bench.clock.advance(30)
        if row.state is State.DISCOVERED:
            row = bench.take_in(row)
    assert (row.state, row.reason_code) == (State.QUARANTINED, "file_outside")


def test_a_sidecar_that_is_a_link_out_of_the_source_is_refused(bench):
    outside = bench.folder.parent / "outside.json"
    outside.write_text(json.dumps(CALL))
    bench.path("a.wav.json").symlink_to(outside)
    row = bench.take_in(bench.rested("a.wav", None))
    assert (row.state, row.reason_code) == (State.QUARANTINED, "file_outside")


def test_a_link_inside_the_source_is_taken(bench):
    bench.write("real.bin", wave())
    bench.path("a.wav").symlink_to("real.bin")
    bench.write("a.wav.json", CALL)
    row = bench.see("a.wav")
    bench.clock.advance(3)
    assert bench.take_in(row).state is State.READY


def test_the_same_recording_of_the_same_call_is_a_duplicate_of_the_first(bench):
    first = bench.take_in(bench.rested("a.wav", CALL, audio=wave()))
    second = bench.take_in(bench.rested("b.wav", CALL, audio=wave()))
    assert (second.state, second.duplicate_of, second.reason_code) == (State.DUPLICATE, first.n, "same_recording")


def test_the_same_bytes_of_another_call_are_sent(bench):
    bench.take_in(bench.rested("a.wav", call(1), audio=wave()))
    assert bench.take_in(bench.rested("b.wav", call(2), audio=wave())).state is State.READY


def test_the_same_bytes_of_a_call_that_is_not_known_are_a_duplicate(bench):
    bench.take_in(bench.rested("a.wav", call(1), audio=wave()))
    row = bench.take_in(bench.rested("b.wav", None, audio=wave()), sidecar=NONE)
    assert row.state is State.DUPLICATE


@pytest.mark.parametrize(
    ("policy", "state", "code"),
    [
        (SameCall.HOLD, State.QUARANTINED, "same_call"),
        (SameCall.SEND, State.READY, None),
        (SameCall.DUPLICATE, State.DUPLICATE, "same_recording"),
    ],
)
def test_another_file_of_a_call_that_the_ledger_has_is_for_the_policy(bench, policy, state, code):
    bench.take_in(bench.rested("a.wav", CALL, audio=wave(tone=1)))
    row = bench.take_in(bench.rested("b.wav", CALL, audio=wave(tone=2)), same_call=policy)
    assert (row.state, row.reason_code) == (state, code)


def test_a_file_that_is_renamed_while_it_waits_is_sent_under_its_new_name(bench):
    first = bench.staged("a.wav", CALL, audio=wave())
    bench.path("a.wav").rename(bench.path("b.wav"))
    bench.path("a.wav.json").rename(bench.path("b.wav.json"))
    second = bench.see("b.wav")
    bench.clock.advance(3)
    second = bench.take_in(second)
    sent = bench.send(bench.row(first))
    assert (sent.state, sent.location) == (State.SUBMITTED, second.location)
    assert (bench.row(second).state, bench.row(second).duplicate_of) == (State.DUPLICATE, first.n)
    assert len(bench.service.requests) == 1


@pytest.mark.parametrize("manner", ["ok", "lost"])
def test_a_file_that_is_renamed_after_it_was_sent_is_a_duplicate(bench, manner):
    first = bench.send(bench.staged("a.wav", CALL, audio=wave()), manner)
    bench.path("a.wav").rename(bench.path("b.wav"))
    bench.path("a.wav.json").rename(bench.path("b.wav.json"))
    second = bench.see("b.wav")
    bench.clock.advance(3)
    second = bench.take_in(second)
    assert (second.state, second.duplicate_of) == (State.DUPLICATE, first.n)
    assert bench.row(first).state is not State.DUPLICATE


def test_a_file_that_changes_while_it_is_read_is_looked_at_again(bench):
    row = bench.kit.claim(bench.rested())
    place = bench.place

    class Changing:
        def __getattr__(self, name):
            return getattr(place, name)

        def content_id(self, location, stamp):
            bench.write("a.wav", wave(0.9))
            return place.content_id(location, stamp)

    bench.intake.step(row, bench.spec(), Changing())
    after = bench.row(row)
    assert (after.state, after.claimed) == (State.DISCOVERED, None)
    assert after.due_at > bench.now


def test_a_recording_that_is_no_longer_ours_is_left_alone(bench):
    from uploader.errors import RowMoved

    row = bench.kit.claim(bench.rested())
    bench.kit.record(b"a.wav", directory=os.fsencode(bench.folder), version=9)
    with pytest.raises(RowMoved):
        bench.intake.step(row, bench.spec(), bench.place)
    assert bench.row(row).state is State.DISCOVERED


def test_no_reason_names_a_value(bench):
    secret = "+14155559999"
    bench.write(
        "a.wav.json", json.dumps({"direction": secret, secret: secret, "interaction_info": {"to": secret}}).encode()
    )
    row = bench.take_in(bench.rested("a.wav", None))
    assert row.state is State.QUARANTINED
    assert "9999" not in str([one.detail for one in bench.ledger.recordings.history(row.n)]) + str(row.reason)
