"""What is kept packed comes back as it was, and is smaller."""

from __future__ import annotations

import hashlib
import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.identity import call_key
from uploader.domain.interaction import Particulars, parse_time
from uploader.ledger.ids import ALPHABET, LENGTH, SPAN, new_id, numbers
from uploader.ledger.packing import content_key, pack, pack_hash, pack_key, unpack, unpack_hash, unpack_key

HASH = st.binary(min_size=16, max_size=16).map(bytes.hex)
KEYS = st.one_of(
    st.none(),
    st.text(),
    HASH.map("id:{}".format),
    st.builds("at:{}.{}.{}".format, HASH, HASH | st.just(""), HASH | st.just("")),
    st.builds("at:{}.{}.{}".format, HASH | st.just(""), HASH | st.text(max_size=3), st.text(max_size=40)),
)


@given(st.one_of(st.none(), st.text(), st.text(alphabet=st.characters(), min_size=5000, max_size=6000)))
def test_a_document_comes_back_as_it_was(document):
    assert unpack(pack(document)) == document


@given(KEYS)
def test_a_call_s_key_comes_back_as_it_was(key):
    assert unpack_key(pack_key(key)) == key


@given(KEYS, KEYS)
def test_keys_are_equal_exactly_when_they_were(one, other):
    assert (pack_key(one) == pack_key(other)) == (one == other)


@given(st.one_of(st.none(), HASH, st.text(), st.text(alphabet=string.hexdigits, min_size=30, max_size=34)))
def test_a_hash_comes_back_as_it_was(text):
    assert unpack_hash(pack_hash(text)) == text


@given(st.text(), st.text())
def test_contents_of_other_names_are_other_contents(one, other):
    assert (content_key(one) == content_key(other)) == (one == other)


def test_a_content_that_is_known_by_its_sha256_is_the_same_wherever_it_was_read():
    digest = hashlib.sha256(b"audio").digest()
    assert content_key(f"sha256:{digest.hex()}") == digest
    assert content_key(f"SHA256:{digest.hex()}") != digest


def test_an_ordinary_body_takes_less_than_half():
    particulars = Particulars(
        start_time=parse_time("2026-11-20T04:00:00Z"), direction="inbound", channel_type="voice",
        agent_email="some.body@contact-center.example.com", from_="+493012345678", to="+12025550123",
    )  # fmt: skip
    body = json.dumps(particulars.body(), separators=(",", ":"))
    packed = pack(body)
    assert packed is not None
    assert len(packed) < len(body) / 2
    key = call_key(None, particulars)
    assert len(pack_key(key) or "") == 49


@given(st.integers(1, 1 << 32), st.integers(1, LENGTH))
def test_the_beginning_of_an_id_leads_to_its_number(n, length):
    first, step = numbers(new_id(n)[:length]) or (0, 0)
    assert (n - first) % step == 0
    assert 0 <= first < step <= SPAN


def test_ids_of_neighbours_begin_differently():
    assert len({new_id(n)[:4] for n in range(1, 5000)}) == 4999
    assert len({new_id(n)[0] for n in range(1, 33)}) == 32


def test_what_no_id_begins_with_leads_nowhere():
    assert numbers("") is None
    assert numbers("i") is None
    assert numbers("0" * (LENGTH + 1)) is None
    assert numbers("Ä") is None
    assert numbers("0000u") is not None, "beyond the fourth the row itself tells"


@pytest.mark.parametrize("character", ALPHABET)
def test_one_character_is_enough_to_begin_with(character):
    first, step = numbers(character) or (0, 0)
    assert step == len(ALPHABET)
    assert new_id(first + step).startswith(character)
