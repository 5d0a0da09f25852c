"""Lines repeated across pages, among the documents that survived as a whole.

A *long* paragraph stays on the best page that has it, wherever the others are. Shorter lines matter only where many
pages of one registered domain repeat them: a *sentence* then stays on the best page too, and a line of a few words goes
from the page's header and footer, and only from there. Unrelated sites share short lines, and nothing happens to them.
Code and table lines carry the key 0 and never take part.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from xxhash import xxh3_64_intdigest

from pipeline.deduplication.messages import Inbox, Job, Message, counts_of, to_units
from pipeline.deduplication.records import LINED, Array, StagedUnit, best_first, first_of_group, joined, ranked, row_of
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.survivors import survives

_PAGES = np.uint64(0x9E3779B97F4A7C15)  # marks the key under which a domain's pages are counted


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a unit's surviving documents, all in a row."""

    row: Array  # document
    number: Array  # line of the document
    words: Array
    key: Array  # 0: blank, code or table; long paragraphs: of the text; short ones: of text and domain
    long: Array
    domain: Array  # key of the domain's page count


def lines(unit: StagedUnit, settings: DeduplicateSettings, surviving: Array) -> Lines:
    table = unit.columns(["paragraphs", "paragraph_words", "registered_domain"])
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
    long = (word_count >= settings.paragraph_words) & (text_key != 0)
    short = np.where(text_key == 0, np.uint64(0), mixed(text_key, domain))
    number = np.arange(len(row)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return Lines(row, number, word_count, np.where(long, text_key, short), long, mixed(domain, _PAGES))


def mixed(one: Array, other: Array | np.uint64) -> Array:
    """One 64-bit key of two (the finalizer of splitmix64 over their combination)."""
    with np.errstate(over="ignore"):
        x = one * np.uint64(0xBF58476D1CE4E5B9) + other
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


# --- at units ---


def line_keys(job: Job, inbox: Inbox) -> Iterator[tuple[int, Any]]:
    """Keys to count: each line once a document, and each document once under its domain."""
    unit = inbox.unit
    if unit.previous:
        return
    found = lines(unit, job.settings, _surviving(job, inbox))
    wanted = (found.key != 0) & np.where(found.long, job.settings.paragraphs, job.settings.boilerplate)
    keys = np.concatenate([_once_a_document(found.row, found.key, wanted), _pages(found)])
    for partition, part in job.to_partitions(keys, keys):
        yield partition, (inbox.index, part)


def _surviving(job: Job, inbox: Inbox) -> Array:
    rows = inbox.unit.columns(["registered_domain"]).num_rows
    return survives(job, inbox, rows)


def _once_a_document(row: Array, key: Array, wanted: Array) -> Array:
    pairs = np.stack([row[wanted].astype(np.uint64), key[wanted]], axis=1)
    return np.unique(pairs, axis=0)[:, 1]


def _pages(found: Lines) -> Array:
    _, first = np.unique(found.row, return_index=True)
    return found.domain[first]


def shared_lines(job: Job, inbox: Inbox) -> Iterator[tuple[int, Any]]:
    """The paragraphs and sentences that shall stay on one page only, with what ranks their documents."""
    unit = inbox.unit
    if unit.previous:
        return
    found = lines(unit, job.settings, _surviving(job, inbox))
    long, repeated = _shared(job, inbox, found)
    shared = np.flatnonzero(long | (repeated & _sentences(job, found)))
    records = ranked(unit, job.settings, LINED)[found.row[shared]]
    records["key"] = found.key[shared]
    yield from job.to_partitions(records, records["key"])


def removals(job: Job, inbox: Inbox, surviving: Array) -> tuple[Lines, Array]:
    """The unit's lines, and the mask of those to take out."""
    found = lines(inbox.unit, job.settings, surviving)
    _, repeated = _shared(job, inbox, found)
    boilerplate = at_an_edge(found, repeated) & ~_sentences(job, found)
    elsewhere = inbox.records("elsewhere", LINED)
    mine = np.stack([found.row.astype(np.uint64), found.key], axis=1)
    theirs = np.stack([row_of(elsewhere["document"]).astype(np.uint64), elsewhere["key"]], axis=1)
    return found, boilerplate | _rows_in(mine, theirs)


def _shared(job: Job, inbox: Inbox, found: Lines) -> tuple[Array, Array]:
    """Masks: long paragraphs that enough documents have; shorter lines that the domain repeats often enough."""
    counts = counts_of(found.key, inbox)
    pages = counts_of(found.domain, inbox)
    often = (counts >= job.settings.boilerplate_pages) & (counts >= job.settings.boilerplate_share * pages)
    long = found.long & (counts >= job.settings.paragraph_pages) & job.settings.paragraphs
    return long, (found.key != 0) & ~found.long & often & job.settings.boilerplate


def _sentences(job: Job, found: Lines) -> Array:
    mask: Array = found.words >= job.settings.sentence_words
    return mask


def _rows_in(mine: Array, theirs: Array) -> Array:
    whole = np.dtype([("row", "<u8"), ("key", "<u8")])
    found: Array = np.isin(
        np.ascontiguousarray(mine, "<u8").view(whole).ravel(), np.ascontiguousarray(theirs, "<u8").view(whole).ravel()
    )
    return found


def at_an_edge(found: Lines, repeated: Array) -> Array:
    """Mask of the repeated lines with only repeated or blank ones between them and the document's beginning or end.

    A document of nothing but repeated lines has no edges: all of it would go.
    """
    original = (found.words > 0) & ~repeated
    before = np.cumsum(original)
    first = first_of_group(found.row)
    since_start: Array = before - (before - original)[first]
    total = np.zeros(int(found.row.max(initial=-1)) + 1, np.int64)
    np.add.at(total, found.row, original.astype(np.int64))
    mask: Array = repeated & (total[found.row] > 0) & ((since_start == 0) | (since_start == total[found.row]))
    return mask


# --- at partitions ---


def best_page(settings: DeduplicateSettings, blobs: Sequence[bytes]) -> Iterator[Message]:
    """For every line that shall stay once: all documents but the best are told that it is elsewhere."""
    records = joined(blobs, LINED)
    records = records[np.lexsort((*best_first(records), records["key"]))]
    first = first_of_group(records["key"])
    elsewhere = records[records["document"] != records["document"][first]]
    yield from to_units("elsewhere", elsewhere, elsewhere["document"])
