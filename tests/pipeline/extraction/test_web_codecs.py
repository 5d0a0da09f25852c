"""Charsets as browsers read them; the oracle is Chromium's TextDecoder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from selenium import webdriver

from pipeline.extraction.web_codecs import decode_strictly, decode_with_errors, find_codec
from tests.pipeline.browser import open_page, require_browser

# The names of the standard's encodings, and some of its 228 labels for each kind.
ONE_BYTE = """
    ibm866 iso-8859-2 iso-8859-3 iso-8859-4 iso-8859-5 iso-8859-6 iso-8859-7 iso-8859-8 iso-8859-8-i iso-8859-10
    iso-8859-13 iso-8859-14 iso-8859-15 iso-8859-16 koi8-r koi8-u macintosh windows-874 windows-1250 windows-1251
    windows-1252 windows-1253 windows-1254 windows-1255 windows-1256 windows-1257 windows-1258 x-mac-cyrillic
    x-user-defined
""".split()  # noqa: SIM905
TWO_BYTES = ("gbk", "big5", "euc-jp", "shift_jis", "euc-kr")
LABELS = """
    utf8 unicode-1-1-utf-8 866 l2 csisolatin2 latin3 cyrillic arabic asmo-708 greek8 sun_eu_greek hebrew visual
    logical csiso88598i l6 l9 koi koi8-ru mac x-mac-roman dos-874 tis-620 iso-8859-11 cp1250 ascii cp819 iso-ir-100
    latin1 iso-8859-1 iso-8859-9 latin5 x-mac-ukrainian chinese gb_2312-80 gb2312 x-gbk big5-hkscs cn-big5 x-x-big5
    x-euc-jp cseucpkdfmtjapanese csiso2022jp ms932 ms_kanji sjis windows-31j x-sjis korean ks_c_5601-1987 ksc5601
    windows-949 unicodefffe ucs-2 unicode utf-16
""".split()  # noqa: SIM905

_DECODE = """
    const points = text => Array.from(text, char => char.codePointAt(0));
    return arguments[1].map(bytes => points(new TextDecoder(arguments[0]).decode(new Uint8Array(bytes))));
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    require_browser()
    folder: Path = tmp_path_factory.mktemp("browser")
    (folder / "page.html").write_text("<!doctype html>")
    with open_page(folder / "page.html", folder / "profile") as driver:
        yield driver


def decode_in(browser: webdriver.Chrome, label: str, samples: list[bytes]) -> list[str]:
    found = browser.execute_script(_DECODE, label, [list(sample) for sample in samples])
    return ["".join(map(chr, points)) for points in found]


def differences(browser: webdriver.Chrome, label: str, samples: list[bytes]) -> dict[str, tuple[str, str]]:
    codec = find_codec(label)
    assert codec
    pairs = zip(samples, decode_in(browser, label, samples), strict=True)
    return {
        sample.hex(): (read, wanted)
        for sample, wanted in pairs
        if (read := decode_with_errors(sample, codec)) != wanted
    }


@pytest.mark.browser
@pytest.mark.parametrize("label", ONE_BYTE)
def test_every_byte_is_read_as_in_a_browser(browser: webdriver.Chrome, label: str) -> None:
    assert differences(browser, label, [bytes([byte]) for byte in range(256)]) == {}


@pytest.mark.browser
@pytest.mark.parametrize("label", TWO_BYTES)
def test_every_pair_of_bytes_is_read_as_in_a_browser(browser: webdriver.Chrome, label: str) -> None:
    # Between letters: a browser shows a lead byte at the end of a text without the digit that could continue it.
    samples = [
        b"a%b%bz" % (bytes([lead]), bytes([trail])) for lead in range(0x80, 0x100) for trail in range(0x30, 0x100)
    ]
    found = differences(browser, label, samples)
    # Chromium's driver returns the four letters with a combining accent as two code units of UTF-16.
    accents = {"6188627a", "6188647a", "6188a37a", "6188a57a"} if label == "big5" else set()
    assert {sample: pair for sample, pair in found.items() if sample not in accents} == {}


