"""Decode the bytes of a page: choose the character set, and report the step that chose it.

Order: byte order mark, HTTP header, <meta> or XML declaration, UTF-8, detection, replacement. Declarations are often
wrong, so each must decode the whole page without an error, and bytes beyond ASCII that are valid UTF-8 are UTF-8
whatever is declared (text in other charsets is hardly ever valid UTF-8; windows-1252 accepts anything). A page with a
few broken bytes keeps the charset that decodes all others: detection would turn a good UTF-8 page into gibberish for
one bad byte.

Names are read as browsers read them (WHATWG Encoding standard): iso-8859-1 means windows-1252, gb2312 means gb18030.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from enum import StrEnum
from functools import lru_cache
from itertools import islice

import charset_normalizer
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

# Up to this share of characters beyond ASCII may be broken before another charset is looked for. Cut-off pages and
# stray bytes lie far below it, a wrong charset far above.
TOLERANCE = 0.05
_PRESCAN = 4096  # bytes; browsers search <meta charset> in 1,024, but real pages have long scripts before it
_META = re.compile(rb"<meta[^>]{0,300}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.IGNORECASE)
_XML = re.compile(rb"^\s*<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})")
_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
# From the name in the label table of browsers to the Python codec that covers as many characters
_CODECS = {"gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-11": "cp874"}
# Python codecs that are no charsets of web pages
_NOT_ON_THE_WEB = {"idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}


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
    as_utf8 = _decode_strictly(content, "utf-8")
    for codec, how in declared:
        if as_utf8 is not None and (codec == "utf-8" or not content.isascii()):
            return as_utf8, how if codec == "utf-8" else Decoding.UTF8
        text = _decode_strictly(content, codec)
        if text is not None:
            return text, how
    if as_utf8 is not None:
        return as_utf8, Decoding.UTF8
    return _decode_with_errors(content, [codec for codec, _ in declared])


def _decode_with_errors(content: bytes, declared: list[str]) -> tuple[str, Decoding]:
    for codec in dict.fromkeys([*declared, "utf-8"]):
        text = content.decode(codec, "replace")
        foreign = sum(map(len, _BEYOND_ASCII.findall(text)))
        if text.count("\ufffd") <= TOLERANCE * foreign:
            return text, Decoding.REPLACED
    detected = _detect(content)
    strict = _decode_strictly(content, detected)
    if strict is not None:
        return strict, Decoding.DETECTED
    return content.decode(detected, "replace"), Decoding.REPLACED


def _detect(content: bytes) -> str:
    """Detect the charset from the bytes beyond ASCII and their neighbors only: markup would outweigh a few words.

    uchardet (in resiliparse) is right on most pages and fast. It returns UTF-8 if it cannot decide (for all of Korean),
    but UTF-8 is excluded here; charset-normalizer then decides, if there are enough bytes.
    """
    runs = islice(_RUN.finditer(content), 2000)
    sample = b" ".join(content[max(0, run.start() - 16) : run.end() + 16] for run in runs)
    codec = _find_codec(detect_encoding(sample[:20_000]))
    if codec and codec != "utf-8":
        return codec
    foreign = sum(byte > 127 for byte in sample[:4000])
    best = charset_normalizer.from_bytes(sample[:4000]).best() if foreign >= _MIN_SAMPLE else None
    return (_find_codec(best.encoding) if best else None) or "windows-1252"


def _find_declarations(content: bytes, http_charset: str | None) -> Iterator[tuple[str, Decoding]]:
    codec = _find_codec(http_charset or "")
    if codec and not (codec.startswith("utf-16") and b"\x00" not in content[:_PRESCAN]):
        yield codec, Decoding.HTTP_HEADER
    head = content[:_PRESCAN]
    found = _META.search(head) or _XML.search(head)
    codec = _find_codec(found[1].decode("ascii")) if found else None
    if codec:  # a declaration that is readable as ASCII is not UTF-16; browsers then use UTF-8
        yield ("utf-8" if codec.startswith("utf-16") else codec), Decoding.META


def _decode_strictly(content: bytes, codec: str) -> str | None:
    try:
        return content.decode(codec)
    except (UnicodeDecodeError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _find_codec(label: str) -> str | None:
    """Python's codec for a charset label of the web; None for an unknown label."""
    label = label.strip().strip("\"'").lower()
    if not label or not label.isascii():
        return None
    name = map_encoding_to_html5(label, fallback_utf8=False) or label
    name = _CODECS.get(name, name)
    try:
        is_text = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return None
    return name if is_text and name not in _NOT_ON_THE_WEB else None
