"""Keys and sketches of a document, from which deduplication finds its duplicates without its text.

Lines are numbered from 0, as `text.split("\\n")` returns them, blank ones included, in the stored keys as in
`remove_lines`. Code, table and blank lines have the key 0 and are never removed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from xxhash import xxh3_64_intdigest

from classifiers.urls import normalize_url
from pipeline.deduplication import minhash
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.documents import Document
from pipeline.markdown_signs import close_break
from pipeline.text import tokenize

SKETCH_FIELDS: list[pa.Field] = [
    pa.field("url_key", pa.binary(16), nullable=False),
    pa.field("text_key", pa.binary(16), nullable=False),
    pa.field("bands", pa.binary(), nullable=False),  # one little-endian uint64 per band; empty: too few tokens
    pa.field("sketch", pa.binary(), nullable=False),  # one byte per row of the signature; empty if `bands` is
    pa.field("paragraphs", pa.binary(), nullable=False),  # one little-endian uint64 per line
    pa.field("paragraph_words", pa.binary(), nullable=False),  # one little-endian uint16 per line, at most 65,535
]

# What a run stores of each kept document, so that later runs can drop its duplicates.
PUBLISHED_SKETCH = pa.schema([pa.field("id", pa.string(), nullable=False), *SKETCH_FIELDS[:4]])

_NUMBER = re.compile(r"\d+")


def _hash_text(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def split_lines(text: str) -> Iterator[tuple[str, bool]]:
    """(line, whether it is prose) for every line; code and tables are not, and are not compared across pages."""
    fenced = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        yield line, not (fence or fenced or line.lstrip().startswith("|"))


def _line_key(words: list[str], sentence: bool) -> int:
    # As CCNet's paragraph key (lower case, no punctuation, digits replaced by 0), but a number of any length is one 0,
    # and sentences keep their numbers: those of short lines are page numbers and dates, those of sentences are content.
    text = " ".join(words)
    return xxh3_64_intdigest((text if sentence else _NUMBER.sub("0", text)).encode("utf-8", "surrogatepass")) or 1


def sketch_columns(document: Document, settings: DeduplicateSettings) -> dict[str, bytes]:
    """The values of `SKETCH_FIELDS` for one document."""
    lines = [(tokenize(line), prose) for line, prose in split_lines(document.text)]
    line_keys = [
        _line_key(words, len(words) >= settings.sentence_words) if words and prose else 0 for words, prose in lines
    ]
    words = [word for line, _ in lines for word in line]
    hashes = minhash.shingle_hashes(words)
    values = minhash.signature(hashes, settings.signature_rows)
    bands = minhash.band_keys(values, settings.bands, settings.rows)
    return {
        "url_key": _hash_text(normalize_url(document.url) or document.id),  # pages without a URL are not one page
        "text_key": _hash_text(" ".join(words) or document.text),  # texts of punctuation alone are not one text
        "bands": bands.astype("<u8").tobytes() if len(hashes) else b"",
        "sketch": minhash.sketch(values).tobytes() if len(hashes) else b"",
        "paragraphs": np.array(line_keys, "<u8").tobytes(),
        "paragraph_words": np.array([min(len(line), 0xFFFF) for line, _ in lines], "<u2").tobytes(),
    }


def remove_lines(text: str, numbers: Collection[int]) -> str:
    """The text without these lines, and without the blank lines that would then be doubled or at an end.

    A line of Markdown before a removed one loses the backslash that broke it, at the end of its paragraph.
    """
    if not len(numbers):
        return text
    removed = {int(number) for number in numbers}
    kept: list[str] = []
    gap = False  # were lines removed since the last line that was kept?
    for number, line in enumerate(text.split("\n")):
        if number in removed:
            gap = True
            continue
        is_blank = not line.strip()
        if gap and is_blank:
            close_break(kept)
            if not kept or not kept[-1].strip():
                continue
        gap = gap and is_blank
        kept.append(line)
    if gap:
        close_break(kept)
        while kept and not kept[-1].strip():
            kept.pop()
    return "\n".join(kept)
