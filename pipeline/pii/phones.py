"""Phone numbers: a pattern finds candidates, the library `phonenumbers` validates them; precision before recall.

A candidate is a phone number if (a) it is international (+49 ..., 0049 ...) and valid, (b) it follows a label such as
`tel` or `mobile:` and is possible in a region of the page's language, (c) it follows a word such as `call` within a few
words and is valid in such a region, or (d) it is valid and grouped as usual in such a region. Candidates that look like
a date, a price or a count, or that follow `ISBN`, `DOI`, `No.` and the like, count only by (b); digits without
separators only by (a), (b) or (c). The form 212-555-0123 counts in every language.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumber, PhoneNumberFormat, ValidationResult

from pipeline.pii.spans import PiiKind, Span, text_before, to_ascii_digits

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

_CANDIDATE = re.compile(
    r"(?<![\w.,/=#&<$€£¥_@-])(?:\+\s?)?\(?\d(?:[ \u00a0().\u2010-\u2015/-]{0,3}\d){5,30}+(?![^\Wx]|x\D|[=@%])"
)  # a number may be followed by its extension: 555-0123x42
# Between two numbers, or a postcode and a number, side by side.
_SEAM = re.compile(r"(?<=\d)[ /]{1,3}(?=[(+]|00|1[-.]\d{3}[-.]|\d{3}[-.]\d{3}[-.]\d{4})")
# Words for phones and faxes with their inflections and compounds: telephone, Telefonnummer, Faxnr, телефоны.
_NAMES = (
    r"\b(?:t[eé]l[eéè](?:ph|f)[oóôò]\w*|t[eé]l(?:[eé]f)?|tlf|tfno|tfn|fono|phones?|fax\w*|whatsapp|sms|hotline|kom[oó]rk\w+|móvil"
    r"|cellulare|τηλ\w*|φαξ|κιν\w*|тел(?:ефон\w*)?|факс\w*|моб(?:ильн\w+)?)\b|电话|電話|手机|传真|☎|📞|✆"
)
_OTHERS = r"\b(?:mobil[eo]?|cell|call|calling|handy|fon|ruf|portable)\b"  # words with other meanings, too
_LABEL = re.compile(
    rf"(?:(?:{_NAMES})(?:[ ./-]{{0,3}}(?:no|nr|num\w*|nummer|número|№))?|(?:{_OTHERS})(?=[ .#]{{0,3}}:))"
    r"[^\w\n]{0,8}$"
)
_CUE = re.compile(rf"(?:{_NAMES}|{_OTHERS})[^\d\n]{{0,24}}$")
_NO_PHONE_CUE = re.compile(
    r"(?:isbn|issn|\bdoi|\border|\bitem|\bmodel|\bart(?:icle|ikel)?\b|\bpart\b|\bsku\b|\bean\b|\bupc\b|\bpatent|\binvoice|\bbestell"
    r"|\bserial|\bno\.|\bnr\.|\bid\b|#|№|\bpmid|\barxiv|\bversion|\bcas\b|\biban\b|\bust|\bvat\b|\bhrb\b|[$€£¥])[^\n\d]{0,12}$"
)
_DATE_OR_YEARS = re.compile(  # also volume (year) pages, and ZIP+4
    r"\(?(?:(?:19|20)\d\d\W{1,3}(?:19|20)\d\d|\d{1,2}[./-]\d{1,2}[./-](?:19|20)\d\d\b.*|(?:19|20)\d\d[./-]\d{1,2}[./-]\d{1,2}\b.*)"
    r"|.*\((?:19|20)\d\d\).*|[1-9]\d{4}[- ]\d{4}"
)
_COUNT = re.compile(r"\(?\d{1,3}(?:[ .]\d{3})+|\d+\.\d+|[01\s]+")
_NANP = re.compile(r"(?:\+?1[ .-])?(?:\(\d{3}\)[ .-]{0,2}\d{3}[ .-]?\d{4}|\d{3}[.-]\d{3}[.-]\d{4})")
_DIALED = re.compile(r"0\d+|\d{10,}")  # digits without separators that can be dialed
_LOCAL = re.compile(r"\d{3}[ .-]\d{4}")  # 736-5000, in North America
_MIN_CHARACTERS = 6
_MAX_GROUPS = 8
_GROUP = re.compile(r"\d+")


def find_phones(text: str, language: str = "") -> Iterator[Span]:
    """Phone numbers; `language` (ISO 639) selects the regions of national numbers."""
    for match in _CANDIDATE.finditer(text):
        written = re.sub(r"[\u2010-\u2015]", "-", to_ascii_digits(match[0]).replace("\u00a0", " "))
        context = text_before(text, match.start(), 40)
        for start, end in _split_candidate(written):
            if number := _normalize_phone(written[start:end], context, language):
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


def _normalize_phone(written: str, context: str, language: str) -> str:
    """The number in international form (E.164); "" if the candidate is not a phone number."""
    if len(_GROUP.findall(written)) > _MAX_GROUPS:
        return ""
    international = written.startswith(("+", "00"))
    named = _LABEL.search(context) is not None
    near = named or _CUE.search(context) is not None
    if not named and _NO_PHONE_CUE.search(context):
        return ""
    if (not named or written[0] == "(") and _DATE_OR_YEARS.fullmatch(written):
        return ""
    if not (international or named) and _COUNT.fullmatch(written):
        return ""
    if not (international or named or (near and _DIALED.fullmatch(written))) and _GROUP.fullmatch(written):
        return ""
    own = REGIONS.get(language, ()) if language else ()
    parsed = [(region, number) for region in dict.fromkeys(own + REGIONS[""]) if (number := _parse(written, region))]
    for region, number in parsed:
        shaped = (region == "US" and _NANP.fullmatch(written)) or (region in own and _has_usual_groups(number, written))
        if (international or near or shaped) and phonenumbers.is_valid_number(number):
            return _key(number)
    possible = named or (near and _LOCAL.fullmatch(written))
    return next((_key(number) for _, number in parsed if possible and _is_possible(number)), "")


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
