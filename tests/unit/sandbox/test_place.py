"""The directory of a sandbox: private, and taken up again."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.errors import UsageError
from uploader.sandbox.config import Credentials
from uploader.sandbox.place import Place

NOBODY: dict[str, str | None] = {"account_id": None, "client_id": None, "client_secret": None}


def test_config_is_complete_toml_and_private(tmp_path: Path) -> None:
    place = Place.prepare(tmp_path / "new" / "box")
    text = place.write_config(place.credentials(**NOBODY), url="http://127.0.0.1:8799")
    assert place.config.read_text() == text
    assert place.config.stat().st_mode & 0o777 == 0o600
    read = tomllib.loads(text)
    assert read["zoom"]["api_url"] == "http://127.0.0.1:8799/v2"
    assert read["zoom"]["token_url"] == "http://127.0.0.1:8799/oauth/token"
    assert read["sources"][0]["path"] == str(place.recordings)
    assert place.recordings.is_dir()
    assert read["staging"]["public_url"] == "http://" + read["staging"]["listen"]
    assert read["staging"]["listen"] != read["web"]["listen"]


def test_second_run_takes_up_identity_and_ports(tmp_path: Path) -> None:
    first = Place.prepare(tmp_path)
    text = first.write_config(first.credentials(**NOBODY), url="http://127.0.0.1:1")
    second = Place.prepare(tmp_path)
    assert second.write_config(second.credentials(**NOBODY), url="http://127.0.0.1:1") == text


def test_what_people_changed_is_kept_when_the_sandbox_comes_back_at_another_address(tmp_path: Path) -> None:
    first = Place.prepare(tmp_path)
    text = first.write_config(first.credentials(**NOBODY), url="http://127.0.0.1:1")
    edited = text.replace("500ms", "9s").replace('/v2"\n', '/v2" # mine\n') + "\n[limits]\n# more\n"
    edited += '[other.zoom]\napi_url = "theirs"\n'
    first.config.write_text(edited)
    second = Place.prepare(tmp_path)
    assert second.write_config(second.credentials(**NOBODY), url="http://127.0.0.1:1") == edited
    moved = second.write_config(second.credentials(**NOBODY), url="http://127.0.0.1:2")
    assert moved == edited.replace("http://127.0.0.1:1/", "http://127.0.0.1:2/") == first.config.read_text()
    assert first.config.stat().st_mode & 0o777 == 0o600


def test_a_changed_config_that_has_no_place_for_the_address_is_refused_and_left(tmp_path: Path) -> None:
    first = Place.prepare(tmp_path)
    text = first.write_config(first.credentials(**NOBODY), url="http://127.0.0.1:1")
    edited = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("token_url"))
    first.config.write_text(edited)
    second = Place.prepare(tmp_path)
    with pytest.raises(UsageError, match="address") as refused:
        second.write_config(second.credentials(**NOBODY), url="http://127.0.0.1:1")
    assert "token_url" in (refused.value.hint or "")
    assert first.config.read_text() == edited


def test_a_config_too_large_to_be_kept_whole_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("# Written by `qm-uploader sandbox`\n" + "# more\n" * 10_000)
    with pytest.raises(UsageError, match="too large"):
        Place.prepare(tmp_path)


def test_what_is_given_goes_before_an_earlier_run(tmp_path: Path) -> None:
    first = Place.prepare(tmp_path)
    made = first.credentials(**NOBODY)
    first.write_config(made, url="http://127.0.0.1:1")
    now = Place.prepare(tmp_path).credentials(**NOBODY | {"account_id": "mine"})
    assert (now.account_id, now.client_id, now.client_secret) == ("mine", made.client_id, made.client_secret)


def test_nonsense_in_an_earlier_config_still_gives_an_app_and_ports(tmp_path: Path) -> None:
    text = '# Written by `qm-uploader sandbox`\nzoom = 1\nstaging = {listen = 5}\nweb = {listen = "x:99999"}\n'
    (tmp_path / "config.toml").write_text(text)
    place = Place.prepare(tmp_path)
    assert place.credentials(**NOBODY).account_id.startswith("sandbox-")
    assert place.staging_port != place.web_port


@pytest.mark.parametrize("text", ["[zoom]\n", "\x00", "# Written by `qm-uploader sandbox`\n= nonsense"])
def test_config_of_somebody_else_is_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(UsageError):
        Place.prepare(tmp_path)
    assert (tmp_path / "config.toml").read_text() == text


def test_directory_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError):
        Place.prepare(tmp_path / "file")


def test_name_that_is_not_utf8_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        Place.prepare(tmp_path / "b\udcff")


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_is_quoted_as_toml(text: str) -> None:
    place = Place(directory=Path("/box"), staging_port=1, web_port=2, earlier={})
    given_app = Credentials(account_id=text, client_id="i", client_secret="s")
    assert tomllib.loads(place._toml(given_app, "http://h"))["zoom"]["account_id"] == text
