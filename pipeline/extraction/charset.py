"""Decode the bytes of a page: choose the character set, and report the step that chose it.

Order: byte order mark, ISO-2022-JP's escape sequences, HTTP header, <meta> or XML declaration, UTF-8, detection,
replacement. Declarations are often wrong, so each must decode the whole page without an error, and bytes beyond ASCII
that are valid UTF-8 are UTF-8 whatever is declared (text in other charsets is hardly ever valid UTF-8; windows-1252
accepts anything).

A page with broken bytes keeps the charset that decodes the others: detection would turn a good UTF-8 page into
gibberish for one bad byte. It is UTF-8 if its valid characters beyond ASCII are at least as many as its broken bytes.
Messages of a program in 16 languages, cut into pieces of 400 bytes in their legacy charsets, had at most .49 as many
(Thai and Japanese have .25 on average, European languages none); a Latin-1 page called UTF-8 has none.

Names and bytes are read as browsers read them (`web_codecs.py`): iso-8859-1 means windows-1252, gb2312 means gb18030.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from itertools import islice

import charset_normalizer
from resiliparse.parse.encoding import detect_encoding

from pipeline.extraction.web_codecs import decode_strictly, decode_with_errors, find_codec

# Up to this share of characters beyond ASCII may be broken before another charset than the declared one is looked for,
# or two where there are few of them. Cut-off pages and stray bytes lie far below it, a wrong charset far above.
TOLERANCE = 0.05
_FEW_ERRORS = 2
_PRESCAN = 4096  # bytes; browsers search <meta charset> in 1,024, but real pages have long scripts before it
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_CUT_OFF = re.compile(rb"(?:[\xe1-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})(?![\x80-\xbf])")
# Two-byte characters between two escape sequences: no other charset of the web has them.
_ISO_2022_JP = re.compile(rb"\x1b\$[@B](?:[\x21-\x7e]{2}|[\r\n])++\x1b\([BJ]")

_MIN_SAMPLE = 40  # bytes beyond ASCII that charset-normalizer needs
_RUN = re.compile(rb"[\x80-\xff]+(?:[\x00-\x7f]{1,16}[\x80-\xff]+)*")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")


class Decoding(StrEnum):
    """The step that chose the character set."""

    BOM = "bom"
    HTTP_HEADER = "http_header"
    META = "meta"
    UTF8 = "utf8"
    DETECTED = "detected"
    REPLACED = "replaced"  # the best charset, with U+FFFD where bytes are broken


def decode(content: bytes, http_charset: str | None) -> tuple[str, Decoding]:
    """The text and the step that chose the charset. Never fails: any bytes give some text."""
    for bom, codec in _BOMS:
        if content.startswith(bom):
            return content[len(bom) :].decode(codec, "replace"), Decoding.BOM
    declared = list(_find_declarations(content, http_charset))
    ascii_only = content.isascii()
    escaped = _find_by_structure(content, ascii_only)
    if escaped:
        steps = (how for codec, how in declared if codec == escaped)
        return decode_with_errors(content, escaped), next(steps, Decoding.DETECTED)
    as_utf8 = decode_strictly(content, "utf-8")
    valid, broken = (0, 0) if as_utf8 is not None else _count_utf8(content)
    for codec, how in declared:
        if as_utf8 is not None and (codec == "utf-8" or not ascii_only):
            return as_utf8, how if codec == "utf-8" else Decoding.UTF8
        text = None if 0 < broken <= valid else decode_strictly(content, codec)
        if text is not None:
            return text, how
    if as_utf8 is not None:
        return as_utf8, Decoding.UTF8
    cut_off = any(codec == "utf-8" for codec, _ in declared) and _count_cut_off(content) == broken
    if broken <= valid or cut_off:
        return content.decode("utf-8", "replace"), Decoding.REPLACED
    return _decode_with_errors(content, [codec for codec, _ in declared if codec != "utf-8"])


def _find_by_structure(content: bytes, ascii_only: bool) -> str | None:
    """UTF-16 without a byte order mark, or ISO-2022-JP: no other charset looks like them."""
    if content.startswith((b"<\x00", b"\x00<")):
        return "utf-16-le" if content[0] else "utf-16-be"
    return "iso2022_jp" if ascii_only and b"\x1b$" in content and _ISO_2022_JP.search(content) else None


def _count_cut_off(content: bytes) -> int:
    """Bytes of UTF-8 characters that lack their end: an excerpt is often cut inside of a quotation mark."""
    return sum(len(found[0]) for found in _CUT_OFF.finditer(content))


def _count_utf8(content: bytes) -> tuple[int, int]:
    """Valid characters beyond ASCII, and bytes that are no part of one."""
    foreign = _BEYOND_ASCII.findall(content.decode("utf-8", "surrogateescape"))
    broken = sum("\udc80" <= char <= "\udcff" for run in foreign for char in run)
    return sum(map(len, foreign)) - broken, broken


def _decode_with_errors(content: bytes, declared: list[str]) -> tuple[str, Decoding]:
    for codec in dict.fromkeys(declared):
        text = decode_with_errors(content, codec)
        foreign = sum(map(len, _BEYOND_ASCII.findall(text)))
        if text.count("\ufffd") <= max(TOLERANCE * foreign, min(_FEW_ERRORS, foreign / 4)):
            return text, Decoding.REPLACED
    detected = _detect(content)
    strict = decode_strictly(content, detected)
    if strict is not None:
        return strict, Decoding.DETECTED
    return decode_with_errors(content, detected), Decoding.REPLACED


def _detect(content: bytes) -> str:
    """Detect the charset from the bytes beyond ASCII and their neighbors only: markup would outweigh a few words.

    uchardet (in resiliparse) is right on most pages and fast. It returns UTF-8 if it cannot decide (for all of Korean),
    but UTF-8 is excluded here; charset-normalizer then decides, if there are enough bytes.
    """
    runs = islice(_RUN.finditer(content), 2000)
    sample = b" ".join(content[max(0, run.start() - 16) : run.end() + 16] for run in runs)
    codec = find_codec(detect_encoding(sample[:20_000]))
    if codec and codec != "utf-8":
        return codec
    foreign = sum(byte > 127 for byte in sample[:4000])
    best = charset_normalizer.from_bytes(sample[:4000]).best() if foreign >= _MIN_SAMPLE else None
    return (find_codec(best.encoding) if best else None) or "windows-1252"


def _find_declarations(content: bytes, http_charset: str | None) -> Iterator[tuple[str, Decoding]]:
    codec = find_codec(http_charset or "")
    if codec and not (codec.startswith("utf-16") and b"\x00" not in content[:_PRESCAN]):
        yield codec, Decoding.HTTP_HEADER
    head = content[:_PRESCAN]
    found = _META.search(head) or _XML.search(head)
    codec = find_codec(found[1].decode("ascii")) if found else None
    if codec:  # a declaration that is readable as ASCII is not UTF-16; browsers then use UTF-8
        yield ("utf-8" if codec.startswith("utf-16") else codec), Decoding.META
