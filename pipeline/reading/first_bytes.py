"""What a file is by its first bytes: an image or a web page that was saved under the name of another format."""

from __future__ import annotations

import zlib

from pipeline import effects, storage
from pipeline.reading.compressed_members import ZSTD_MAGIC
from pipeline.reading.file_formats import Format, format_of, is_compressed

EMPTY = "empty"
_BYTES = 4096
_JSON, _WARC, _PARQUET, _UTF16 = "JSON", "a WARC file", "a Parquet file", "text in UTF-16"
_GZIP = b"\x1f\x8b"
_PACKED = ((_GZIP, "a gzip file"), (ZSTD_MAGIC, "a zstd file"))
_BINARY = (
    (b"\x89PNG", "a PNG image"), (b"\xff\xd8\xff", "a JPEG image"), (b"GIF8", "a GIF image"), (b"%PDF", "a PDF"),
    (b"PK\x03\x04", "a ZIP archive"), (b"PAR1", _PARQUET), (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"BZh", "a bzip2 file"), (b"\xfd7zXZ", "an xz file"), (b"Rar!", "a RAR archive"), (b"\x7fELF", "a program"),
    (b"SQLite format", "a SQLite database"), (b"\xff\xfe", _UTF16), (b"\xfe\xff", _UTF16),
)  # fmt: skip
_TEXTS = (
    (b"<", "a web page or XML"), (b"{", _JSON), (b"[", "a JSON array; it needs one JSON object a line"),
    (b"WARC/", _WARC),
)  # fmt: skip
_OWN = {
    Format.WARC: (_WARC,),
    Format.JSONL: (_JSON,),
    Format.PARQUET: (_PARQUET,),
    Format.HTML: (_UTF16, *(name for _, name in _TEXTS)),  # a page may begin with any text
}


def read_start(path: str, size: int | None = None) -> bytes:
    """The first bytes; one small request."""
    with storage.explain_errors(path, "read"), storage.open_binary(path, 0, _BYTES, size) as file:
        return effects.read_fully(file, _BYTES)


def describe_start(start: bytes, name: str) -> str:
    """What a file of this name is by its first bytes; "" if it is what its name says, or unknown.

    A file of unknown bytes is read: the beginning may be damaged. EMPTY for one without content, also compressed.

    >>> describe_start(b"<!DOCTYPE html>", "a.warc"), describe_start(b"WARC/1.0", "a.warc")
    ('a web page or XML', '')
    """
    kind, packed = format_of(name), _find(start, _PACKED)
    if packed and kind is not Format.WARC and not is_compressed(name):
        return packed
    content = _unpack(start)
    if not content:
        return EMPTY if content is not None else ""
    found = describe_binary(content) or _find(_strip(content), _TEXTS)
    if kind is Format.JSONL and found == _JSON and is_compressed(name) and not packed:
        return "JSON that is not compressed"
    return "" if found in _OWN[kind] else found


def say_other_format(path: str, name: str, found: str) -> str:
    """One line about a file that is not what its name says."""
    kind = format_of(name)
    shown = kind.value.capitalize() if kind is Format.PARQUET else kind.value.upper()
    return f"{path}: the file is empty" if found == EMPTY else f"{path}: is no {shown} file, but {found}"


def describe_binary(content: bytes) -> str:
    """The format of bytes that are no text in UTF-8, "" for all others."""
    return "a tar archive" if content[257:262] == b"ustar" else _find(_strip(content), _BINARY)


def _unpack(start: bytes) -> bytes | None:
    """None where the beginning of a gzip member is damaged or gives nothing yet."""
    if not start.startswith(_GZIP):
        return start
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(start, _BYTES)
    except zlib.error:
        return None
    return content if content or (unpacking.eof and not unpacking.unused_data) else None


def _strip(content: bytes) -> bytes:
    return content.removeprefix(b"\xef\xbb\xbf").lstrip()


def _find(content: bytes, formats: tuple[tuple[bytes, str], ...]) -> str:
    return next((name for magic, name in formats if content.startswith(magic)), "")
