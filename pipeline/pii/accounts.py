"""Numbers with a checksum or fixed ranges: IBANs, payment cards, US social security numbers. python-stdnum validates.

A card number has a known issuer prefix, one of the lengths of that issuer, and a valid Luhn check digit. Bar codes have
12 to 14 digits, too: a number of that length with a valid bar code check digit counts only after a word such as `card`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from stdnum import ean, iban, luhn
from stdnum.us import ssn

from pipeline.pii.spans import PiiKind, Span, text_before, to_ascii_digits

# Patterns that begin with the digit and look back from it skip all other characters in one fast loop.
_MAY_BE_IBAN = re.compile(r"[0-9](?<=[A-Za-z]{2}.)[0-9]")
_IBAN = re.compile(r"(?<![^\W_])[A-Za-z]{2}[0-9]{2}(?:[ -]?[A-Za-z0-9]{4}){2,7}(?:[ -]?[A-Za-z0-9]{1,3})?")
_CARD = re.compile(r"\d(?<![\w.,+/=#-].)(?:[ -]?\d){11,18}+(?![\w/=]|[.,-]\d)")
_SSN = re.compile(r"\d(?<![\w.,+/=#-].)\d{2}([- ]?)\d{2}\1\d{4}(?![\w/=]|[.,-]\d)")
# Issuer prefixes with lengths, as the issuers publish them: Visa, Mastercard, Amex, Discover, Diners, JCB, Maestro,
# UnionPay, Mir.
_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3})?(?:\d{3})?|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}"
    r"|6(?:011|4[4-9]\d|5\d\d)\d{12}(?:\d{3})?|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}|(?:2131|1800)\d{11}"
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{8,15}|62\d{14,17}|220[0-4]\d{12}"
)
_CARD_CUE = re.compile(r"card|credit|debit|visa|master|amex|maestro|karte|carte|tarjeta|carta|cartão|kaart|карт|κάρτα")
_COUNTRY_CODE = re.compile(r"\+\d{1,3}\W?$")  # before a phone number
_SSN_CUE = re.compile(r"\bssn\b|social security|soc\.? sec")


def find_ibans(text: str) -> Iterator[Span]:
    """Bank account numbers with a valid checksum."""
    for match in _IBAN.finditer(text) if _MAY_BE_IBAN.search(text) else ():
        if value := _longest_iban(match[0]):
            yield Span(match.start(), match.start() + len(value), PiiKind.IBAN, iban.compact(value))


def _longest_iban(candidate: str) -> str:
    """The longest prefix with a valid checksum: words after an IBAN may look like its next groups (at most eight)."""
    cuts = [len(candidate), *(match.start() for match in re.finditer(r"[ -]", candidate))]
    for cut in sorted(cuts, reverse=True):
        if iban.is_valid(candidate[:cut], check_country=False):
            return candidate[:cut]
    return ""


def find_cards(text: str) -> Iterator[Span]:
    """Payment card numbers."""
    for match in _CARD.finditer(text):
        number = re.sub(r"\D", "", to_ascii_digits(match[0]))
        if _ISSUERS.fullmatch(number) and luhn.is_valid(number) and len(set(number)) > 1:
            bar_code = len(number) in (12, 13, 14) and ean.is_valid(number)
            if not bar_code or _CARD_CUE.search(text_before(text, match.start(), 40)):
                yield Span(match.start(), match.end(), PiiKind.CARD, number)


def find_social_security_numbers(text: str) -> Iterator[Span]:
    """Numbers with hyphens; numbers with spaces or without separators only after a word such as `SSN`."""
    for match in _SSN.finditer(text):
        number = re.sub(r"\D", "", to_ascii_digits(match[0]))
        if _COUNTRY_CODE.search(text_before(text, match.start(), 6)):
            continue
        named = match[1] == "-" or _SSN_CUE.search(text_before(text, match.start(), 40))
        if named and ssn.is_valid(f"{number[:3]}-{number[3:5]}-{number[5:]}"):
            yield Span(match.start(), match.end(), PiiKind.SSN, number)
