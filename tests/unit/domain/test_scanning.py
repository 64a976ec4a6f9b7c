"""What a look at a directory comes to: what came, what went, whose pairing may be another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.pairing import is_sidecar_name, pair
from uploader.domain.recording import Stamp
from uploader.domain.scanning import Total, difference, digest, signed

GONE = Stamp(size_bytes=-1, mtime_ns=0, inode=0)


def concerned(found):
    return found.concerned_by(found.concerns)


def is_audio(name: bytes) -> bool:
    return name.lower().endswith((b".wav", b".mp3"))


def one(version: int = 1) -> Stamp:
    return Stamp(size_bytes=version, mtime_ns=version, inode=1)


def differ(known, found, gone=()):
    return difference(known, found, gone=frozenset(gone), is_recording=is_audio, gone_stamp=GONE)


def test_nothing_differs_where_all_is_as_known():
    found = differ({b"a.wav": one(), b"a.json": one()}, {b"a.wav": one(), b"a.json": one()})
    assert (found.came, found.went, concerned(found)) == ((), (), ())


def test_a_new_and_a_changed_file_came():
    found = differ({b"a.wav": one()}, {b"a.wav": one(2), b"b.wav": one()})
    assert (found.came, found.went) == ((b"a.wav", b"b.wav"), ())


def test_a_file_with_another_inode_came_though_size_and_time_are_the_same():
    found = differ({b"a.wav": one()}, {b"a.wav": Stamp(size_bytes=1, mtime_ns=1, inode=2)})
    assert found.came == (b"a.wav",)


def test_a_name_that_was_not_looked_at_is_not_judged():
    found = differ({b"a.wav": one(), b"a.json": one()}, {})
    assert (found.came, found.went, concerned(found)) == ((), (), ())


def test_a_file_that_is_gone_went_once():
    assert differ({b"a.wav": one()}, {}, gone=[b"a.wav"]).went == (b"a.wav",)
    assert differ({b"a.wav": GONE}, {}, gone=[b"a.wav"]).went == ()
    assert differ({}, {}, gone=[b"a.wav"]).went == ()


def test_a_file_that_is_back_came_though_it_is_the_same():
    assert differ({b"a.wav": GONE}, {b"a.wav": one()}).came == (b"a.wav",)


def test_a_sidecar_that_came_changed_or_went_concerns_its_recording():
    for known, found, gone in (
        ({b"a.wav": one()}, {b"a.wav": one(), b"a.json": one()}, ()),
        ({b"a.wav": one(), b"a.wav.json": one()}, {b"a.wav": one(), b"a.wav.json": one(2)}, ()),
        ({b"a.wav": one(), b"a.json": one()}, {b"a.wav": one()}, (b"a.json",)),
    ):
        assert concerned(differ(known, found, gone)) == (b"a.wav",)


def test_a_recording_that_came_itself_is_not_woken_as_well():
    assert concerned(differ({}, {b"a.wav": one(), b"a.json": one()})) == ()


def test_a_sidecar_of_a_recording_that_is_gone_wakes_nobody():
    assert concerned(differ({b"a.wav": GONE}, {b"a.json": one()})) == ()
    assert concerned(differ({b"a.wav": one()}, {b"a.json": one()}, gone=[b"a.wav"])) == ()


def test_a_peer_that_came_or_went_concerns_the_other_of_its_stem():
    assert concerned(differ({b"a.wav": one()}, {b"a.wav": one(), b"a.mp3": one()})) == (b"a.wav",)
    assert concerned(differ({b"a.wav": one(), b"a.mp3": one()}, {b"a.wav": one()}, [b"a.mp3"])) == (b"a.wav",)


NAMES = st.sampled_from(
    [b"a.wav", b"a.mp3", b"a.json", b"a.wav.json", b"a.mp3.json", b"b.wav", b"b.json", b"a.wav.wav"]
)
STAMPS = st.builds(one, st.integers(1, 3))
DIRECTORY = st.dictionaries(NAMES, STAMPS, max_size=8)


@given(DIRECTORY, DIRECTORY)
def test_every_recording_whose_pairing_changed_came_or_is_concerned(before, after):
    found = differ(before, after, set(before) - set(after))
    for name in after:
        if is_sidecar_name(name):
            continue
        now, then = pair(name, after, is_recording=is_audio), pair(name, before, is_recording=is_audio)
        is_other = now != then or (now.sidecar is not None and before.get(now.sidecar) != after[now.sidecar])
        if name in before and is_other:
            assert name in {*found.came, *concerned(found)}


@given(DIRECTORY, DIRECTORY)
def test_what_is_written_down_differs_no_more(before, after):
    found = differ(before, after, set(before) - set(after))
    known = {**before, **{n: after[n] for n in found.came}, **dict.fromkeys(found.went, GONE)}
    again = differ(known, after, set(known) - set(after))
    assert (again.came, again.went, concerned(again)) == ((), (), ())


@given(DIRECTORY, DIRECTORY)
def test_came_went_and_concerned_do_not_overlap(before, after):
    found = differ(before, after, set(before) - set(after))
    assert not set(found.came) & set(found.went)
    assert not set(concerned(found)) & ({*found.came} | {*found.went})
    assert not any(is_sidecar_name(name) for name in concerned(found))


FILES = st.lists(
    st.tuples(
        st.binary(min_size=1, max_size=9),
        st.builds(
            Stamp, size_bytes=st.integers(0, 2**62), mtime_ns=st.integers(-(2**62), 2**62), inode=st.integers(0, 2**63)
        ),
    ),
    max_size=6,
)


def total_of(files):
    total = Total()
    for name, stamp in files:
        total = total.plus(name, stamp)
    return total


@given(files=FILES, data=st.data())
def test_a_total_is_the_same_in_any_order_and_files_can_be_taken_away_again(files, data):
    total = total_of(files)
    assert total == total_of(data.draw(st.permutations(files)))
    assert total == Total.of(len(files), sum(digest(n, s.size_bytes, s.mtime_ns, s.inode) for n, s in files))
    assert -(2**63) <= total.checksum < 2**63
    for name, stamp in files:
        total = total.minus(name, stamp)
    assert total == Total()


@given(one=FILES, other=FILES)
def test_totals_tell_files_apart(one, other):
    assert (total_of(one) == total_of(other)) == (sorted(one, key=repr) == sorted(other, key=repr))


def test_two_files_that_exchanged_their_names_have_another_total():
    """As they would not, were a digest the sum of one of the name and one of the rest."""
    first, second = Stamp(size_bytes=1, mtime_ns=5, inode=1), Stamp(size_bytes=1, mtime_ns=5, inode=2)
    before, after = [(b"a", first), (b"b", second)], [(b"a", second), (b"b", first)]
    assert total_of(before) != total_of(after)


def test_a_digest_is_the_same_for_ever():
    """Another one would have every file of every ledger compared once."""
    assert digest(b"call.wav", 1, 2, 3) == 11549831387480928881


@pytest.mark.parametrize("value", [2**63, 2**64 - 1, 13_569_465_600_000_000_000, -1, 2**80 + 5])
def test_numbers_beyond_what_a_database_keeps_count_by_their_low_bits(value):
    """Inodes that are hashes, and files dated in the year 2400: one of them ended the scan, and with it the daemon."""
    kept = signed(value)
    assert -(2**63) <= kept < 2**63
    assert (kept - value) % 2**64 == 0
    assert digest(b"a", 1, value, value) == digest(b"a", 1, kept, kept)
