"""Lines repeated across pages, among the documents that survive as a whole.

A *long* paragraph is kept only on the best page that has it, on whatever sites the others are. Shorter lines count only
where many pages of one registered domain repeat them: a *sentence* is then kept only on the best page, too, and a line
of a few words is removed from the pages' headers and footers. Short lines that unrelated sites share are kept.
Code and table lines have the key 0 and are never removed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from xxhash import xxh3_64_intdigest

from pipeline.deduplication.messages import Inbox, Job, Message, Parcel, look_up_counts, send_keys, send_to_units
from pipeline.deduplication.records import LINED, Array, best_first, group_starts, join_records, read_ranked, rows_of
from pipeline.deduplication.survivors import UnitSurvivors

_PAGES = np.uint64(0x9E3779B97F4A7C15)  # marks the key under which the pages of a domain are counted


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a unit's surviving documents, in order; one array per field."""

    row: Array  # of the document
    number: Array  # of the line in the document
    words: Array
    key: Array  # 0: blank, code or table; of a long paragraph: its text; of a shorter line: its text and domain
    long: Array
    domain: Array  # key under which the pages of the document's domain are counted


def read_lines(job: Job, inbox: Inbox) -> Lines:
    """Reads the line columns of the unit, once."""
    unit = inbox.unit
    table = unit.columns(["paragraphs", "paragraph_words", "registered_domain"])
    surviving = UnitSurvivors.from_inbox(job, inbox, table.num_rows).surviving
    keys, words = table["paragraphs"].to_pylist(), table["paragraph_words"].to_pylist()
    lengths = np.where(surviving, np.array([len(value) // 2 for value in words], np.int64), 0)
    row = np.repeat(np.arange(len(lengths)), lengths)
    chosen = np.flatnonzero(surviving)
    text_key = np.frombuffer(b"".join(keys[i] for i in chosen), "<u8")
    word_count = np.frombuffer(b"".join(words[i] for i in chosen), "<u2").astype(np.int64)
    # A document without a domain is a site of its own.
    names = [name or f"{unit.index}/{number}" for number, name in enumerate(table["registered_domain"].to_pylist())]
    domains = [xxh3_64_intdigest(name.encode()) for name in names]
    domain = np.array(domains, np.uint64)[row]
    long = (word_count >= job.settings.paragraph_words) & (text_key != 0)
    short = np.where(text_key == 0, np.uint64(0), mix_keys(text_key, domain))
    number = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Lines(row, number, word_count, np.where(long, text_key, short), long, mix_keys(domain, _PAGES))


def mix_keys(one: Array, other: Array | np.uint64) -> Array:
    """One 64-bit key of two (the finalizer of splitmix64 over their combination)."""
    with np.errstate(over="ignore"):
        x = one * np.uint64(0xBF58476D1CE4E5B9) + other
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


# --- steps at units ---


def send_line_keys(job: Job, inbox: Inbox) -> Iterator[Parcel]:
    """Keys to count: each line once per document, and each document once under its domain."""
    if inbox.unit.previous:
        return
    lines = read_lines(job, inbox)
    wanted = (lines.key != 0) & np.where(lines.long, job.settings.paragraphs, job.settings.boilerplate)
    keys = np.concatenate([_once_per_document(lines.row[wanted], lines.key[wanted]), _domain_per_document(lines)])
    yield from send_keys(job, inbox, keys)


def _once_per_document(row: Array, key: Array) -> Array:
    pairs = np.stack([row.astype(np.uint64), key], axis=1)
    return np.unique(pairs, axis=0)[:, 1]


def _domain_per_document(lines: Lines) -> Array:
    _, first = np.unique(lines.row, return_index=True)
    return lines.domain[first]


def send_shared_lines(job: Job, inbox: Inbox) -> Iterator[Parcel]:
    """The paragraphs and sentences to keep on one page only, with the fields that rank their documents."""
    unit = inbox.unit
    if unit.previous:
        return
    lines = read_lines(job, inbox)
    long, repeated = _find_repeated(job, inbox, lines)
    shared = np.flatnonzero(long | (repeated & _are_sentences(job, lines)))
    records = read_ranked(unit, job.settings, LINED)[lines.row[shared]]
    records["key"] = lines.key[shared]
    yield from job.send_to_partitions(records, records["key"])


def find_removals(job: Job, inbox: Inbox) -> tuple[Lines, Array]:
    """The lines of the unit, and the mask of those to remove."""
    lines = read_lines(job, inbox)
    _, repeated = _find_repeated(job, inbox, lines)
    boilerplate = at_an_edge(lines, repeated) & ~_are_sentences(job, lines)
    elsewhere = inbox.records("kept_elsewhere", LINED)
    own = np.stack([lines.row.astype(np.uint64), lines.key], axis=1)
    better = np.stack([rows_of(elsewhere["document"]).astype(np.uint64), elsewhere["key"]], axis=1)
    return lines, boilerplate | _rows_in(own, better)


def _find_repeated(job: Job, inbox: Inbox, lines: Lines) -> tuple[Array, Array]:
    """Masks: long paragraphs that enough documents have; shorter lines that the domain repeats often enough."""
    counts = look_up_counts(lines.key, inbox)
    pages = look_up_counts(lines.domain, inbox)
    often = (counts >= job.settings.boilerplate_pages) & (counts >= job.settings.boilerplate_share * pages)
    long = lines.long & (counts >= job.settings.paragraph_pages) & job.settings.paragraphs
    return long, (lines.key != 0) & ~lines.long & often & job.settings.boilerplate


def _are_sentences(job: Job, lines: Lines) -> Array:
    mask: Array = lines.words >= job.settings.sentence_words
    return mask


def _rows_in(pairs: Array, wanted: Array) -> Array:
    """Mask of the (row, key) pairs that are among `wanted`."""
    whole = np.dtype([("row", "<u8"), ("key", "<u8")])
    found: Array = np.isin(
        np.ascontiguousarray(pairs, "<u8").view(whole).ravel(), np.ascontiguousarray(wanted, "<u8").view(whole).ravel()
    )
    return found


def at_an_edge(lines: Lines, repeated: Array) -> Array:
    """Mask of the repeated lines with only repeated or blank ones between them and the document's beginning or end.

    A document of nothing but repeated lines has no edges: otherwise all of it would be removed.
    """
    original = (lines.words > 0) & ~repeated
    before = np.cumsum(original)
    first = group_starts(lines.row)
    since_start: Array = before - (before - original)[first]
    total = np.zeros(int(lines.row.max(initial=-1)) + 1, np.int64)
    np.add.at(total, lines.row, original.astype(np.int64))
    mask: Array = repeated & (total[lines.row] > 0) & ((since_start == 0) | (since_start == total[lines.row]))
    return mask


# --- step at partitions ---


def keep_on_best_page(job: Job, parcels: Sequence[bytes]) -> Iterator[Message]:
    """For every shared line: a message to the units of all its documents but the best that it is kept elsewhere."""
    records = join_records(parcels, LINED)
    records = records[np.lexsort((*best_first(records), records["key"]))]
    best = group_starts(records["key"])
    elsewhere = records[records["document"] != records["document"][best]]
    yield from send_to_units("kept_elsewhere", elsewhere, elsewhere["document"])
