"""What is beside a name that changed is found without looking at all names of a folder."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.pairing import by_stem, near, recordings_of
from uploader.domain.recording import Stamp
from uploader.domain.scanning import difference

GONE = Stamp(size_bytes=-1, mtime_ns=0, inode=0)
NAMES = st.lists(st.sampled_from([b"a", b".a", b"json"]), min_size=1, max_size=3).flatmap(
    lambda parts: st.sampled_from([b".".join(parts) + end for end in (b"", b".wav", b".json", b".wav.json", b".JSON")])
)


def is_audio(name: bytes) -> bool:
    return name.endswith((b".wav", b".a")) or b"." not in name


@given(changed=NAMES, names=st.frozensets(NAMES))
def test_what_is_near_is_all_that_the_pairing_of_a_name_turns_on(changed, names):
    among_all = recordings_of(changed, names, is_recording=is_audio)
    assert recordings_of(changed, near(changed, by_stem(names)), is_recording=is_audio) == among_all


def test_a_large_folder_is_compared_in_steps_that_grow_with_its_files_only():
    asked = 0

    def is_recording(name: bytes) -> bool:
        nonlocal asked
        asked += 1
        return name.endswith(b".wav")

    found = {b"%06d%s" % (n, end): GONE for n in range(2000) for end in (b".wav", b".wav.json")}
    change = difference({}, found, gone=frozenset(), is_recording=is_recording, gone_stamp=GONE)
    assert len(change.came) == 4000
    assert asked < 20 * len(found)
