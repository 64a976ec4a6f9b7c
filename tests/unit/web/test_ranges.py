"""Which bytes answer a request."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.web.ranges import NOTHING, Selection, Span, select

ETAG = '"abc"'


def chosen(
    *ranges: str,
    size: int = 100,
    if_range: str | None = None,
    if_match: str | None = None,
    if_none_match: str | None = None,
) -> Selection:
    return select(
        size_bytes=size,
        etag=ETAG,
        ranges=ranges,
        if_range=if_range,
        if_match=if_match,
        if_none_match=if_none_match,
    )


@pytest.mark.parametrize(
    ("header", "status", "first", "last"),
    [
        ("bytes=0-0", 206, 0, 0),
        ("bytes=0-99", 206, 0, 99),
        ("bytes=0-", 206, 0, 99),
        ("bytes=99-", 206, 99, 99),
        ("bytes=10-19", 206, 10, 19),
        ("bytes=10-999", 206, 10, 99),
        ("bytes=-1", 206, 99, 99),
        ("bytes=-100", 206, 0, 99),
        ("bytes=-1000", 206, 0, 99),
        ("Bytes = 5-6 ", 206, 5, 6),
        ("bytes=100-", 416, 0, -1),
        ("bytes=100-200", 416, 0, -1),
        ("bytes=-0", 416, 0, -1),
        ("bytes=6-5", 200, 0, 99),
        ("bytes=-", 200, 0, 99),
        ("bytes=", 200, 0, 99),
        ("bytes=0-1,5-6", 200, 0, 99),
        ("bytes=a-b", 200, 0, 99),
        ("bytes=0x1-2", 200, 0, 99),
        ("bytes=٣-٤", 200, 0, 99),
        ("items=0-1", 200, 0, 99),
        ("bytes=0-" + "9" * 19, 206, 0, 99),
        ("bytes=0-" + "9" * 5000, 200, 0, 99),
    ],
)
def test_one_range_header(header: str, status: int, first: int, last: int) -> None:
    assert chosen(header) == Selection(status=status, span=Span(first=first, last=last))


@given(st.integers(1, 500), st.data())
def test_a_valid_range_selects_exactly_its_slice(size: int, data) -> None:
    first = data.draw(st.integers(0, size - 1))
    last = data.draw(st.integers(first, 2 * size))
    content = bytes(index % 251 for index in range(size))
    found = chosen(f"bytes={first}-{last}", size=size)
    assert found.status == 206
    assert content[found.span.first : found.span.last + 1] == content[first : last + 1]
    assert found.span.length == len(content[first : last + 1])


@given(st.integers(0, 500), st.text(max_size=40))
def test_whatever_the_header_the_span_lies_in_the_file(size: int, text: str) -> None:
    found = chosen("bytes=" + text, size=size)
    assert found.status in {200, 206, 416}
    assert 0 <= found.span.first <= found.span.last + 1 <= size


@given(st.integers(1, 500), st.integers(1, 1000))
def test_a_suffix_selects_the_end(size: int, length: int) -> None:
    found = chosen(f"bytes=-{length}", size=size)
    assert (found.status, found.span.last, found.span.length) == (206, size - 1, min(size, length))


@pytest.mark.parametrize("header", ["bytes=0-0", "bytes=0-", "bytes=-1"])
def test_an_empty_file_satisfies_no_range(header: str) -> None:
    assert chosen(header, size=0) == Selection(status=416, span=NOTHING)


def test_no_range_and_two_range_headers_give_the_whole() -> None:
    assert chosen().status == 200
    assert chosen("bytes=0-1", "bytes=5-6") == Selection(status=200, span=Span(first=0, last=99))


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ({"if_range": ETAG}, 206),
        ({"if_range": '"other"'}, 200),
        ({"if_range": "W/" + ETAG}, 200),
        ({"if_range": "Fri, 20 Nov 2026 04:00:00 GMT"}, 200),
        ({"if_match": ETAG}, 206),
        ({"if_match": "*"}, 206),
        ({"if_match": '"x", ' + ETAG}, 206),
        ({"if_match": '"x"'}, 412),
        ({"if_match": "W/" + ETAG}, 412),
        ({"if_none_match": ETAG}, 304),
        ({"if_none_match": "W/" + ETAG}, 304),
        ({"if_none_match": "*"}, 304),
        ({"if_none_match": '"x"'}, 206),
        ({"if_match": ETAG, "if_none_match": '"x"'}, 206),
        ({"if_match": ETAG, "if_none_match": ETAG}, 304),
    ],
)
def test_conditions_come_before_the_range(conditions: dict[str, str], status: int) -> None:
    assert chosen("bytes=0-1", **conditions).status == status
