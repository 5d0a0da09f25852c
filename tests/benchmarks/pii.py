"""Recall and false positives of scrub_pii on labeled text, by kind.

    python -m tests.benchmarks.pii

Data: sentences of Presidio's synthetic set (exact spans), and contact pages of webstruct (values without spans; their
precision is unknown, because not every number there is labeled). Reads GRISTMILL_DATA (default ../shared/data).
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from typing import NamedTuple

from pipeline.stages.scrub_pii import ScrubPiiSettings, find
from tests.benchmarks import data_folder

SENTENCES = "pii/presidio_synth_v2.json.gz"
KINDS = {
    "EMAIL_ADDRESS": "EMAIL",
    "PHONE_NUMBER": "PHONE",
    "IP_ADDRESS": "IP",
    "CREDIT_CARD": "CARD",
    "IBAN_CODE": "IBAN",
    "US_SSN": "SSN",
}
CONTACTS = {"TEL": "PHONE", "FAX": "PHONE", "EMAIL": "EMAIL"}
LOCAL_DIGITS = 7  # last digits that identify a phone number on a page


class Found(NamedTuple):
    """By kind."""

    hits: Counter[str]
    missed: Counter[str]
    wrong: Counter[str]  # found where nothing of any kind is labeled

    def recall(self, kind: str) -> float:
        return self.hits[kind] / (self.hits[kind] + self.missed[kind])

    def precision(self, kind: str) -> float:
        return self.hits[kind] / (self.hits[kind] + self.wrong[kind])


def measure_presidio() -> Found:
    hits: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    wrong: Counter[str] = Counter()
    with gzip.open(data_folder() / SENTENCES, "rt", encoding="utf-8") as file:
        rows = json.load(file)
    for row in rows:
        spans = find(row["full_text"], ScrubPiiSettings(), "en")
        gold = [(s["start_position"], s["end_position"], KINDS.get(s["entity_type"])) for s in row["spans"]]
        for start, end, kind in gold:
            if kind is not None:
                hit = any(span.kind == kind and span.start < end and span.end > start for span in spans)
                (hits if hit else missed)[kind] += 1
        for span in spans:
            if not any(kind and span.start < end and span.end > start for start, end, kind in gold):
                wrong[str(span.kind)] += 1
    return Found(hits, missed, wrong)


def measure_contact_pages() -> None:
    hits: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with gzip.open(data_folder() / "pii" / "webstruct_contact_pages.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            spans = find(row["text"], ScrubPiiSettings(), "en")
            values = [row["text"][span.start : span.end].lower() for span in spans]
            for label, value in {(label, value) for label, value in row["entities"] if label in CONTACTS}:
                if is_value(label, value):
                    total[label] += 1
                    hits[label] += any(is_same(value.lower(), other) for other in values)
    print("webstruct contact pages")
    for label in CONTACTS:
        print(f"  {label:6} found {hits[label]:4} of {total[label]:4}")


def is_value(label: str, value: str) -> bool:
    """False for labels on extensions (`ext. 12`) and single words."""
    return "@" in value if label == "EMAIL" else len(digits(value)) >= LOCAL_DIGITS


def digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def is_same(labeled: str, found: str) -> bool:
    if "@" in labeled:
        return labeled in found or found in labeled
    return digits(labeled)[-LOCAL_DIGITS:] in digits(found)


def main() -> None:
    found = measure_presidio()
    print("presidio_synth_v2")
    for kind in KINDS.values():
        labeled = found.hits[kind] + found.missed[kind]
        print(f"  {kind:6} found {found.hits[kind]:4} of {labeled:4}   false {found.wrong[kind]}")
    measure_contact_pages()


if __name__ == "__main__":
    main()