@pytest.mark.browser
def test_the_second_plane_of_euc_jp_is_read_as_in_a_browser(browser: webdriver.Chrome) -> None:
    samples = [bytes([0x8F, lead, trail]) for lead in range(0xA1, 0xFF) for trail in range(0xA1, 0xFF)]
    assert differences(browser, "euc-jp", samples) == {}


@pytest.mark.browser
def test_iso_2022_jp_is_read_as_in_a_browser(browser: webdriver.Chrome) -> None:
    pairs = [bytes([lead, trail]) for lead in range(0x21, 0x7F) for trail in range(0x21, 0x7F)]
    texts = [b"a\x1b$B" + pair + b"\x1b(Bz\x1b$@" + pair + b"\x1b(Jb\\~" for pair in pairs]
    texts += [b"a\x1b(I\x31\x32\x33\x1b(Bz", b'a\x1b$B$"\x1b(J\\', b"a\x80b"]
    assert differences(browser, "iso-2022-jp", texts) == {}


@pytest.mark.browser
def test_labels_mean_what_they_mean_in_a_browser(browser: webdriver.Chrome) -> None:
    names = browser.execute_script("return arguments[0].map(label => new TextDecoder(label).encoding)", LABELS)
    assert {label: find_codec(label) for label in LABELS} == {
        label: find_codec(name) for label, name in zip(LABELS, names, strict=True)
    }


@pytest.mark.parametrize(
    ("label", "content", "text"),
    [  # written down from the tables of the standard, for machines without a browser
        ("euc-jp", b"\xad\xa1\xc5\xda\xc2\xe6 \xad\xea\xbb\xb3\xc5\xc4\xc1\xc8 58\xad\xd1", "①土台 ㈱山田組 58㎝"),
        ("euc-jp", b"\x8e\xb1\x8e\xb2\x8f\xb0\xa1", "ｱｲ丂"),
        ("iso-2022-jp", b"a\x1b$B-!EZBf\x1b(Bb", "a①土台b"),
        ("gbk", b"\x805", "€5"),
        ("big5", b"\xa1E\xa3\xe1\x87\xde", "‧€灮"),
        ("koi8-u", b"\xae\xbe", "ўЎ"),
        ("windows-1252", b"\x80\x81\x9d", "€\x81\x9d"),
        ("windows-1255", b"\xca", "\u05ba"),
        ("x-user-defined", b"A\x80\xff", "A\uf780\uf7ff"),
        ("shift_jis", b"\x81a\x81\xadb", "∥\ufffdb"),
        ("euc-jp", b"\xb0a\xb0\xffb", "\ufffda\ufffdb"),
    ],
)
def test_characters_that_python_does_not_read(label: str, content: bytes, text: str) -> None:
    codec = find_codec(label)
    assert codec
    assert decode_with_errors(content, codec) == text
    if codec in ("euc_jp", "iso2022_jp", "big5hkscs", "koi8-u", "x-user-defined") and "\ufffd" not in text:
        assert decode_strictly(content, codec) == text


def test_a_byte_that_is_undefined_in_a_code_page_is_no_strict_decoding() -> None:
    assert decode_strictly(b"\x81", "cp1252") is None
    assert decode_strictly(b"\xc9\x92", "cp1252") == "É’"


@given(st.binary(max_size=60), st.sampled_from([*ONE_BYTE, *TWO_BYTES, "gb18030", "iso-2022-jp", "utf-8", "utf-16"]))
def test_any_bytes_give_text_and_ascii_stays(content: bytes, label: str) -> None:
    codec = find_codec(label)
    assert codec
    decode_with_errors(content, codec).encode("utf-8", "surrogatepass")
    if codec not in ("utf-16-le", "iso2022_jp"):
        assert decode_with_errors(b"plain text", codec) == "plain text"
    strict = decode_strictly(content, codec)
    assert strict is None or strict == decode_with_errors(content, codec)
