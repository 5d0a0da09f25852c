"""scrub_pii: replace personal data and secrets in text and title, before anything of a page is written to disk.

Each find becomes a placeholder of a closed vocabulary (`pipeline.pii.spans.PLACEHOLDERS`): `<EMAIL_1>`, `<PHONE_2>`. In
one document the same value always has the same number; the values after the twentieth of a kind share `<EMAIL>`. The
modules of pipeline/pii/ define what is found. Scrubbing is repeated until nothing is found, so that a second pass over
the output (by `gristmill audit`) finds nothing either.

Pages that consist of personal data (directories, leaked lists) are dropped. Dolma drops above 5 finds; a forum thread
or a staff page with ten is good text once it is scrubbed, so here their share of the words decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from pipeline.documents import Document, Dropped
from pipeline.pii.accounts import find_cards, find_ibans, find_social_security_numbers
from pipeline.pii.addresses import find_emails, find_ip_addresses
from pipeline.pii.names import load_name_finder, model_files
from pipeline.pii.phones import find_phones
from pipeline.pii.secrets import find_secrets
from pipeline.pii.spans import MAX_NUMBERED, PiiKind, Span, has_long_number
from pipeline.settings import Settings
from pipeline.text import count_words

NAME = "scrub_pii"
_MAX_ROUNDS = 50  # only a find next to the removed one can appear in a later round; real pages need one round


class ScrubPiiSettings(Settings):
    """What is replaced, and how many finds make a page a directory."""

    emails: bool = Field(True, description="replace email addresses")
    spelled_out_emails: bool = Field(True, description="replace addresses such as name (at) host (dot) org")
    phones: bool = Field(True, description="replace telephone numbers")
    ip_addresses: bool = Field(True, description="replace public IP addresses")
    cards: bool = Field(True, description="replace payment card numbers")
    ibans: bool = Field(True, description="replace international bank account numbers")
    social_security_numbers: bool = Field(True, description="replace social security numbers")
    secrets: bool = Field(True, description="replace keys and tokens that give access, such as those of AWS or GitHub")
    names: bool = Field(False, description="replace names of persons, by Presidio, which must be installed")
    names_model: str = Field("en_core_web_sm", description="spaCy model for names: the name of a package, or a folder")
    names_language: str = Field("en", description="language of names_model; pages of all languages are searched")
    names_min_score: float = Field(
        0.6, ge=0, le=1, description="lowest score of a name that is replaced; data-prep-kit has 0.6"
    )
    max_finds: int | None = Field(100, ge=0, description="most finds in one document")
    max_finds_per_1000_words: float | None = Field(
        100, ge=0, description="most finds per 1,000 words of a document that has more than few_finds"
    )
    few_finds: int = Field(
        10, ge=0, description="finds up to which the density is not limited: a short page may have a contact block"
    )


class ScrubPiiReason(StrEnum):
    """Why a document is dropped."""

    TOO_MUCH_PII = "too_much_pii"


REASONS = ScrubPiiReason
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


def files(settings: ScrubPiiSettings) -> list[Path]:
    """Those of the model of names, if names are replaced; the other finders need none."""
    return model_files(settings.names_model) if settings.names else []


def build(settings: ScrubPiiSettings) -> Callable[[Document], Document | Dropped]:
    """Load the model of names if they are replaced. Raises UserError if it is not installed."""
    if settings.names:
        _load_name_finder(settings)

    def scrub_pii(document: Document) -> Document | Dropped:
        return _check_limits(*_scrub_document(document, settings), settings)

    return scrub_pii


def _load_name_finder(settings: ScrubPiiSettings) -> Callable[[str], Iterable[Span]]:
    return load_name_finder(settings.names_model, settings.names_language, settings.names_min_score)


def find(text: str, settings: ScrubPiiSettings, language: str = "") -> list[Span]:
    """Personal data in `text`, in order, without overlaps. `language` selects the formats of phone numbers."""
    long_number = has_long_number(text)  # finds that are masked leave no new one
    finders: list[tuple[bool, Callable[[str], Iterable[Span]]]] = [
        (settings.secrets, find_secrets),
        (settings.emails, lambda text: find_emails(text, settings.spelled_out_emails)),
        (settings.ibans, find_ibans),
        (settings.cards and long_number, find_cards),
        (settings.social_security_numbers and long_number, find_social_security_numbers),
        (settings.ip_addresses, find_ip_addresses),
        (settings.phones and long_number, lambda text: find_phones(text, language)),
    ]
    if settings.names:
        finders.append((True, _load_name_finder(settings)))
    found: list[Span] = []
    for enabled, finder in finders:
        if enabled and (new := _without_overlaps(finder(text))):
            found += new
            text = _mask(text, new)
    return sorted(found, key=lambda span: span.start)


def scrub(text: str, settings: ScrubPiiSettings, language: str = "") -> tuple[str, dict[PiiKind, int]]:
    """The text with placeholders, and the number of finds of each kind."""
    scrubber = Scrubber(settings, language)
    return scrubber.scrub(text), dict(scrubber.counts)


def _without_overlaps(spans: Iterable[Span]) -> list[Span]:
    """In order, without those that overlap an earlier one."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


