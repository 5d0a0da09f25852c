"""candidates/: one row for each document that reached deduplication, kept or not, with what decides about duplicates.

With it `gristmill whatif` repeats deduplication without a text: the keys and sketches of documents that were dropped,
the keys and words of all lines, and the columns that rank duplicates. Rows come in the order in which deduplication saw
the documents. The kept ones are the rows of the shard with the same number, in the same order, and so are their keys in
sketches/; the others are the rows of drops/ whose stage is `deduplicate`, in the same order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.deduplication.sketch import SKETCH_FIELDS
from pipeline.text import sum_word_counts, word_count_parts

_KEYS = [field.name for field in SKETCH_FIELDS[:4]]  # of kept documents they are in sketches/
_LINES = [field.name for field in SKETCH_FIELDS[4:]]
_RANKED = ("language_score", "quality_score", "education_score", "domain", "domain_score", "words", "characters")

CANDIDATE = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("language_score", pa.float64()),
        pa.field("quality_score", pa.float64()),
        pa.field("education_score", pa.float64()),
        pa.field("domain", pa.string()),
        pa.field("domain_score", pa.float64()),
        pa.field("words", pa.int64()),  # before lines were removed
        pa.field("characters", pa.int64()),
        *(pa.field(name, pa.binary()) for name in _KEYS),  # null where kept
        *(pa.field(name, pa.binary()) for name in _LINES),
        pa.field("line_words", pa.binary()),  # uint32 (3, lines): see `pack_line_words`
    ]
)


def candidate_row(row: Mapping[str, Any], *, kept: bool) -> dict[str, Any]:
    """The row of a staged document."""
    keys = dict.fromkeys(_KEYS) if kept else {name: row[name] for name in _KEYS}
    columns = {name: row[name] for name in ("id", *_RANKED, *_LINES)}
    return {**columns, **keys, "kept": kept, "line_words": pack_line_words(row["text"])}


def pack_line_words(text: str) -> bytes:
    """`word_count_parts` of every line as uint32 (3, lines): from them the words of any subset of lines are counted."""
    lines = text.split("\n")
    if text.isascii():  # the other two parts are not needed
        parts = np.zeros((3, len(lines)), "<u4")
        parts[0] = [len(line.split()) for line in lines]
    else:
        parts = np.array([word_count_parts(line) for line in lines], "<u4").T
    return parts.tobytes()


def count_words_left(line_words: bytes, removed: Collection[int]) -> int:
    """The words of the text without these lines.

    >>> count_words_left(pack_line_words("one two\\n漢字漢\\nthree"), [0])
    3
    """
    parts = np.frombuffer(line_words, "<u4").reshape(3, -1).astype(np.int64)
    left = np.delete(parts, sorted(removed), axis=1) if removed else parts
    return sum_word_counts(*left.sum(axis=1).tolist())
