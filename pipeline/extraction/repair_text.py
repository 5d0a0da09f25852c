"""Repair decoded text that was damaged before it was served: C1 controls, and UTF-8 that was read as another charset.

C1 controls (U+0080 to U+009F, and references such as `&#146;`) are bytes of windows-1252 in a page that calls itself
something else: browsers show the character for a reference, and authors meant it elsewhere. 8% of 690 news pages of
2012 have some, mostly as apostrophes.

UTF-8 read as windows-1252 (or -1251, MacRoman, cp437) and encoded again is repaired by ftfy, one piece of text between
two tags at a time. ftfy takes 29 ms for a page, so it gets only pieces in which a first byte of a UTF-8 sequence stands
before a second one, as characters of those charsets: 0.3 ms for a page, and 13 of 390 real pages have such a pair.
Pages that explain the damage keep their examples.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from html import unescape

from pipeline.extraction.charset import Decoding, decode

_C1 = re.compile(
    r"[\x80-\x9f]|&#(?:0{0,5}1(?:2[89]|[34][0-9]|5[0-9])(?![0-9])|[xX]0{0,5}[89][0-9a-fA-F](?![0-9a-fA-F]));?"
)
# Searches in bytes that begin with fixed bytes are ten times as fast as one for a class of characters, and a search for
# the first byte alone takes a tenth of that.
_HAS_C1 = ((b"\xc2", re.compile(rb"\xc2[\x80-\x9f]")), (b"&", re.compile(rb"&#(?:0*1[2-5]|[xX]0*[89])")))
# For each charset, the first byte of a UTF-8 sequence as a character of it, then a further byte; all encoded in UTF-8.
_PAIRS = tuple(
    (first, re.compile(first + rest))
    for first, rest in (
        # windows-1252
        (b"\xc3", rb"[\x82-\xb4](?:\xc2[\x80-\xbf]|\xe2[\x80-\x84]|\xc5[\x92-\xbe]|\xc6\x92|\xcb[\x80-\x9f])"),
        # windows-1251
        (b"\xd0", rb"[\x92-\xa1](?:\xd0[\x80-\x8f]|\xd1[\x90-\x9f]|\xd2[\x90\x91]|\xe2[\x80-\x84]|\xc2[\xa0-\xbb])"),
        (b"\xd0", rb"\xb2\xd0\x82"),
        (b"\xe2", rb"(?:\x88\x9a[\xc2-\xef]|\x80\x9a\xc3\x84|\x94\x9c[\xc2-\xef])"),  # MacRoman, and cp437
        (b"\xc4", rb"\x82[\xc2-\xe2]"),  # windows-1250
        (b"\xce", rb"(?:\x93\xc3\x87|\xb2\xe2\x82\xac)"),  # cp437, windows-1253
    )
)
_REFERENCE_PAIR = re.compile(rb"&(?:A(?:circ|tilde)|acirc|#(?:19[45]|226|[xX](?:[cC][23]|[eE]2)));[&\xc2-\xef]")
_REFERENCE = re.compile(r"&(?:#[0-9]{3,4}|#[xX][0-9a-fA-F]{2,4}|[A-Za-z]{3,8});")
_BETWEEN_TAGS = re.compile(r"([<>\n]+)")
_EXPLAINED = (
    "mojibake", "文字化け", "乱码", "亂碼", "кракозябр", "zeichensalat", "krzaczki", "character encod", "double encod",
    "double-encod", "encoding issue", "encoding problem", "encoding error",
)  # fmt: skip
_LONGEST_PIECE = (
    20_000  # characters; longer ones are data in scripts, for which ftfy took 63 and 84 ms on two of 367 pages
)
_MAX_ROUNDS = 3  # text that was encoded three times has been seen, four times not


def read_text(content: bytes, http_charset: str | None) -> tuple[str, Decoding]:
    """The repaired text of a page's bytes, and the step that chose the charset."""
    text, decoding = decode(content, http_charset)
    return repair(text), decoding


def repair(text: str) -> str:
    """The text (or HTML source) with C1 controls as windows-1252, and without doubly encoded UTF-8."""
    if text.isascii() and "&#" not in text and "&Atilde;" not in text:
        return text
    source = text.encode("utf-8", "replace")
    if _has_any(_HAS_C1, source):
        text = _C1.sub(_from_windows_1252, text)
        source = text.encode("utf-8", "replace")
    in_references = _REFERENCE_PAIR.search(source) is not None
    if not (in_references or _has_any(_PAIRS, source)):
        return text
    lowered = text.lower()
    if any(words in lowered for words in _EXPLAINED):
        return text
    return "".join(
        piece
        if len(piece) > _LONGEST_PIECE or (piece.isascii() and not in_references)
        else _repair_piece(piece, in_references)
        for piece in _BETWEEN_TAGS.split(text)
    )


def _from_windows_1252(found: re.Match[str]) -> str:
    """The character in windows-1252; the five bytes that it lacks stay, because ftfy may need them."""
    char = unescape(f"{found[0].rstrip(';')};") if found[0][0] == "&" else found[0]
    return char.encode("latin-1").decode("cp1252", "replace").replace("\ufffd", char) if char <= "\x9f" else char


def _has_any(patterns: Iterable[tuple[bytes, re.Pattern[bytes]]], source: bytes) -> bool:
    return any(first in source and pattern.search(source) for first, pattern in patterns)


def _repair_piece(piece: str, in_references: bool) -> str:
    plain = _REFERENCE.sub(_read_reference, piece) if in_references and "&" in piece else piece
    if plain.isascii() or not _has_any(_PAIRS, plain.encode("utf-8", "replace")):
        return piece
    from ftfy import TextFixerConfig, fix_encoding  # imported here: 0.06 s, and one page in thirty needs it
    from ftfy.badness import badness

    config, repaired = TextFixerConfig(unescape_html=False, remove_terminal_escapes=False), plain
    for _ in range(_MAX_ROUNDS):
        before, repaired = repaired, fix_encoding(repaired, config)
        if repaired == before:
            break
    return repaired if badness(repaired) < badness(plain) and not _is_right(plain, repaired) else piece


def _is_right(text: str, repaired: str) -> bool:
    """Whether the text was right or shows the damage on purpose.

    A repaired character that occurs undamaged in the same piece: the piece is about the damage. One pair of characters
    beside right letters with accents: a capital before a quotation mark, as in ÂNGELA “Â”.
    """
    before, after = Counter(text), Counter(repaired)
    if any(char > "\x7f" and 0 < before[char] < count for char, count in after.items()):
        return True
    return len(text) - len(repaired) < 2 and any(char > "\x7f" and char.isalpha() for char in before & after)


def _read_reference(found: re.Match[str]) -> str:
    char = unescape(found[0])
    return char if len(char) == 1 and char > "\x7f" else found[0]
