"""Phone numbers: a pattern finds candidates, the library `phonenumbers` validates them; precision before recall.

A candidate is a phone number if

(a) it is international (+49 ..., 0049 ...) and possible in its country;
(b) it has a label (`tel`, `mobile:`, `Desk:`, a line with a label above it, `office` or `fax` behind it) and 7 to 15
    digits: what is labeled as a number is masked even if it is valid nowhere;
(c) it directly follows the words for calling it (`call me at`, `messages to`) and is written as a number;
(d) it follows a word such as `call` within a few words and is valid in a region of the page's language;
(e) it is valid and grouped as usual in such a region, but not as a row of pairs: French (05 17 23 38 44), Danish and
    Norwegian numbers look like lottery draws and knitting patterns.

Candidates that look like a date, a price or a count, or that follow `ISBN`, `DOI`, `No.` and the like, count only by
(b); digits without separators not by (c) or (e). The form 212-555-0123 counts in every language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

from pipeline.pii.phone_words import BEHIND, CUE, DIALING, LABEL, OTHER_NUMBER, PLACE, words_before
from pipeline.pii.spans import PiiKind, Span, to_ascii_digits

# Regions of the phone numbers on pages of a language, most common first; those of "" apply to every language.
REGIONS: dict[str, tuple[str, ...]] = {
    "": ("US",), "en": ("US", "GB", "AU", "NZ", "IE", "ZA", "IN"), "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX", "AR", "CO", "CL", "PE"), "it": ("IT", "CH"), "pt": ("BR", "PT"), "nl": ("NL", "BE"),
    "pl": ("PL",), "ru": ("RU", "KZ", "BY"), "el": ("GR", "CY"), "sv": ("SE", "FI"), "da": ("DK",), "no": ("NO",),
    "fi": ("FI",), "cs": ("CZ",), "sk": ("SK",), "hu": ("HU",), "ro": ("RO", "MD"), "bg": ("BG",), "uk": ("UA",),
    "tr": ("TR",), "ja": ("JP",), "zh": ("CN", "TW", "HK"), "ko": ("KR",), "ar": ("SA", "EG", "AE"), "he": ("IL",),
    "fa": ("IR",), "hi": ("IN",), "id": ("ID",), "vi": ("VN",), "th": ("TH",), "ca": ("ES",), "hr": ("HR",),
    "sr": ("RS",), "sl": ("SI",), "lt": ("LT",), "lv": ("LV",), "et": ("EE",), "is": ("IS",),
}  # fmt: skip

# The first character before what it may follow: the search skips all others in one fast loop. A number may be followed
# by its extension: 555-0123x42.
_CANDIDATE = re.compile(
    r"[+(\d](?<![\w./=#&<$€£¥_@-].)(?<!\d,.)(?:(?<=\d)|(?<=\()\d|(?<=\+)\s?\(?\d)"
    r"(?:[ \u00a0().\u2010-\u2015/-]{0,3}\d){5,30}+(?![^\Wx]|x\D|[=@%])"
)
# Between two numbers, or a postcode and a number, side by side.
_SEAM = re.compile(r"(?<=\d)[ /]{1,3}(?=[(+]|00|1[-.]\d{3}[-.]|\d{3}[-.]\d{3}[-.]\d{4})")
_DATE_OR_YEARS = re.compile(  # also volume (year) pages, and ZIP+4
    r"\(?(?:(?:19|20)\d\d\W{1,3}(?:19|20)\d\d|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d\b.*|(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}\b.*)"
    r"|.*\((?:19|20)\d\d\).*|[1-9]\d{4}[- ]\d{4}"
)
_COUNT = re.compile(r"\(?\d{1,3}(?:[ .]\d{3})+|\d+\.\d+|[01\s]+")
_NANP = re.compile(r"(?:\+?1[ .-])?(?:\(\d{3}\)[ .-]{0,2}\d{3}[ .-]?\d{4}|\d{3}[.-]\d{3}[.-]\d{4})")
_DIALED = re.compile(r"0\d+|\d{10,}")  # digits without separators that can be dialed
_LOCAL = re.compile(r"\d{3}[ .-]\d{4}")  # 736-5000, in North America
_AREA_IN_BRACKETS = re.compile(r"\(\d{3}\)[ .-]{0,2}\d{3}[ .-]?\d{4}")  # North America, though the area may not exist
_DOI = re.compile(r"10\.\d{4,5}/")
_PAIRS = re.compile(r"\d\d(?:[ .-]\d\d){3,}")
_LABELED_DIGITS = range(7, 16)  # digits of a labeled number: local in North America, the most of E.164
_BEHIND_CHARACTERS = 30
_MIN_CHARACTERS = 6
_MAX_GROUPS = 8
_GROUP = re.compile(r"\d+")


def find_phones(text: str, language: str = "") -> Iterator[Span]:
    """Phone numbers; `language` (ISO 639) selects the regions of national numbers."""
    for match in _CANDIDATE.finditer(text):
        written = re.sub(r"[\u2010-\u2015]", "-", to_ascii_digits(match[0]).replace("\u00a0", " "))
        context = words_before(text, match.start(), 40)
        for start, end in _split_candidate(written):
            behind = text[match.start() + end : match.start() + end + _BEHIND_CHARACTERS]
            if number := _normalize_phone(written[start:end], context, language, behind):
                yield Span(match.start() + start, match.start() + end, PiiKind.PHONE, number)
                if not _SEAM.search(written) or end - start == len(written):
                    break


def _split_candidate(written: str) -> list[tuple[int, int]]:
    """The whole candidate first; then its parts at seams, or the rest without a house number or postcode."""
    seams = list(_SEAM.finditer(written))
    starts = [0, *(seam.end() for seam in seams)]
    ends = [*(seam.start() for seam in seams), len(written)]
    gaps = list(re.finditer(r" +", written))
    shorter = [(0, gap.start()) for gap in gaps[:0:-1]][:2] + [(gap.end(), len(written)) for gap in gaps[:1]]
    parts = [(0, len(written)), *(zip(starts, ends, strict=True) if seams else shorter)]
    return [(start, end) for start, end in parts if end - start >= _MIN_CHARACTERS]


def _normalize_phone(written: str, context: str, language: str, behind: str) -> str:
    """The number in international form (E.164); "" if the candidate is not a phone number."""
    groups = _GROUP.findall(written)
    if len(groups) > _MAX_GROUPS or _DOI.match(written):
        return ""
    international = written.startswith(("+", "00"))
    labeled = LABEL.search(context) is not None
    named = labeled or PLACE.search(context) is not None or BEHIND.match(behind) is not None
    called = DIALING.search(context) is not None
    dialed = called and _is_written_as_number(groups, written, behind)
    near = named or called or CUE.search(context) is not None
    if not named and OTHER_NUMBER.search(context):
        return ""
    if (not labeled or written[0] == "(") and _DATE_OR_YEARS.fullmatch(written):
        return ""
    if not (international or named or dialed) and _COUNT.fullmatch(written):
        return ""
    if not (international or named or (near and _DIALED.fullmatch(written))) and len(groups) == 1:
        return ""
    own = REGIONS.get(language, ()) if language else ()
    parsed: list[PhoneNumber] = []
    for region in dict.fromkeys(own + REGIONS[""]):
        number = _parse(written, region)
        if number is None:
            continue
        parsed.append(number)
        likely = international or near or (region == "US" and _NANP.fullmatch(written))
        may_be_shaped = region in own and not _PAIRS.fullmatch(written)
        if (
            (likely or may_be_shaped)
            and phonenumbers.is_valid_number(number)  # first: most candidates are not, and it loads fewer patterns
            and (likely or _has_usual_groups(number, written))
        ):
            return _key(number)
    digits = "".join(groups)
    if len(digits) in _LABELED_DIGITS and (named or dialed):
        return _key(parsed[0]) if parsed else digits
    likely = (
        _AREA_IN_BRACKETS.fullmatch(written)
        or (written[0] == "+" and not _COUNT.fullmatch(written.lstrip("+ ")))
        or (near and _LOCAL.fullmatch(written))
    )
    return next((_key(number) for number in parsed if likely and _is_possible(number)), "")


def _is_written_as_number(groups: list[str], written: str, behind: str) -> bool:
    """Whether it has the groups of a phone number, not those of a size, or of a count before what is counted."""
    if len(groups) == 1 or re.fullmatch(r"\d+[.,]\d+", written):
        return False
    return not _COUNT.fullmatch(written) or not re.match(r"\s?\w", behind)


def _parse(written: str, region: str) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(re.sub(r"^00", "+", written), region)
    except NumberParseException:
        return None


def _is_possible(number: PhoneNumber) -> bool:
    """Whether its length is possible in its region, with or without the area code."""
    answer = phonenumbers.is_possible_number_with_reason(number)
    return answer in (ValidationResult.IS_POSSIBLE, ValidationResult.IS_POSSIBLE_LOCAL_ONLY)


def _has_usual_groups(number: PhoneNumber, written: str) -> bool:
    """Whether it is grouped as usual in its region; after a trunk 0, the group of the area code suffices."""
    usual = _GROUP.findall(phonenumbers.format_number(number, PhoneNumberFormat.NATIONAL))
    groups = _GROUP.findall(written)
    return groups == usual or (groups[0] == usual[0] and written.lstrip("(").startswith("0") and len(groups) > 1)


def _key(number: PhoneNumber) -> str:
    return str(phonenumbers.format_number(number, PhoneNumberFormat.E164))
