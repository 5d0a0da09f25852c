"""Refuse inputs that are plainly something else than WARC: a web page or an image that was saved under such a name."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from itertools import islice

from pipeline import storage
from pipeline.reading.file_formats import Format, format_of
from pipeline.reading.inputs import Input
from pipeline.reading.listings import InputError

CHECKED = 16  # input files that are looked at before a run; one small request each
_BYTES = 4096
# First bytes of other formats. A file of unknown bytes is read: the beginning of a WARC file may be damaged.
_OTHERS = (
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"), (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"), (b"PAR1", "a Parquet file"), (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"BZh", "a bzip2 file"), (b"\xfd7zXZ", "an xz file"), (b"Rar!", "a RAR archive"), (b"\x7fELF", "a program"),
    (b"SQLite format", "a SQLite database"), (b"<", "a web page or XML"), (b"{", "JSON"), (b"[", "JSON"),
)  # fmt: skip


def check_formats(inputs: Sequence[Input]) -> None:
    """Raise InputError for one of the first inputs whose first bytes are those of another format."""
    for entry in islice((entry for entry in inputs if format_of(entry.name) is Format.WARC), CHECKED):
        if entry.ranges or not entry.size:
            continue
        with storage.explain_errors(entry.path, "read"), storage.open_binary(entry.path, 0, _BYTES, entry.size) as file:
            found = describe_other_format(file.read(_BYTES))
        if found:
            raise InputError(f"{entry.path}: is no WARC file, but {found}")


def describe_other_format(start: bytes) -> str:
    """The format that a file with these first bytes has, "" for WARC, WET and unknown ones.

    >>> describe_other_format(b"<!DOCTYPE html>"), describe_other_format(b"WARC/1.0")
    ('a web page or XML', '')
    """
    if start.startswith(b"\x1f\x8b"):
        try:
            start = zlib.decompressobj(wbits=31).decompress(start, _BYTES)
        except zlib.error:
            return ""
        if start[257:262] == b"ustar":
            return "a tar archive"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    return next((name for magic, name in _OTHERS if text.startswith(magic)), "")
