"""Checks of the ledger: content hash, totals, one fate per capture, dropped duplicates and the documents kept for them.

Memory is bounded: of an output with more rows than a check can hold, a sample is checked, chosen by a hash.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from typing import Any

from pipeline.deduplication.settings import DuplicateReason
from pipeline.inspection.check import Check, Problems, RepeatedKeys, stride_for
from pipeline.page_process.killable_process import PageLostReason
from pipeline.publishing.content_hash import MODULUS, content_hash, row_digest
from pipeline.stages import custom_rules, read_documents, read_warc
from pipeline.stages.order import PAGE_STAGES

_SURVIVORS = 5_000_000  # survivors whose duplicates are counted, about 1 GB


class ContentHashCheck:
    """The content hash computed from the rows is that of the manifest."""

    def __init__(self, expected: str) -> None:
        self._expected = expected
        self._sums = {"shards": 0, "drops": 0}

    def add_kept(self, row: Mapping[str, Any]) -> None:
        self._sums["shards"] = (self._sums["shards"] + row_digest(row)) % MODULUS

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        self._sums["drops"] = (self._sums["drops"] + row_digest(row)) % MODULUS

    def result(self) -> Check:
        actual = content_hash({kind: [{"content": f"{value:064x}"}] for kind, value in self._sums.items()})
        different = [] if actual == self._expected else [f"expected {self._expected}, the rows give {actual}"]
        return Problems(different).check("content hash", actual)


class LedgerCheck:
    """pages == kept + dropped, with the same numbers in manifest, report and rows."""

    def __init__(self, manifest: Mapping[str, Any], report: Mapping[str, Any]) -> None:
        self._manifest, self._report = manifest, report
        self._kept, self._dropped = 0, Counter[str]()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        self._kept += 1

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        self._dropped[f"{row['stage']}:{row['reason']}"] += 1

    def result(self) -> Check:
        kept, dropped = self._kept, self._dropped.total()
        problems = Problems()
        for name, totals in (("manifest", self._manifest), ("report", self._report)):
            if totals["pages"] != kept + dropped:
                problems.add(f"{name}: {totals['pages']:,} pages, the rows are {kept:,} kept + {dropped:,} dropped")
            if totals["kept"] != kept:
                problems.add(f"{name}: {totals['kept']:,} kept, the shards have {kept:,} rows")
        by_stage = self._report["dropped"].items()
        reported = {f"{stage}:{why}": count for stage, reasons in by_stage for why, count in reasons.items()}
        for fate in sorted({*reported, *self._dropped}):
            if reported.get(fate, 0) != self._dropped[fate]:
                problems.add(f"{fate}: {reported.get(fate, 0):,} in the report, {self._dropped[fate]:,} rows")
        return problems.check("ledger", f"{kept + dropped:,} pages = {kept:,} kept + {dropped:,} dropped")


_REASONS: Mapping[str, set[str]] = {
    **{stage: {str(reason) for reason in module.REASONS} for stage, module in PAGE_STAGES.items()},
    "read_warc": {str(reason) for reason in read_warc.REASONS},
    "read_documents": {str(reason) for reason in read_documents.REASONS},
    "page_process": {str(reason) for reason in PageLostReason},
    "deduplicate": {str(reason) for reason in DuplicateReason},
}


class FateCheck:
    """No capture has two fates, and every drop reason is one of its stage's reasons."""

    def __init__(self, pages: int) -> None:
        self._captures = RepeatedKeys(pages)
        self._rows = 0
        self._problems = Problems()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        key = f"{row['warc_file']} {row['warc_offset']} {row['id']}".encode()
        self._captures.add(int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big"))
        self._rows += 1

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        self.add_kept(row)
        is_own = row["stage"] == custom_rules.NAME and custom_rules.is_reason(row["reason"])
        if row["reason"] not in _REASONS.get(row["stage"], ()) and not is_own:
            self._problems.add(f"{row['id']}: unknown fate {row['stage']}:{row['reason']}")

    def result(self) -> Check:
        repeated = self._captures.count()
        if repeated:
            self._problems.add(f"{repeated:,} captures have more than one row")
        return self._problems.check("fates", f"{self._rows:,} captures, one fate each, every reason is known")


class SurvivorCheck:
    """Every dropped duplicate names a kept document (its survivor), whose column `duplicates` counts it."""

    def __init__(self, pages: int) -> None:
        self._stride = stride_for(pages, _SURVIVORS)
        self._counted: dict[str, int] = {}  # the survivors' column `duplicates`, where it is not 0
        self._named: Counter[str] = Counter()
        self._removed: set[str] = set()

    def add_kept(self, row: Mapping[str, Any]) -> None:
        if row["duplicates"] and self._is_sampled(row["id"]):
            self._counted[row["id"]] = row["duplicates"]

    def add_dropped(self, row: Mapping[str, Any]) -> None:
        survivor = row["duplicate_of"]
        if row["stage"] == "suppress" and self._is_sampled(row["id"]):
            self._removed.add(row["id"])
        if survivor and row["reason"] != DuplicateReason.ALREADY_PUBLISHED and self._is_sampled(survivor):
            self._named[survivor] += 1

    def _is_sampled(self, document: str) -> bool:
        return self._stride == 1 or int(document[:16], 16) % self._stride == 0

    def result(self) -> Check:
        problems = Problems(
            f"{survivor}: {named} dropped pages name it, but no kept document of this id counts them"
            for survivor, named in self._named.items()
            if survivor not in self._counted and survivor not in self._removed
        )
        for survivor, counted in self._counted.items():
            if counted != self._named[survivor]:
                problems.add(f"{survivor}: counts {counted} duplicates, {self._named[survivor]} dropped pages name it")
        return problems.check("survivors", f"{self._named.total():,} duplicates of {len(self._named):,} kept documents")
