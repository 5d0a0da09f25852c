"""scrub_pii: personal data and secrets out of text and title, before anything else is written about a page.

Each find becomes a placeholder of a closed vocabulary (`PLACEHOLDERS`): `<EMAIL_1>`, `<PHONE_2>`; in one document
the same value always has the same number, and the values after the twentieth of a kind share `<EMAIL>`. What counts as
a find is described in pipeline/pii/. Scrubbing is repeated until nothing is found, so that a second pass over the
output (the audit's) finds nothing either.

Pages that consist of personal data (directories, leaked lists) are dropped. Dolma drops above 5 finds; a forum thread
or a staff page with ten is good text once it is scrubbed, so here the share of the words decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from pydantic import Field

from pipeline.documents import Document, Dropped
from pipeline.pii.accounts import find_cards, find_ibans, find_social_security_numbers
from pipeline.pii.addresses import find_emails, find_ip_addresses
from pipeline.pii.names import load_name_finder
from pipeline.pii.phones import find_phones
from pipeline.pii.secrets import find_secrets
from pipeline.pii.spans import MAX_NUMBERED, PLACEHOLDERS, PiiKind, Span
from pipeline.settings import Settings
from pipeline.text import count_words

__all__ = ["PLACEHOLDERS", "SIGNALS", "Reason", "ScrubPiiSettings", "build", "find", "scrub"]

NAME = "scrub_pii"
_MAX_ROUNDS = 50  # a find can only uncover another by vanishing beside it; real pages need one round


class ScrubPiiSettings(Settings):
    emails: bool = True
    spelled_out_emails: bool = True  # name (at) host (dot) org
    phones: bool = True
    ip_addresses: bool = True
    cards: bool = True
    ibans: bool = True
    social_security_numbers: bool = True
    secrets: bool = True
    names: bool = False  # by Presidio, which must be installed
    names_model: str = "en_core_web_sm"  # a spaCy model: a package's name or a folder
    names_language: str = "en"  # the model's; names are looked for whatever a page's language
    names_min_score: float = Field(0.6, ge=0, le=1)  # data-prep-kit's threshold
    max_finds: int | None = Field(100, ge=0)  # in one document; off: no limit
    max_finds_per_1000_words: float | None = Field(100, ge=0)  # where there are more than `few_finds`
    few_finds: int = Field(10, ge=0)  # a short page with a contact block is no directory


class Reason(StrEnum):
    TOO_MUCH_PII = "too_much_pii"


SIGNAL_OF = {
    PiiKind.EMAIL: "pii_emails",
    PiiKind.PHONE: "pii_phones",
    PiiKind.IP: "pii_ip_addresses",
    PiiKind.CARD: "pii_cards",
    PiiKind.IBAN: "pii_ibans",
    PiiKind.SSN: "pii_social_security_numbers",
    PiiKind.SECRET: "pii_secrets",
    PiiKind.NAME: "pii_names",
}
SIGNALS: tuple[str, ...] = (*SIGNAL_OF.values(), "pii_finds", "pii_per_1000_words")


def build(settings: ScrubPiiSettings) -> Callable[[Document], Document | Dropped]:
    if settings.names:
        _load_name_finder(settings)  # a missing model is an error now, not on a page
    return lambda document: _scrubbed(document, settings)


def _load_name_finder(settings: ScrubPiiSettings) -> Callable[[str], Iterable[Span]]:
    return load_name_finder(settings.names_model, settings.names_language, settings.names_min_score)


def find(text: str, settings: ScrubPiiSettings, language: str = "") -> list[Span]:
    """Personal data in `text`, in order, without overlaps. The language says where its phone numbers are from."""
    finders: list[tuple[bool, Callable[[str], Iterable[Span]]]] = [
        (settings.secrets, find_secrets),
        (settings.emails, lambda text: find_emails(text, settings.spelled_out_emails)),
        (settings.ibans, find_ibans),
        (settings.cards, find_cards),
        (settings.social_security_numbers, find_social_security_numbers),
        (settings.ip_addresses, find_ip_addresses),
        (settings.phones, lambda text: find_phones(text, language)),
    ]
    if settings.names:
        finders.append((True, _load_name_finder(settings)))
    found: list[Span] = []
    for wanted, finder in finders:
        if wanted and (new := _apart(finder(text))):
            found += new
            text = _masked(text, new)
    return sorted(found, key=lambda span: span.start)


def scrub(text: str, settings: ScrubPiiSettings, language: str = "") -> tuple[str, dict[PiiKind, int]]:
    """The text with placeholders, and how many finds of each kind they stand for."""
    scrubbing = _Scrubbing(settings, language)
    return scrubbing.scrub(text), dict(scrubbing.counts)


def _apart(spans: Iterable[Span]) -> list[Span]:
    """In order, without those that overlap an earlier one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _masked(text: str, spans: list[Span]) -> str:
    """The finds as `<>>>`: the same length, and for the finders after this one the same neighbor as a placeholder."""
    return _replaced(text, spans, lambda span: "<" + ">" * (span.end - span.start - 1))


def _replaced(text: str, spans: list[Span], replacement: Callable[[Span], str]) -> str:
    pieces, end = [], 0
    for span in spans:
        pieces += [text[end : span.start], replacement(span)]
        end = span.end
    return "".join([*pieces, text[end:]])


@dataclass
class _Scrubbing:
    """One document's numbering: title and text share it."""

    settings: ScrubPiiSettings
    language: str
    counts: Counter[PiiKind] = field(default_factory=Counter)
    numbers: dict[PiiKind, dict[str, int]] = field(default_factory=dict)

    def scrub(self, text: str) -> str:
        for _ in range(_MAX_ROUNDS):
            spans = find(text, self.settings, self.language)
            if not spans:
                break
            self.counts.update(span.kind for span in spans)
            text = _replaced(text, spans, self._placeholder)
        return text

    def _placeholder(self, span: Span) -> str:
        numbers = self.numbers.setdefault(span.kind, {})
        number = numbers.setdefault(span.key, len(numbers) + 1)
        return f"<{span.kind}_{number}>" if number <= MAX_NUMBERED else f"<{span.kind}>"


def _scrubbed(document: Document, settings: ScrubPiiSettings) -> Document | Dropped:
    scrubbing = _Scrubbing(settings, document.language)
    title = scrubbing.scrub(document.title)
    text = scrubbing.scrub(document.text)
    finds = scrubbing.counts.total()
    density = 1000 * finds / max(1, count_words(text))
    document = replace(document, title=title, text=text).with_signals(
        **_signals(scrubbing.counts), pii_finds=float(finds), pii_per_1000_words=density
    )
    if settings.max_finds is not None and finds > settings.max_finds:
        return Dropped(document, NAME, Reason.TOO_MUCH_PII, float(finds), float(settings.max_finds), "finds")
    limit = settings.max_finds_per_1000_words
    if limit is not None and finds > settings.few_finds and density > limit:
        return Dropped(document, NAME, Reason.TOO_MUCH_PII, density, limit, "finds per 1,000 words")
    return document


def _signals(counts: Mapping[PiiKind, int]) -> dict[str, float]:
    return {name: float(counts.get(kind, 0)) for kind, name in SIGNAL_OF.items()}
