"""Decode bytes as browsers do (WHATWG Encoding standard): Python's codecs, and tables where browsers read more.

What Python's codecs lack, compared with Chromium for every byte and pair of bytes of every label:

- undefined bytes of the windows code pages are C1 controls; koi8-u has the Belarusian letters;
- EUC-JP and ISO-2022-JP have the signs of NEC row 13 (circled numbers, units) and IBM's kanji, as Shift_JIS has;
- GBK has the euro sign at 0x80; GB 18030 maps 18 characters to the private use area that have code points today;
- Big5 is a mixture of the tables of Microsoft and Hong Kong.

A broken byte is one U+FFFD, and an ASCII byte after half a character stays. Three labels that browsers refuse to read
(hz-gb-2312, iso-2022-kr, iso-2022-cn) are left to Python: their text is text.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import cache, lru_cache

from resiliparse.parse.encoding import map_encoding_to_html5

# From the name in the label table of browsers to the Python codec that covers as many characters
_CODECS = {"gbk": "gb18030", "big5": "big5hkscs", "shift_jis": "cp932", "euc_kr": "cp949", "iso8859-11": "cp874"}
# Labels of browsers that the table of resiliparse lacks
_MORE_LABELS = {
    "x-mac-cyrillic": "mac_cyrillic", "x-mac-ukrainian": "mac_cyrillic", "x-user-defined": "x-user-defined",
    "csiso88598i": "iso8859-8", "iso-8859-8-i": "iso8859-8", "logical": "iso8859-8",
}  # fmt: skip
# Python codecs that are no charsets of web pages
_NOT_ON_THE_WEB = {"idna", "punycode", "utf-7", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}

_ERROR = "\ufffd"
# Of these, browsers read other characters than Python, or more. Undefined bytes of the windows code pages are not among
# them: they hint at a wrong label, so that strict decoding fails.
_READ_OTHERWISE = frozenset({"euc_jp", "iso2022_jp", "big5hkscs", "cp932", "koi8-u", "x-user-defined"})
_CORRECTED_BYTES = {"koi8-u": {0xAE: "ў", 0xBE: "Ў"}, "cp1255": {0xCA: "\u05ba"}}
_GB18030 = str.maketrans(  # characters that had no code point when Python's table was made
    "\ue5e5\ue78d\ue78e\ue78f\ue790\ue791\ue792\ue793\ue794\ue795\ue796\ue7c7\ue81e\ue826\ue82b\ue82c\ue832\ue843"
    "\ue854\ue864",
    "\u3000︐︒︑︓︔︕︖︗︘︙ḿ龴龵龶龷龸龹龺龻",
)
_CP932 = str.maketrans("\uf8f0\uf8f1\uf8f2\uf8f3", _ERROR * 4)  # bytes that no character has
_PAIR = rb"[\x81-\xfe][\x40-\x7e\xa1-\xfe]"
_BIG5_TOKEN = re.compile(rb"[\x00-\x7f]+|%b|[\x81-\xfe][\x80-\xff]|[\x80-\xff]" % _PAIR)
_EUC_TOKEN = re.compile(
    rb"[\x00-\x7f]+|[\xa1-\xfe][\x80-\xff]|\x8e[\x80-\xff]|\x8f[\xa1-\xfe][\x80-\xff]|\x8f[\x80-\xff]|[\x80-\xff]"
)
_JIS_ESCAPE = re.compile(rb"\x1b(\([BJI]|\$[@B])")
_JIS_TOKEN = re.compile(rb"[\x21-\x7e]{2}|[\x00-\x20\x7f-\xff]|[\x21-\x7e]")
_JIS_ERRORS = re.compile("[\x0e\x0f\x1b\x80-\xff]")
# Big5: characters of HKSCS-2008 from 0x877A on, and pairs that neither of Python's tables has.
_BIG5_87 = (
    "㡵𡵓𣚞𦀡㻬𥣞㫵竼龗𤅡𨤍𣇪𠪊𣉞䌊蒄龖鐯䤰蘓墖靊鈘秐稲晠権袝瑌篅枂稬剏遆"
    "㓦珄𥶹瓆鿇垳䤯呌䄱𣚎堘穲𧭥讏䚮𦺈䆁𥶙箮𢒼鿈𢓁𢓉𢓌鿉蔄𣖻䂴鿊䓡𪷿拁灮鿋"
)
_BIG5_PAIRS = (
    "8e69箸8e6f簆8e7e糎8eab緒8eb4縝8ecd者8ed0耨8f57菁8f69蒨8f6e萏8fcb覦8fcc覩8ffe起906d都907a銹90dc靜90f1響"
    "91bf鼖9244蔃92af兙92b0兛92b1兝92b2兞92c8鍮92d1瑹9447浧94ca禛95d9邗9644靝96ed瀞96fc嬨9b76爁9b78矗9b7b纇"
    "9bc6駖9bde釔9bec惞9bf6澶9c42輶9c53侻9c62營9c68鄄9c6b鷰9c77菏9cbc尐9cbd秣9cd0婧9d57輋9d5a筑9dc4拐9ea9恢"
    "9eef痹9efd汊9f60鬮9f66鼗9fcb僭9fd8弌a063蠏a077拎a0d5瑨a0df煢a0e4牐c6cf廴c6d3无c6d5癶c6d7隶c6de〃c6df仝"
    "fa5f倩fa66偽fabd包fac5卄fad5卿fb48嘅fbb8婷fbf3幵fbf9廐fc4f彘fc6c悤fcb9撐fce2晴fcf1杞fdb7沜fdb8渝fdbb港"
    "fdf1煮fe52猪fe6f瑜feaa瓩fedd砉"
)


@lru_cache(maxsize=1024)
def find_codec(label: str) -> str | None:
    """The codec for a charset label of the web, a name for the functions below; None for an unknown label."""
    label = label.strip().strip("\"'").lower()
    if not label or not label.isascii():
        return None
    name = _MORE_LABELS.get(label) or map_encoding_to_html5(label, fallback_utf8=False) or label
    name = _CODECS.get(name, name)
    if name == "x-user-defined":
        return name
    try:
        is_text = codecs.lookup(name)._is_text_encoding
    except (LookupError, ValueError):
        return None
    return name if is_text and name not in _NOT_ON_THE_WEB else None


def decode_strictly(content: bytes, codec: str) -> str | None:
    """The text; None if a byte is broken or, in a windows code page, undefined: then the label may be wrong."""
    if codec in _READ_OTHERWISE:
        text = decode_with_errors(content, codec)
        return None if _ERROR in text else text
    try:
        text = content.decode(codec)
    except (UnicodeDecodeError, ValueError):
        return None
    return text.translate(_GB18030) if codec == "gb18030" else text


def decode_with_errors(content: bytes, codec: str) -> str:
    """The text as a browser shows it, with U+FFFD for broken bytes."""
    if codec == "euc_jp":
        return "".join(map(_decode_euc, _EUC_TOKEN.findall(content)))
    if codec == "iso2022_jp":
        return "".join(_decode_jis(content))
    if codec == "big5hkscs":
        return "".join(map(_decode_big5, _BIG5_TOKEN.findall(content)))
    if table := _single_byte_table(codec):
        return codecs.charmap_decode(content, "replace", table)[0]
    text = content.decode(codec, "gristmill.pair" if codec in ("gb18030", "cp932", "cp949") else "replace")
    return text.translate(_GB18030) if codec == "gb18030" else text.translate(_CP932) if codec == "cp932" else text


@cache
def _single_byte_table(codec: str) -> str:
    """The characters of the 256 bytes of a one-byte charset, as browsers have them; "" for another charset."""
    if codec == "x-user-defined":
        return "".join(chr(byte if byte < 0x80 else 0xF700 + byte) for byte in range(256))
    if not re.fullmatch(r"cp125\d|cp874|koi8-u", codec):
        return ""
    read = [bytes([byte]).decode(codec, "replace") for byte in range(256)]
    read = [chr(byte) if char == _ERROR and byte < 0xA0 else char for byte, char in enumerate(read)]
    for byte, char in _CORRECTED_BYTES.get(codec, {}).items():
        read[byte] = char
    return "".join(read)


@cache
def _jis_table() -> dict[bytes, str]:
    """JIS X 0208 with the extensions of NEC and IBM by pairs of 7-bit bytes, from the same rows of Shift_JIS."""
    table = {}
    for row in range(1, 95):
        for cell in range(1, 95):
            lead = (row - 1) // 2 + (0x81 if row <= 62 else 0xC1)
            trail = cell + 0x3F + (cell > 63) if row % 2 else cell + 0x9E
            char = bytes([lead, trail]).decode("cp932", "replace")
            table[bytes([row + 0x20, cell + 0x20])] = char if len(char) == 1 else _ERROR
    return table


def _decode_euc(token: bytes) -> str:
    if token.isascii():
        return token.decode("ascii")
    if token[0] == 0x8F:  # JIS X 0212
        text = token.decode("euc_jp", "replace")
        return _ERROR if _ERROR in text else text.replace("~", "～")
    if token[0] == 0x8E:
        return chr(0xFEC0 + token[1]) if len(token) == 2 and 0xA1 <= token[1] <= 0xDF else _ERROR
    return _jis_table().get(bytes(byte & 0x7F for byte in token), _ERROR) if token[-1] >= 0xA1 else _ERROR


def _decode_jis(content: bytes) -> Iterator[str]:
    start, mode = 0, b"(B"
    for escape in (*_JIS_ESCAPE.finditer(content), None):
        part = content[start : escape.start() if escape else None]
        if mode[:1] == b"$":
            table = _jis_table()
            # A line break between two-byte characters is an error in browsers, but pages have it.
            yield "".join(
                table.get(token, token.decode("ascii") if token in b"\r\n" else _ERROR)
                for token in _JIS_TOKEN.findall(part)
            )
        elif mode == b"(I":
            yield "".join(chr(0xFF40 + byte) if 0x21 <= byte <= 0x5F else _ERROR for byte in part)
        else:
            text = _JIS_ERRORS.sub(_ERROR, part.decode("latin-1"))
            yield text.replace("\\", "¥").replace("~", "‾") if mode == b"(J" else text
        if escape:
            start, mode = escape.end(), escape[1]


def _decode_big5(token: bytes) -> str:
    if token.isascii():
        return token.decode("ascii")
    return _big5_table().get(token) or _ERROR + (chr(token[1]) if token[1:] and token[1] < 0x80 else "")


@cache
def _big5_table() -> dict[bytes, str]:
    table = {}
    for lead in range(0x81, 0xFF):
        for trail in (*range(0x40, 0x7F), *range(0xA1, 0xFF)):
            pair = bytes([lead, trail])
            text = pair.decode("cp950" if lead in (0xA1, 0xA2) or pair == b"\xa3\xe1" else "big5hkscs", "replace")
            if _ERROR not in text:
                table[pair] = text
    trails = [*range(0x7A, 0x7F), *range(0xA1, 0xE0)]
    table |= {bytes([0x87, trail]): char for trail, char in zip(trails, _BIG5_87, strict=True)}
    table |= {bytes([0xA3, 0xC0 + n]): chr(0x2400 + n if n < 32 else 0x2421) for n in range(33)}
    pairs = [_BIG5_PAIRS[start : start + 5] for start in range(0, len(_BIG5_PAIRS), 5)]
    return table | {bytes.fromhex(pair[:4]): pair[4] for pair in pairs}


def _replace_pair(error: UnicodeError) -> tuple[str, int]:
    """An error handler: a lead byte with a wrong second byte is one U+FFFD, and an ASCII second byte stays."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    lead, trail = error.object[error.start], error.object[error.start + 1 : error.start + 2]
    if lead == 0x80 and error.encoding == "gb18030":
        return "€", error.start + 1
    alone = (0x80, 0xA0, 0xFD, 0xFE, 0xFF) if error.encoding == "cp932" else (0x80, 0xFF)
    return _ERROR, error.start + (2 if lead not in alone and not trail.isascii() else 1)


codecs.register_error("gristmill.pair", _replace_pair)
