"""The division into parts, and the rows of shards and drops."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.deduplication.verdicts import Verdict, write_verdicts
from pipeline.prepare import write_table
from pipeline.publish import (
    Part,
    WritePart,
    duplicate_row,
    kept_row,
    plan_parts,
)
from pipeline.publishing.schema import DROP
from pipeline.publishing.schema import STAGED as STAGED_SCHEMA
from pipeline.stages import scrub_pii
from pipeline.storage.layout import Layout

STAGED = {
    "id": "a", "url": "u", "host": "h", "registered_domain": "h", "fetched_at": "t", "warc_file": "f", "warc_offset": 1,
    "title": "", "text": "one two\n\nthree", "language": "en", "language_score": 0.9, "quality_score": 0.5,
    "education_score": 1.2, "domain": "Health", "domain_score": 0.8, "words": 3, "characters": 14, "signals": None,
    "url_key": b"k",
}  # fmt: skip


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(0, 50), max_size=20), st.integers(1, 60))
def test_parts_hold_every_unit_once_in_order_and_fill_up(sizes, limit):
    parts = plan_parts(sizes, limit)
    assert [key for part in parts for key in part.units] == sorted(sizes)
    assert [part.number for part in parts] == list(range(len(parts)))
    for part in parts[:-1]:
        assert sum(sizes[key] for key in part.units) >= limit
        assert sum(sizes[key] for key in part.units[:-1]) < limit


def test_a_part_without_documents_is_still_written():
    assert len(plan_parts({}, 10)) == 1


def test_a_kept_row_counts_what_is_left_of_its_text():
    verdict = Verdict(remove=(2,), duplicates=4)
    row = kept_row(STAGED, verdict, {("Health", 50, 12): 1.5})
    assert (row["text"], row["words"], row["characters"], row["duplicates"], row["weight"]) == ("one two", 2, 7, 4, 1.5)


def test_a_duplicate_names_its_survivor_and_the_similarity():
    verdict = Verdict(reason="near_duplicate", survivor="b", value=0.8, threshold=0.68)
    row = duplicate_row(STAGED, verdict, with_text=False)
    assert set(row) <= set(DROP.names)
    assert (row["stage"], row["reason"], row["duplicate_of"], row["value"]) == (
        "deduplicate",
        "near_duplicate",
        "b",
        0.8,
    )


def test_the_second_scan_finds_remaining_personal_data(tmp_path):
    keys = {"url_key": b"k" * 16, "text_key": b"k" * 16, **dict.fromkeys(("bands", "sketch", "paragraphs"), b"")}
    sound = {**STAGED, **keys, "paragraph_words": b"", "text": "Write to <EMAIL_1> today"}
    rows = [
        sound,
        {**sound, "text": "Write to lydia@longbourn-house.org today"},
        {**sound, "title": "+44 20 7946 0958"},
    ]
    layout, verdicts = Layout(str(tmp_path), "key"), str(tmp_path / "verdicts")
    write_table(layout.unit("staged", "unit"), rows, STAGED_SCHEMA)
    write_table(layout.unit("drops", "unit"), [], DROP)
    nothing = {
        "reason": None,
        "survivor": None,
        "snapshot": None,
        "value": None,
        "threshold": None,
        "duplicates": 0,
        "remove": [],
    }
    write_verdicts(f"{verdicts}/unit.parquet", {name: [value] * 3 for name, value in nothing.items()})
    task = WritePart(layout, verdicts, {("Health", 50, 12): 1.0}, scrub_pii.ScrubPiiSettings(), "key")
    statistics = task.compute(Part(0, ("unit",)))["statistics"]
    assert statistics["rescanned"] == {"EMAIL": 1, "PHONE": 1, "documents": 3}
