"""What phase 1 stores of a document so that phase 2 can find its copies without its text: keys and sketches.

One way to split a text holds for everything here and for `remove_paragraphs`: lines, counted from 0, as
`text.split("\\n")` gives them, blank ones included. Code, table and blank lines have the key 0 and are never removed.
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
from pipeline.text import tokenize

SKETCH_FIELDS: list[pa.Field] = [
    pa.field("url_key", pa.binary(16), nullable=False),
    pa.field("text_key", pa.binary(16), nullable=False),
    pa.field("bands", pa.binary(), nullable=False),  # one little-endian uint64 a band; empty: too short for shingles
    pa.field("sketch", pa.binary(), nullable=False),  # one byte a row of the signature; empty with `bands`
    pa.field("paragraphs", pa.binary(), nullable=False),  # one little-endian uint64 a line
    pa.field("paragraph_words", pa.binary(), nullable=False),  # one little-endian uint16 a line, 65,535 for more
]

# What a run stores of its kept documents, so that later runs can drop what it has already published.
PUBLISHED_SKETCH = pa.schema([pa.field("id", pa.string(), nullable=False), *SKETCH_FIELDS[:4]])

_NUMBER = re.compile(r"\d+")


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """Every line, and whether it may be compared across pages: code and tables may not."""
    fenced = False
    for line in text.split("\n"):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        yield line, not (fence or fenced or line.lstrip().startswith("|"))


def _line_key(words: list[str], sentence: bool) -> int:
    # As CCNet's paragraph key (lower case, no punctuation, digits to 0), but a number of any length is one 0, and from
    # a sentence on numbers stay: there they are what the line says, and not the number of a page or a date.
    text = " ".join(words)
    return xxh3_64_intdigest((text if sentence else _NUMBER.sub("0", text)).encode("utf-8", "surrogatepass")) or 1


def sketch_columns(document: Document, settings: DeduplicateSettings) -> dict[str, bytes]:
    """The values of `SKETCH_FIELDS` for one document."""
    lines = [(tokenize(line), prose) for line, prose in lines_of(document.text)]
    line_keys = [
        _line_key(words, len(words) >= settings.sentence_words) if words and prose else 0 for words, prose in lines
    ]
    words = [word for line, _ in lines for word in line]
    hashes = minhash.shingle_hashes(words)
    values = minhash.signature(hashes, settings.signature_rows)
    bands = minhash.band_keys(values, settings.bands, settings.rows)
    return {
        "url_key": _key(normalize_url(document.url) or document.id),  # pages without a URL are not all one page
        "text_key": _key(" ".join(words) or document.text),  # nor are texts of punctuation all one text
        "bands": bands.astype("<u8").tobytes() if len(hashes) else b"",
        "sketch": minhash.sketch(values).tobytes() if len(hashes) else b"",
        "paragraphs": np.array(line_keys, "<u8").tobytes(),
        "paragraph_words": np.array([min(len(line), 0xFFFF) for line, _ in lines], "<u2").tobytes(),
    }


def remove_paragraphs(text: str, indices: Collection[int]) -> str:
    """The text without these lines; blank lines that would then stand twice or at an end go with them."""
    if not len(indices):
        return text
    removed = {int(i) for i in indices}
    kept: list[str] = []
    gap = False  # were lines removed since the last line that was kept?
    for number, line in enumerate(text.split("\n")):
        if number in removed:
            gap = True
        elif gap and not line.strip() and (not kept or not kept[-1].strip()):
            continue
        else:
            gap = gap and not line.strip()
            kept.append(line)
    if gap:
        while kept and not kept[-1].strip():
            kept.pop()
    return "\n".join(kept)
