"""`explain`: which settings apply, and what is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

MEDIA = Path(__file__).parents[2] / "fixtures" / "media"
SIDECAR = '{"start_time": "2026-11-20T05:00:00", "agent_email": "a@example.com"}'


@pytest.fixture
def call(tmp_path):
    """A recording in the folder of source `branch`; its time has no zone."""
    folder = tmp_path / "branch"
    folder.mkdir()
    (folder / "call.mp3").write_bytes((MEDIA / "plain_stereo.mp3").read_bytes())
    (folder / "call.json").write_text(SIDECAR)
    return folder / "call.mp3"


@pytest.fixture
def zoned(config):
    """The configuration with a zone for source `branch`."""
    text = config.read_text().replace('name = "branch"', 'name = "branch"\ntimezone = "Europe/Berlin"')
    config.write_text(text)
    return config


def test_json_has_what_scripts_read(qm, zoned, call):
    found = qm("explain", "--json", str(call)).json
    assert list(found) == ["recording", "sidecar", "profile", "body", "problems", "notes", "media"]
    assert (found["recording"], found["profile"], found["problems"]) == (str(call), "native", [])
    assert list(found["media"]) == ["format", "codec", "channels", "sample_rate", "duration_seconds"]
    assert found["body"]["start_time"] == "2026-11-20T04:00:00Z"


def test_the_source_it_lies_in_says_how_it_is_read(qm, zoned, call, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    call.parent.rename(elsewhere)
    assert qm("explain", str(elsewhere / "call.mp3")).code == 1
    call.parent.symlink_to(elsewhere)  # the source is reached through a link now, the file by either way
    assert qm("explain", str(elsewhere / "call.mp3")).code == 0
    assert qm("explain", str(call)).code == 0


def test_without_any_configuration_the_native_profile_is_taken(qm, call, monkeypatch):
    monkeypatch.setattr("uploader.settings.load.DEFAULT_PATH", Path("/none/config.toml"))
    call.with_suffix(".json").write_text(SIDECAR.replace('05:00:00"', '05:00:00Z"'))
    assert qm("explain", str(call), config=None).code == 0
    call.with_suffix(".json").unlink()
    ran = qm("explain", "--json", str(call), config=None)
    assert (ran.code, ran.json["body"], ran.json["problems"][0]["field"]) == (1, None, "sidecar")


def test_a_configuration_that_was_named_must_be_there(qm, call, tmp_path):
    assert qm("explain", str(call), config=tmp_path / "none.toml").code == 2


def test_a_configuration_that_this_user_may_not_read_is_done_without(qm, call, config, monkeypatch):
    monkeypatch.setattr("uploader.settings.load.DEFAULT_PATH", config)
    monkeypatch.setattr("os.access", lambda path, mode: mode == 0)
    ran = qm("explain", str(call), config=None)
    assert ran.code == 1
    assert "without it" in ran.err


def test_a_folder_means_every_recording_in_it_and_the_code_tells_of_any(qm, zoned, call):
    (call.parent / "sub").mkdir()
    (call.parent / "sub" / "bare.mp3").write_bytes(call.read_bytes())
    (call.parent / "left.json").write_text("{}")
    ran = qm("explain", str(call.parent))
    assert ran.code == 1
    assert "2 recordings: 1 would be sent, 1 would not." in ran.out
    assert "1 sidecar without a recording" in ran.err
    assert [one["body"] is None for one in qm("explain", "--json", str(call.parent)).lines] == [False, True]


def test_text_traces_each_field_to_where_it_came_from(qm, zoned, call):
    out = qm("explain", str(call)).out
    assert "would be sent" in out
    assert "2026-11-20T04:00:00Z  sidecar  2026-11-20T05:00:00" in out
    assert "voice                 media" in out


def test_nothing_is_written(qm, zoned, call, tmp_path):
    before = sorted((path, path.stat().st_mtime_ns) for path in call.parent.iterdir())
    qm("explain", str(call.parent))
    assert sorted((path, path.stat().st_mtime_ns) for path in call.parent.iterdir()) == before
    assert not (tmp_path / "ledger.db").exists()


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/none/call.wav", "no such file"),
        ("s3://elsewhere/call.wav", "no configured source"),
        ("s3://recordings/other/call.wav", "no configured source"),
        ("s3://", "no S3 URI"),
    ],
)
def test_a_path_that_means_nothing_is_a_usage_error(qm, path, says):
    ran = qm("explain", path)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err


def test_a_wrong_path_among_good_ones_is_named_by_its_place_and_nothing_is_explained(qm, zoned, call):
    ran = qm("explain", str(call), "/none/call.wav")
    assert (ran.code, ran.out) == (2, "")
    assert "PATH 2" in ran.err


def test_an_unknown_profile_is_a_usage_error(qm, call):
    assert qm("explain", "--profile", "unheard", str(call)).code == 2


def test_a_folder_without_recordings_says_so(qm, tmp_path):
    (tmp_path / "branch").mkdir()
    ran = qm("explain", str(tmp_path / "branch"))
    assert (ran.code, ran.out) == (0, "")
    assert "No recordings" in ran.err
