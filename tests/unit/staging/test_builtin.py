"""Signed URLs: what is signed verifies, everything else is refused."""

from __future__ import annotations

import io
import wave
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.staging.builtin import (
    SELFTEST_NAME,
    SELFTEST_WAV,
    Refusal,
    RefusalReason,
    SelfTest,
    SigningKey,
    SigningKeys,
    Ticket,
    UrlSigner,
)

NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OLD = SigningKey(id="k1", secret=b"o" * 32)
NEW = SigningKey(id="k2", secret=b"n" * 32)
BASE = "https://calls.example.com/qm"


class FakeClock:
    def __init__(self) -> None:
        self.time = NOON

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return 0.0


def signer(keys: SigningKeys | None = None, clock: FakeClock | None = None, base: str = BASE) -> UrlSigner:
    chosen = keys or SigningKeys(current=NEW, older=(OLD,))
    return UrlSigner(base, lambda: chosen, clock or FakeClock())


def parts(url: str) -> tuple[str, str]:
    split = urlsplit(url)
    return split.path.rpartition("/")[2], split.query


@given(
    st.from_regex(r"\A[a-z0-9]{1,64}\Z"),
    st.integers(1, 999_999_999),
    st.sampled_from(["", ".wav", ".mp3", ".m4a", ".opus"]),
    st.floats(1, 7 * 86_400),
)
def test_what_is_signed_verifies_to_what_was_signed(identity, attempt, extension, lifetime) -> None:
    made = signer().sign(identity, attempt, extension, lifetime_seconds=lifetime)
    verdict = signer().verify(*parts(made.url))
    assert verdict == Ticket(recording_id=identity, attempt=attempt, extension=extension, expires_at=made.expires_at)
    assert timedelta(0) <= made.expires_at - NOON - timedelta(seconds=lifetime) <= timedelta(seconds=1)


def test_the_url_has_the_documented_form() -> None:
    split = urlsplit(signer().sign("ab12", 3, ".wav", lifetime_seconds=60).url)
    assert f"{split.scheme}://{split.netloc}{split.path}" == f"{BASE}/recordings/ab12-3.wav"
    query = parse_qs(split.query)
    assert list(query) == ["expires", "key", "signature"]
    assert query["expires"] == [str(int(NOON.timestamp()) + 60)]
    assert query["key"] == ["k2"]


@pytest.mark.parametrize(("base", "prefix"), [(BASE, "/qm"), (BASE + "/", "/qm"), ("https://calls.example.com", "")])
def test_the_path_before_recordings_is_known(base: str, prefix: str) -> None:
    assert signer(base=base).path_prefix == prefix


@pytest.mark.parametrize(
    ("identity", "attempt", "extension"),
    [
        ("", 1, ".wav"),
        ("AB", 1, ".wav"),
        ("a-b", 1, ".wav"),
        ("a/b", 1, ".wav"),
        ("ab", 0, ".wav"),
        ("ab", -1, ".wav"),
        ("ab", 1, "wav"),
        ("ab", 1, ".WAV"),
        ("ab", 1, "./x"),
        ("ab", 1, ".wav?x"),
        ("a" * 65, 1, ".wav"),
        ("selftest", 1, "\n"),
    ],
)
def test_what_a_url_cannot_carry_is_not_signed(identity: str, attempt: int, extension: str) -> None:
    with pytest.raises(ValueError, match="form"):
        signer().sign(identity, attempt, extension, lifetime_seconds=60)


@given(st.data())
def test_any_single_character_altered_is_refused(data) -> None:
    name, query = parts(signer().sign("ab12", 3, ".wav", lifetime_seconds=60).url)
    whole = f"{name}?{query}"
    at = data.draw(st.integers(0, len(whole) - 1))
    by = data.draw(st.characters(codec="ascii").filter(lambda char: char != whole[at]))
    altered = whole[:at] + by + whole[at + 1 :]
    path, _, rest = altered.partition("?")
    assert isinstance(signer().verify(path, rest), Refusal)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "ab13-3.wav"},
        {"name": "ab12-4.wav"},
        {"name": "ab12-03.wav"},
        {"name": "ab12-3.mp3"},
        {"name": "ab12-3"},
        {"name": SELFTEST_NAME},
        {"expires": "1795000000"},
        {"expires": "99999999999999999999"},
        {"expires": "-1"},
        {"expires": "٣"},
        {"expires": ""},
        {"key": "k1"},
        {"key": "k3"},
        {"key": ""},
        {"signature": ""},
        {"signature": "é"},
        {"signature": "A" * 43},
    ],
)
def test_each_part_altered_is_refused(change: dict[str, str]) -> None:
    name, query = parts(signer().sign("ab12", 3, ".wav", lifetime_seconds=60).url)
    fields = {key: value[0] for key, value in parse_qs(query).items()}
    altered = {**fields, **{key: value for key, value in change.items() if key != "name"}}
    verdict = signer().verify(change.get("name", name), urlencode(altered))
    assert isinstance(verdict, Refusal)
    assert verdict.ticket is None


