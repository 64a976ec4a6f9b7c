"""Reason codes: a closed list, each with a sentence and what to do."""

from __future__ import annotations

import re

import pytest

from uploader.domain.reasons import REASONS, Reason


def test_every_reason_has_its_words_and_nothing_else_has():
    assert set(REASONS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_says_what_is_wrong_and_what_to_do_in_one_line_each(reason):
    sentence, remedy = REASONS[reason]
    for text in (sentence, remedy):
        assert text
        assert text == text.strip()
        assert "\n" not in text
        assert not text.endswith(".")
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", reason.value)


@pytest.mark.parametrize("reason", Reason)
def test_its_words_name_no_value(reason):
    assert not re.search(r"[{}%]|\d{3,}", " ".join(REASONS[reason]))
