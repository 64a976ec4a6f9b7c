"""Readers: what is read as a sidecar, and what is refused before it can do harm."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.domain.reasons import Reason
from uploader.errors import RecordingFault
from uploader.sidecars.readers import MAX_DEPTH, MAX_SIDECAR_BYTES, read_json


def refusal(data: bytes) -> RecordingFault:
    with pytest.raises(RecordingFault) as caught:
        read_json(data)
    return caught.value


def nested(levels: int) -> bytes:
    return b'{"custom":' * (levels - 1) + b"{}" + b"}" * (levels - 1)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(st.text(), VALUES, max_size=6), st.booleans(), st.booleans())
def test_what_was_written_as_one_object_is_read_back(document, with_mark, as_ascii):
    text = json.dumps(document, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass")
    mark = b"\xef\xbb\xbf" if with_mark else b""
    assert read_json(mark + text) == document


@given(st.binary(max_size=300) | st.text('{}[]",:\\ntrue1e9.-', max_size=200).map(str.encode))
def test_any_other_bytes_are_refused_as_a_fault_of_the_recording(data):
    try:
        assert isinstance(read_json(data), dict)
    except RecordingFault as fault:
        assert fault.code in (Reason.SIDECAR_UNREADABLE, Reason.SIDECAR_TOO_LARGE)


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b"[]", "one JSON object"),
        (b'"direction"', "one JSON object"),
        (b"null", "one JSON object"),
        (b'{"a": 1,\n "b": 2\n "c": 3}', "line 3, column 2: a comma is missing"),
        (b'{"a": 1,\n}', "line 2"),
        (b"{'a': 1}", "column 2: a field name in double quotes"),
        (b'{"a": inbound}', "a value is missing or not in quotes"),
        (b'{"a": "x\n"}', "a line break or control character"),
        (b'{"a": 1} {"b": 2}', "something follows"),
        (b'{"a": "', "a string is not closed"),
        (b'{"a": "\\q"}', "cannot be read"),
        ('{"a": "b"}'.encode("utf-16"), "UTF-16: write it in UTF-8"),
        ('{"a": "b"}'.encode("utf-32"), "UTF-32: write it in UTF-8"),
        (b'{"a": 1,\n"b": "M\xfcller"}', "not in UTF-8: line 2"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": [-Infinity]}', "Infinity"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "too large"),
        (b'{"a": 0.' + b"1" * 5000 + b"}", "too long"),
        (b'{"direction": 1, "direction": 1}', "direction twice"),
        (b'{"custom": {"a": {"b": 1, "b": 2}}}', "b twice"),
    ],
)
def test_a_sidecar_that_cannot_be_read_says_what_is_wrong(data, part):
    fault = refusal(data)
    assert fault.code == Reason.SIDECAR_UNREADABLE
    assert part in str(fault)


def test_a_name_written_twice_is_not_shown_when_it_may_be_somebodys():
    assert "field 2 twice" in str(refusal(b'{"+12025550143": 1, "+12025550143": 2}'))


def test_a_sidecar_of_exactly_the_limit_is_read_and_one_byte_more_is_not():
    data = b'{"x_": "' + b"a" * (MAX_SIDECAR_BYTES - 10) + b'"}'
    assert len(read_json(data)["x_"]) == MAX_SIDECAR_BYTES - 10
    assert refusal(data + b" ").code == Reason.SIDECAR_TOO_LARGE


def test_nesting_is_read_to_the_limit_and_refused_beyond():
    assert read_json(nested(MAX_DEPTH))
    assert "deeper than 32 levels: line 1" in str(refusal(nested(MAX_DEPTH + 1)))


@pytest.mark.parametrize("escape", [b"", b"\\n", b'\\"', b"\\\\"])
def test_brackets_within_strings_are_no_nesting(escape):
    assert read_json(b'{"a": "' + escape + b"[{" * 100 + escape + b'"}')


def test_refusals_do_not_carry_the_document_along():
    for data in (b'{"a": "secret" "b"}', b'{"a": "secret\xff"}'):
        fault = refusal(data)
        assert fault.__cause__ is None
        assert fault.__suppress_context__


@pytest.mark.parametrize(
    "data",
    [
        b"[" * MAX_SIDECAR_BYTES,
        b'{"a":' * (MAX_SIDECAR_BYTES // 5),
        b'"\\' * (MAX_SIDECAR_BYTES // 2),
        b'{"a": "' + b'\\"' * (MAX_SIDECAR_BYTES // 2 - 10),
        b'{"a": ' + b"1" * (MAX_SIDECAR_BYTES - 7) + b"}",
    ],
)
def test_the_worst_megabyte_is_refused_in_moments(data):
    started = time.process_time()
    refusal(data)
    assert time.process_time() - started < 2