def _mask(text: str, spans: list[Span]) -> str:
    """The finds as `<>>>`: of the same length, and for the next finders the same neighbor as a placeholder."""
    return _replace_spans(text, spans, lambda span: "<" + ">" * (span.end - span.start - 1))


def _replace_spans(text: str, spans: list[Span], replacement: Callable[[Span], str]) -> str:
    pieces, end = [], 0
    for span in spans:
        pieces += [text[end : span.start], replacement(span)]
        end = span.end
    return "".join([*pieces, text[end:]])


@dataclass
class Scrubber:
    """Scrubs the texts of one document with common placeholder numbers."""

    settings: ScrubPiiSettings
    language: str
    counts: Counter[PiiKind] = field(default_factory=Counter)
    numbers: dict[PiiKind, dict[str, int]] = field(default_factory=dict)

    def scrub(self, text: str) -> str:
        """The text with placeholders; `counts` grows by the finds."""
        for _ in range(_MAX_ROUNDS):
            spans = find(text, self.settings, self.language)
            if not spans:
                break
            self.counts.update(span.kind for span in spans)
            text = _replace_spans(text, spans, self._placeholder)
        return text

    def _placeholder(self, span: Span) -> str:
        numbers = self.numbers.setdefault(span.kind, {})
        number = numbers.setdefault(span.key, len(numbers) + 1)
        return f"<{span.kind}_{number}>" if number <= MAX_NUMBERED else f"<{span.kind}>"


def _scrub_document(document: Document, settings: ScrubPiiSettings) -> tuple[Document, int, float]:
    """The scrubbed document, its number of finds, and the finds per 1,000 words."""
    scrubber = Scrubber(settings, document.language)
    title = scrubber.scrub(document.title)
    text = scrubber.scrub(document.text)
    finds = scrubber.counts.total()
    density = finds_per_1000_words(finds, count_words(text))
    signals = {name: float(scrubber.counts.get(kind, 0)) for kind, name in SIGNAL_OF.items()}
    document = replace(document, title=title, text=text).with_signals(
        **signals, pii_finds=float(finds), pii_per_1000_words=density
    )
    return document, finds, density


def finds_per_1000_words(finds: int, words: int) -> float:
    """The density of finds in a text."""
    return 1000 * finds / max(1, words)


def _check_limits(document: Document, finds: int, density: float, settings: ScrubPiiSettings) -> Document | Dropped:
    exceeded = exceeded_limit(finds, density, settings)
    return document if exceeded is None else Dropped(document, NAME, ScrubPiiReason.TOO_MUCH_PII, *exceeded)


def exceeded_limit(finds: int, density: float, settings: ScrubPiiSettings) -> tuple[float, float, str] | None:
    """The measurement of a document that consists of personal data, its limit, and what was measured; else None."""
    if settings.max_finds is not None and finds > settings.max_finds:
        return float(finds), float(settings.max_finds), "finds"
    limit = settings.max_finds_per_1000_words
    if limit is not None and finds > settings.few_finds and density > limit:
        return density, limit, "finds per 1,000 words"
    return None
