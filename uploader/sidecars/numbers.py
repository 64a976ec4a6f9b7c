"""Phone numbers: what a recorder wrote, to E.164 or to nothing.

Never invents a digit (promise 3): an extension, a masked or a hidden number is left out, and a national one
is converted only for a stated region, where it is a whole national number of that region beyond doubt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from uploader.sidecars.verdict import Verdict

if TYPE_CHECKING:
    from phonenumbers import PhoneMetadata

MAX_CHARACTERS = 64

_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_DIGITS = re.compile(r"[0-9]+")
_SEPARATORS = re.compile(r"[ /\u00a0\u2007\u2009\u202f.\-\u2010\u2011\u2012\u2013()]")
_MASKED = re.compile(r"[+0-9 .()\-]*(?:[*#\u2022]|[xX]{2})[+0-9 .()\-*#\u2022xX]*")
_EXTENSION = re.compile(r"(?:;ext=|\s+(?:ext\.?|extension|x)\s*)[0-9]{1,11}$", re.IGNORECASE)
_TRUNK_ZERO = re.compile(r"\+.*\(0+\)")
_HIDDEN = frozenset(
    {
        "anonymous", "blocked", "hidden", "no caller id", "not available", "private", "restricted",
        "unavailable", "unknown", "withheld",
    }
)  # fmt: skip
_LONGEST_EXTENSION = 7

EXPECTED = "must be a phone number with its country code, such as +12025550123 (E.164)"


def judge_number(text: str, *, region: str) -> Verdict:
    """Read a phone number; `region` is the ISO country of national ones, or empty.

    E.164 by the service's description of `from` and `to`; 15 digits at most by ITU-T E.164, `tel:` and
    `;ext=` by RFC 3966.
    """
    if _E164.fullmatch(text):
        return Verdict(value=text)
    if len(text) > MAX_CHARACTERS:
        return Verdict(problem=EXPECTED)
    number = re.sub(r"^tel:", "", text, flags=re.IGNORECASE).strip()
    if number.lower() in _HIDDEN:
        return Verdict(note="left out: the number is hidden")
    if _MASKED.fullmatch(number):
        return Verdict(note="left out: the number is masked, or holds a dialling code")
    whole, extensions = _EXTENSION.subn("", number)
    note = "the extension was left out" if extensions else ""
    if _TRUNK_ZERO.match(whole):
        return Verdict(problem="must be written without the (0) after the country code")
    plain = _SEPARATORS.sub("", whole)
    if plain.startswith("+"):
        return _international(plain, note)
    if not _DIGITS.fullmatch(plain):
        return Verdict(problem=EXPECTED)
    return _national(plain, region.upper(), note)


def _international(plain: str, note: str) -> Verdict:
    if _E164.fullmatch(plain):
        return Verdict(value=plain, note=note)
    if _DIGITS.fullmatch(plain[1:]):
        return Verdict(problem="must have 7 to 15 digits after the +, the first of them not 0")
    return Verdict(problem=EXPECTED)


def _national(digits: str, region: str, note: str) -> Verdict:
    converted = _convert(digits, region) if region else None
    if converted is not None:
        return Verdict(value=converted, note=note, remark="read as a number of the source's phone_region")
    if len(digits) <= _LONGEST_EXTENSION:
        return Verdict(note="left out: an extension, or a number without its area and country")
    if region:
        return Verdict(note="left out: it has no country code and is no number of the source's phone_region")
    return Verdict(note="left out: it has no country code, and the source has no phone_region")


def _convert(digits: str, region: str) -> str | None:
    """Return the E.164 form of a number as it is dialled in `region`, else None.

    The library completes whatever it is given, so its result counts only when the digits are those of the
    number's national form, with the trunk prefix where that has one, or begin with the region's prefix for
    calls abroad. Without that, an extension in a country of variable lengths becomes a number of someone's.
    """
    import phonenumbers

    try:
        number = phonenumbers.parse(digits, region, keep_raw_input=True)
    except phonenumbers.NumberParseException:
        return None
    plan = phonenumbers.PhoneMetadata.metadata_for_region(region)
    if plan is None:
        return None
    converted = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    if not _E164.fullmatch(converted):
        return None
    valid = phonenumbers.is_valid_number(number)
    if number.country_code_source == phonenumbers.CountryCodeSource.FROM_NUMBER_WITH_IDD:
        return converted if valid else None
    significant = phonenumbers.national_significant_number(number)
    national = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
    as_dialled = digits in (re.sub(r"[^0-9]", "", national), (plan.national_prefix or "") + significant)
    return converted if as_dialled and (valid or _has_the_only_length(significant, plan)) else None


def _has_the_only_length(significant: str, plan: PhoneMetadata) -> bool:
    """Say whether a number is whole in a plan of one length: area codes are newer than any table of them."""
    general = plan.general_desc
    if general is None or len(general.possible_length) != 1:
        return False
    pattern = general.national_number_pattern or ""
    return len(significant) in general.possible_length and bool(re.fullmatch(pattern, significant))
