"""The ledger: what became of every page, as rows and as counts that must add up, or the run fails.

A page's fate is "kept" or the stage that dropped it with its reason, written "stage:reason" ("block_urls:host"). Every
page that is read has exactly one fate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.documents import Document, Dropped, Rights
from pipeline.errors import RunFailedError
from pipeline.text import count_words

# Fates of pages on which a stage failed. With unreadable input they are errors, not decisions about a text;
# prepare.max_error_share limits them.
FAILURES = frozenset({"page_process:crashed", "extract_text:extraction_error", "custom_rules:failed"})
UNREADABLE = frozenset({"read_warc:unreadable", "read_warc:wrong_digest", "read_documents:unreadable"})
ERRORS = FAILURES | UNREADABLE
REMOVED = "suppress:removed"  # the fate of pages that somebody asked to take out
_PLACE = ("id", "fetched_at", "warc_file", "warc_offset", "warc_length")
_COLUMNS = (*_PLACE, "url", "host", "registered_domain", "title", "text")  # of every document ...
_FOUND = ("language", "language_score", "quality_score", "education_score", "domain", "domain_score", "kind",
          "kind_score")  # ... and those that page stages fill  # fmt: skip
_RIGHTS = ("opt_outs", "license", "license_place", "license_disagrees")


class LedgerError(RunFailedError):
    """The counts do not add up, or too many pages failed or would be lost: the output must not be published."""


@dataclass(slots=True)
class Tally:
    """Counts of one unit or one run."""

    pages: int = 0
    kept: int = 0
    characters: int = 0  # of the kept documents' text
    dropped: Counter[str] = field(default_factory=Counter)  # pages by fate
    records: Counter[str] = field(default_factory=Counter)  # WARC records by kind, pages included
    cpu_seconds: Counter[str] = field(default_factory=Counter)  # by stage

    def add(self, other: Tally) -> None:
        """Add the counts of `other`."""
        self.pages += other.pages
        self.kept += other.kept
        self.characters += other.characters
        self.dropped.update(other.dropped)
        self.records.update(other.records)
        self.cpu_seconds.update(other.cpu_seconds)

    @property
    def errors(self) -> int:
        """Pages that were unreadable or on which a stage failed."""
        return sum(count for fate, count in self.dropped.items() if fate in ERRORS)

    def check(self, where: str) -> None:
        """Raises LedgerError unless pages == kept + dropped."""
        out = self.dropped.total()
        if self.pages != self.kept + out:
            raise LedgerError(
                f"the ledger of {where} does not balance: {self.pages} pages read, {self.kept} kept + {out} dropped; "
                "this is an internal error, nothing was published"
            )

    def check_errors(self, limit: float, drops: str = "drops") -> None:
        """Raises LedgerError if the share of `errors` in all pages is above `limit`; `drops` has their rows."""
        share = self.errors / self.pages if self.pages else 0.0
        if share > limit:
            counts = ", ".join(f"{fate} {self.dropped[fate]}" for fate in sorted(ERRORS) if self.dropped[fate])
            raise LedgerError(
                f"{self.errors} of {self.pages} pages ({share:.1%}) failed ({counts}), the limit is {limit:.1%}; "
                f"look at the rows of {drops}, and raise prepare.max_error_share if such pages are expected"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values, keys sorted."""
        return {
            "pages": self.pages,
            "kept": self.kept,
            "characters": self.characters,
            "dropped": dict(sorted(self.dropped.items())),
            "records": dict(sorted(self.records.items())),
            "cpu_seconds": {name: round(value, 4) for name, value in sorted(self.cpu_seconds.items())},
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Tally:
        """The inverse of `to_json`."""
        return cls(
            pages=values["pages"],
            kept=values["kept"],
            characters=values["characters"],
            dropped=Counter(values["dropped"]),
            records=Counter(values["records"]),
            cpu_seconds=Counter(values["cpu_seconds"]),
        )


def by_stage(dropped: Mapping[str, int], order: Iterable[str]) -> dict[str, dict[str, int]]:
    """Counts by fate as {stage: {reason: pages}}: stages in flow order, the most frequent reason first."""
    nested: dict[str, dict[str, int]] = {stage: {} for stage in order}
    for fate, count in sorted(dropped.items(), key=lambda item: (-item[1], item[0])):
        stage, _, reason = fate.partition(":")
        nested.setdefault(stage, {})[reason] = count
    return {stage: reasons for stage, reasons in nested.items() if reasons}


def document_row(document: Document) -> dict[str, Any]:
    """The columns that a document fills in the staged files and the shards."""
    row = {name: getattr(document, name) for name in (*_COLUMNS, *_FOUND)}
    return {
        **row,
        **rights_columns(document.rights),
        "words": count_words(document.text),
        "characters": len(document.text),
        "signals": dict(document.signals),
    }


def rights_columns(rights: Rights) -> dict[str, Any]:
    """The columns that say what a page allows; empty where it names no license, as readers of JSONL guess types."""
    return {
        "opt_outs": list(rights.opt_outs),
        "license": rights.license,
        "license_place": rights.license_place,
        "license_disagrees": rights.license_disagrees,
    }


def removed_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row in drops/ of a page that was removed: its place in the crawl, and nothing that it said.

    A duplicate goes on naming its survivor, by which the survivor's column `duplicates` is checked.
    """
    stage, reason = REMOVED.split(":")
    return {
        **{name: row.get(name) for name in _PLACE},
        **dict.fromkeys(("url", "host", "registered_domain", "detail", "excerpt"), ""),
        **dict.fromkeys((*_RIGHTS, "value", "threshold", "language", "text", "signals")),
        "stage": stage,
        "reason": reason,
        "duplicate_of": row.get("duplicate_of") if row.get("reason") != "already_published" else None,
    }


def drop_row(dropped: Dropped) -> dict[str, Any]:
    """The row of a dropped page in drops/."""
    if f"{dropped.stage}:{dropped.reason}" == REMOVED:
        return removed_row({name: getattr(dropped.record, name) for name in _PLACE})
    record = dropped.record
    document = record if isinstance(record, Document) else None
    return {
        "id": record.id,
        "url": record.url,
        "host": record.host,
        "registered_domain": record.registered_domain,
        "fetched_at": record.fetched_at,
        "warc_file": record.warc_file,
        "warc_offset": record.warc_offset,
        "warc_length": record.warc_length,
        **(rights_columns(document.rights) if document else dict.fromkeys(_RIGHTS)),
        "stage": dropped.stage,
        "reason": str(dropped.reason),
        "value": dropped.value,
        "threshold": dropped.threshold,
        "detail": dropped.detail,
        "duplicate_of": None,
        "language": document.language if document else None,
        "excerpt": dropped.excerpt,
        "text": document.text or None if document else None,
        "signals": dict(document.signals) if document else None,
    }


def extracted_row(document: Document) -> dict[str, Any]:
    """The row of a document as extract_text left it (schema EXTRACTED)."""
    row = {name: getattr(document, name) for name in _COLUMNS}
    return {**row, **rights_columns(document.rights), "signals": dict(document.signals)}


def read_document(row: Mapping[str, Any], signals: Collection[str] | None = None) -> Document:
    """The inverse of `extracted_row` and `document_row`; with these signals, or with all."""
    rights = Rights(
        opt_outs=tuple(row["opt_outs"] or ()),
        license=row["license"] or "",
        license_place=row["license_place"] or "",
        license_disagrees=bool(row["license_disagrees"]),
    )
    names = (*_COLUMNS, *(name for name in _FOUND if name in row))
    known = {
        name: value
        for name, value in row["signals"].items()
        if value is not None and (signals is None or name in signals)
    }
    return Document(**{name: row[name] for name in names}, signals=known, rights=rights)
