"""Phone numbers: taken, converted, left out or refused, and never made up."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from uploader.sidecars.numbers import judge_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+12025550143", "+12025550143"),
        ("+1 (202) 555-0143", "+12025550143"),
        ("tel:+1-202-555-0143", "+12025550143"),
        ("TEL:+49.30.1234567", "+49301234567"),
        ("+49\u00a030\u20111234567", "+49301234567"),
        ("+1234567", "+1234567"),
        ("+123456789012345", "+123456789012345"),
    ],
)
def test_an_international_number_is_taken_whatever_separates_its_digits(text, number):
    verdict = judge_number(text, region="")
    assert (verdict.value, verdict.problem, verdict.note) == (number, "", "")


@pytest.mark.parametrize(
    "text", ["+1 202 555 0143 x45", "+12025550143;ext=45", "tel:+12025550143;ext=45", "+12025550143 ext. 45"]
)
def test_an_extension_behind_a_number_is_left_out_and_said_so(text):
    verdict = judge_number(text, region="")
    assert verdict.value == "+12025550143"
    assert "extension" in verdict.note


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("(202) 555-0143", "US", "+12025550143"),
        ("12025550143", "us", "+12025550143"),
        ("(555) 123-4567", "US", "+15551234567"),
        ("011 49 30 1234567", "US", "+49301234567"),
        ("030 1234567", "DE", "+49301234567"),
        ("0049 30 1234567", "DE", "+49301234567"),
        ("030/1234567", "DE", "+49301234567"),
        ("020 7946 0123", "GB", "+442079460123"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("8 912 123-45-67", "RU", "+79121234567"),
        ("612 345 678", "ES", "+34612345678"),
    ],
)
def test_a_national_number_is_converted_for_the_stated_region(text, region, number):
    verdict = judge_number(text, region=region)
    assert (verdict.value, verdict.problem, verdict.note) == (number, "", "")
    assert verdict.remark


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("2025550143", ""),
        ("030 1234567", ""),
        ("0049301234567", ""),
        ("4060", ""),
        ("4060", "US"),
        ("4060", "DE"),
        ("04060", "DE"),
        ("8522001", "US"),
        ("8522001", "DE"),
        ("301234567", "DE"),
        ("00301234567", "DE"),
        ("49301234567", "DE"),
        ("0000000000", "US"),
        ("1111111111", "US"),
        ("911", "US"),
        ("02025550143", "US"),
        ("2025550143", "XX"),
        ("2025550143", "not a region"),
        ("0", "US"),
    ],
)
def test_a_number_that_cannot_be_told_is_left_out_with_a_note(text, region):
    verdict = judge_number(text, region=region)
    assert (verdict.value, verdict.problem) == (None, "")
    assert verdict.note.startswith("left out")


@pytest.mark.parametrize(
    "text",
    ["anonymous", "Restricted", "UNKNOWN", "+1202*****12", "+121****1219", "+1202xxx1234", "XXXX", "****",
     "*67 202 555 0143", "+1202•••0143"],
)  # fmt: skip
def test_a_hidden_or_masked_number_is_left_out_with_a_note(text):
    verdict = judge_number(text, region="US")
    assert (verdict.value, verdict.problem) == (None, "")
    assert verdict.note.startswith("left out")


@pytest.mark.parametrize(
    "text",
    [
        "Jane Doe",
        "sip:4060@example.com",
        "jane@example.com",
        "1-800-FLOWERS",
        "+1202555014312345",
        "+0301234567",
        "+123456",
        "+",
        "++12025550143",
        "+1202555x123",
        "\uff0b\uff11\uff12\uff10\uff12\uff15\uff15\uff15\uff10\uff11\uff14\uff13",
        "٠٣٠١٢٣٤٥٦٧",
        "+49 (0)30 1234567",
        "2" * 65,
        "-",
    ],
)
def test_what_is_no_number_is_a_problem(text):
    verdict = judge_number(text, region="US")
    assert verdict.value is None
    assert verdict.problem
    assert len(text) < 3 or text not in verdict.problem


@given(
    st.text(max_size=70) | st.text("+0123456789 -()x*.;", max_size=24),
    st.sampled_from(["", "US", "DE", "IT", "BR", "HK", "XX"]),
)
def test_whatever_comes_in_is_one_of_taken_left_out_and_refused(text, region):
    verdict = judge_number(text, region=region)
    assert (verdict.value is not None) + bool(verdict.problem) <= 1
    assert verdict.value is None or re.fullmatch(r"\+[1-9][0-9]{6,14}", verdict.value)
    assert verdict.value or verdict.problem or verdict.note


@given(st.text("0123456789", min_size=1, max_size=15), st.sampled_from(["US", "DE", "GB", "FR", "IT", "RU"]))
def test_a_converted_number_ends_in_the_digits_that_were_dialled(digits, region):
    value = judge_number(digits, region=region).value
    if value is not None:
        assert len(value) > len(digits.lstrip("01"))
        assert value.endswith(digits[-6:])