@pytest.mark.parametrize(
    "rewrite",
    [
        lambda query: "",
        lambda query: "a",
        lambda query: query + "&x=1",
        lambda query: query + "&" + query,
        lambda query: "&".join(reversed(query.split("&"))),
        lambda query: query.replace("expires=1", "expires=%31"),
        lambda query: query + "=",
        lambda query: query + "&",
        lambda query: query + "ü",
        lambda query: query + "x" * 5000,
        lambda query: query.replace("expires=", "expires=0"),
    ],
)
def test_a_query_in_another_form_is_refused(rewrite) -> None:
    name, query = parts(signer().sign("ab12", 3, ".wav", lifetime_seconds=60).url)
    assert isinstance(signer().verify(name, rewrite(query)), Refusal)


def test_unused_bits_of_the_last_character_count() -> None:
    name, query = parts(signer().sign("ab12", 3, ".wav", lifetime_seconds=60).url)
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 43 characters carry 258 bits, a signature has 256: three others decode to the same bytes
    twin = alphabet[alphabet.index(query[-1]) ^ 1]
    assert signer().verify(name, query[:-1] + twin) == Refusal(reason=RefusalReason.BAD_SIGNATURE)


def test_a_url_lives_until_its_second_and_no_longer() -> None:
    clock = FakeClock()
    here = signer(clock=clock)
    made = here.sign("ab12", 3, ".wav", lifetime_seconds=60)
    clock.time = made.expires_at - timedelta(microseconds=1)
    assert isinstance(here.verify(*parts(made.url)), Ticket)
    clock.time = made.expires_at
    verdict = here.verify(*parts(made.url))
    assert isinstance(verdict, Refusal)
    assert verdict.reason is RefusalReason.EXPIRED
    assert verdict.ticket is not None
    assert (verdict.ticket.recording_id, verdict.ticket.attempt) == ("ab12", 3)


def test_after_a_rotation_old_urls_verify_and_new_ones_are_signed_by_the_new_key() -> None:
    before = signer(SigningKeys(current=OLD)).sign("ab12", 1, ".wav", lifetime_seconds=60)
    after = signer(SigningKeys(current=NEW, older=(OLD,)))
    assert isinstance(after.verify(*parts(before.url)), Ticket)
    assert "key=k2" in after.sign("ab12", 1, ".wav", lifetime_seconds=60).url


def test_a_key_taken_away_verifies_nothing() -> None:
    before = signer(SigningKeys(current=OLD)).sign("ab12", 1, ".wav", lifetime_seconds=60)
    verdict = signer(SigningKeys(current=NEW)).verify(*parts(before.url))
    assert verdict == Refusal(reason=RefusalReason.UNKNOWN_KEY)


def test_another_secret_under_the_same_id_verifies_nothing() -> None:
    made = signer(SigningKeys(current=OLD)).sign("ab12", 1, ".wav", lifetime_seconds=60)
    other = SigningKeys(current=SigningKey(id="k1", secret=b"x" * 32))
    assert signer(other).verify(*parts(made.url)) == Refusal(reason=RefusalReason.BAD_SIGNATURE)


def test_the_test_path_is_signed_and_is_no_attempt() -> None:
    clock = FakeClock()
    here = signer(clock=clock)
    made = here.sign_selftest(lifetime_seconds=60)
    assert here.verify(*parts(made.url)) == SelfTest(expires_at=made.expires_at)
    assert isinstance(here.verify(SELFTEST_NAME, ""), Refusal)
    clock.time = made.expires_at
    assert here.verify(*parts(made.url)) == Refusal(reason=RefusalReason.EXPIRED)


def test_a_recording_called_selftest_is_not_the_test_path() -> None:
    made = signer().sign("selftest", 1, ".wav", lifetime_seconds=60)
    name, query = parts(made.url)
    assert isinstance(signer().verify(name, query), Ticket)
    assert isinstance(signer().verify(SELFTEST_NAME, query), Refusal)


def test_the_test_recording_is_a_readable_wav_file() -> None:
    with wave.open(io.BytesIO(SELFTEST_WAV)) as audio:
        assert (audio.getframerate(), audio.getnchannels(), audio.getnframes()) == (8000, 1, 800)


def test_no_repr_shows_a_url_or_a_secret() -> None:
    made = signer().sign("ab12", 1, ".wav", lifetime_seconds=60)
    shown = repr(made) + str(made) + repr(SigningKeys(current=NEW, older=(OLD,)))
    assert "signature" not in shown
    assert "http" not in shown
    assert "nnn" not in shown
    assert "ooo" not in shown


@pytest.mark.parametrize(
    ("identity", "secret"), [("", b"x" * 32), ("a b", b"x" * 32), ("a" * 33, b"x" * 32), ("k", b"x" * 31)]
)
def test_a_key_that_is_none_is_not_made(identity: str, secret: bytes) -> None:
    with pytest.raises(ValueError, match="signing key"):
        SigningKey(id=identity, secret=secret)
