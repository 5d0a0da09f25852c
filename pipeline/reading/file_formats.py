"""The kinds of input files, told apart by their names: no file is opened to plan a run.

WARC, WET   .warc .wet, plain, .gz or .zst; and every name that is none of the following
JSONL       .jsonl .ndjson .json, plain, .gz or .zst: one JSON object a line
Parquet     .parquet: rows with a text or an HTML column (an index of Common Crawl is resolved to its WARC files)
HTML        .html .htm .xhtml: one page a file
"""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """How the records of an input file are stored."""

    WARC = "warc"
    JSONL = "jsonl"
    PARQUET = "parquet"
    HTML = "html"


_COMPRESSIONS = ("", ".gz", ".zst")
WARC_FILES = tuple(f"{name}{ending}" for name in (".warc", ".wet") for ending in _COMPRESSIONS)
JSONL_FILES = tuple(f"{name}{ending}" for name in (".jsonl", ".ndjson", ".json") for ending in _COMPRESSIONS)
PARQUET_FILES = (".parquet",)
HTML_FILES = (".html", ".htm", ".xhtml")
_ENDINGS = {Format.JSONL: JSONL_FILES, Format.PARQUET: PARQUET_FILES, Format.HTML: HTML_FILES}


def format_of(name: str) -> Format:
    """The format of an input file.

    >>> format_of("crawl-data/a.warc.gz"), format_of("c4.00000.json.gz"), format_of("Page.HTM")
    (<Format.WARC: 'warc'>, <Format.JSONL: 'jsonl'>, <Format.HTML: 'html'>)
    """
    lowered = name.lower()
    return next((kind for kind, endings in _ENDINGS.items() if lowered.endswith(endings)), Format.WARC)


def is_compressed(name: str) -> bool:
    """Whether the file is one compressed stream."""
    return name.lower().endswith((".gz", ".zst"))


def describe_place(name: str, offset: int) -> str:
    """Where a record is, for people: the columns `warc_file` and `warc_offset` of its row.

    >>> describe_place("a.warc.gz", 1234), describe_place("b.parquet", 7), describe_place("c.html", 0)
    ('a.warc.gz at byte 1,234', 'b.parquet at row 7', 'c.html')
    """
    match format_of(name):
        case Format.HTML:
            return name
        case Format.PARQUET:
            return f"{name} at row {offset:,}"
        case Format.JSONL if is_compressed(name):
            return f"{name} at byte {offset:,} of the decompressed file"
        case _:
            return f"{name} at byte {offset:,}"
