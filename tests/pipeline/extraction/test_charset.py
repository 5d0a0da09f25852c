"""Each step of choosing a page's character set, in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.charset import Decoding, decode

GERMAN = "<p>Über Größe und Maße entscheidet die Prüfstelle in Köln.</p>"
RUSSIAN = "<p>Вчера вечером в городе прошёл сильный дождь, и улицы быстро опустели до самого утра.</p>"
GREEK = "<p>Η θάλασσα ήταν ήρεμη και ο ουρανός καθαρός, όταν το πλοίο έφυγε από το λιμάνι.</p>"
CHINESE = "<p>昨天晚上城里下了一场大雨，街道很快就空了，直到早晨才有人出门。这本书讲述了一个渔夫的故事。</p>"
JAPANESE = "<p>昨日の夜、町に大雨が降り、通りはすぐに人がいなくなりました。この本は漁師の物語です。</p>"
KOREAN = "<p>어젯밤 도시에 큰비가 내려 거리는 금세 텅 비었습니다. 이 책은 어부의 이야기를 담고 있습니다.</p>"
POLISH = "<p>Wczoraj wieczorem w mieście spadł ulewny deszcz i ulice szybko opustoszały aż do świtu; źdźbła leżą.</p>"


def test_a_byte_order_mark_comes_first() -> None:
    for codec in ("utf-8-sig", "utf-16"):
        assert decode(GERMAN.encode(codec), "iso-8859-1") == (GERMAN, Decoding.BOM)


@pytest.mark.parametrize(
    ("label", "codec"),
    [
        ("utf-8", "utf-8"),
        ("UTF8", "utf-8"),
        (' "Windows-1252" ', "cp1252"),
        ("iso-8859-15", "iso8859_15"),
        ("latin1", "cp1252"),
    ],
)
def test_the_http_header_is_used_if_it_decodes_the_page(label: str, codec: str) -> None:
    assert decode(GERMAN.encode(codec), label) == (GERMAN, Decoding.HTTP_HEADER)


@pytest.mark.parametrize(
    ("label", "text", "codec"),
    [  # browsers' meaning of a name is wider than the standard's
        ("iso-8859-1", "“Größe” – 5 €", "cp1252"),
        ("us-ascii", "“Größe”", "cp1252"),
        ("gb2312", "朱镕基 㐀", "gb18030"),
        ("gbk", "€ 䶮", "gb18030"),
        ("shift_jis", "①髙﨑", "cp932"),
        ("ks_c_5601-1987", "똠방각하", "cp949"),
        ("big5", "香港嘅㗎", "big5hkscs"),
        ("iso-8859-9", "“ışık”", "cp1254"),
        ("tis-620", "“ภาษาไทย”", "cp874"),
        ("koi8-u", "Київ", "koi8_u"),
        ("utf-16", "Text", "utf-16-le"),
    ],
)
def test_charset_names_are_read_as_browsers_read_them(label: str, text: str, codec: str) -> None:
    assert decode(text.encode(codec), label) == (text, Decoding.HTTP_HEADER)


@pytest.mark.parametrize(
    "head",
    [
        '<meta charset="windows-1251">',
        "<meta charset=windows-1251 />",
        '<META HTTP-EQUIV="Content-Type" CONTENT="text/html; charset=WINDOWS-1251">',
        '<?xml version="1.0" encoding="windows-1251"?>',
    ],
)
def test_the_meta_declaration_is_used_next(head: str) -> None:
    page = head + RUSSIAN
    assert decode(page.encode("cp1251"), None) == (page, Decoding.META)
    assert decode(page.encode("cp1251"), "utf-8") == (page, Decoding.META)  # the header is wrong
    assert decode(page.encode("cp1251"), "no-such-charset") == (page, Decoding.META)


def test_utf8_is_recognized_whatever_was_declared() -> None:
    for label in (None, "iso-8859-1", "windows-1251", "gb2312", "utf-16", "no-such-charset"):
        assert decode(GERMAN.encode(), label) == (GERMAN, Decoding.UTF8)
    page = '<meta charset="iso-8859-1">' + GERMAN
    assert decode(page.encode(), "iso-8859-1") == (page, Decoding.UTF8)
    page = '<meta charset="utf-16">' + GERMAN  # a declaration readable as ASCII is not UTF-16
    assert decode(page.encode(), None) == (page, Decoding.META)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (CHINESE, "gb18030"),
        (CHINESE.replace("里", "裡").replace("场", "場"), "big5"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "cp949"),
        (POLISH, "cp1250"),
        (POLISH, "iso8859_2"),
    ],
)
def test_undeclared_charsets_are_detected_also_in_much_markup(text: str, codec: str) -> None:
    content = text.encode(codec, "ignore")
    text = content.decode(codec)
    markup = "<div class='menu'><a href='/contact.html'>Contact</a></div>\n" * 300
    assert decode(content, None) == (text, Decoding.DETECTED)
    assert decode(markup.encode() + content, "utf-8") == (markup + text, Decoding.DETECTED)


def test_a_few_broken_bytes_do_not_change_the_charset() -> None:
    broken = (GERMAN * 20).encode() + b"<p>\xe4</p>"
    for label in ("utf-8", None):
        assert decode(broken, label) == (GERMAN * 20 + "<p>\ufffd</p>", Decoding.REPLACED)
    assert decode((GERMAN * 20).encode()[:-10] + b"\xc3", "utf-8")[0].endswith("\ufffd")  # cut off in a character
    chinese = (CHINESE * 5).encode("gb18030") + b"\xff"
    assert decode(chinese, "gb2312") == (CHINESE * 5 + "\ufffd", Decoding.REPLACED)


def test_one_foreign_byte_in_an_english_page_is_latin() -> None:
    assert decode(b"A long English page with one caf\xe9 in it.", "utf-8") == (
        "A long English page with one café in it.",
        Decoding.DETECTED,
    )


ENGLISH = "<p>“Word number {}” and it didn’t end.</p>"


@pytest.mark.parametrize("label", ["utf-8", None, "windows-1252", "iso-8859-1", "shift_jis"])
@pytest.mark.parametrize("stray", [b"\xe9", b"\xe2\x80", b"\xa0", b"\xff", b"\xc3"])
def test_a_stray_byte_among_few_quotation_marks_is_the_only_one_that_is_broken(stray: bytes, label: str | None) -> None:
    text = "".join(map(ENGLISH.format, range(3)))
    content = text.encode() + b"<p>cut" + stray + b"</p>"
    assert decode(content, label) == (f"{text}<p>cut\ufffd</p>", Decoding.REPLACED)
    page = f'<meta charset="{label or "utf-8"}">'.encode() + content
    assert decode(page, None)[0].endswith(f"{text}<p>cut\ufffd</p>")


def test_a_character_that_is_cut_off_is_no_sign_of_another_charset() -> None:
    assert decode("An excerpt “".encode()[:-1] + b" ends", "utf-8") == ("An excerpt \ufffd ends", Decoding.REPLACED)


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("It didn’t open the café – it was “Sunday”.", "cp1252"),
        (GERMAN, "cp1252"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GREEK, "cp1253"),
        (CHINESE, "gb18030"),
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (KOREAN, "cp949"),
        (POLISH, "cp1250"),
        ("ประเทศไทยมีฝนตกหนักเมื่อคืนนี้และถนนว่างเปล่าจนถึงเช้า", "cp874"),
    ],
)
def test_another_charset_called_utf8_is_detected(text: str, codec: str) -> None:
    content = text.encode(codec, "ignore")
    assert decode(content, "utf-8") == (content.decode(codec), Decoding.DETECTED)


def test_a_stray_byte_does_not_change_a_declared_charset_either() -> None:
    assert decode("①土台".encode("cp932") + b"\xff", "shift_jis") == ("①土台\ufffd", Decoding.REPLACED)
    assert decode("어젯밤 도시".encode("cp949") + b"\xff", "euc-kr") == ("어젯밤 도시\ufffd", Decoding.REPLACED)


@pytest.mark.parametrize("label", ["iso-2022-jp", "utf-8", "shift_jis", None])
def test_iso_2022_jp_is_recognized_whatever_was_declared(label: str | None) -> None:
    content = b"<p>" + JAPANESE.encode("iso2022_jp") + b"\x1b$B-!\x1b(B</p>"
    how = Decoding.HTTP_HEADER if label == "iso-2022-jp" else Decoding.DETECTED
    assert decode(content, label) == (f"<p>{JAPANESE}①</p>", how)
    assert decode(b"costs \x1b$B5 only", None) == ("costs \x1b$B5 only", Decoding.UTF8)


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("label", ["utf-8", "windows-1252", None])
def test_utf16_without_a_mark_is_recognized(codec: str, label: str | None) -> None:
    assert decode(f"<html>{JAPANESE}".encode(codec), label) == (f"<html>{JAPANESE}", Decoding.DETECTED)


@given(st.text(alphabet=st.characters(min_codepoint=0xA0, exclude_categories=["Cs"]), min_size=3, max_size=80))
def test_utf8_with_fewer_broken_bytes_than_characters_is_read_as_by_a_browser(text: str) -> None:
    content = b"<p>" + text.encode() + b" \xff "
    if b"\xef\xbf\xbd" not in content:
        assert decode(content, "utf-8") == (content.decode("utf-8", "replace"), Decoding.REPLACED)


def test_empty_and_ascii_pages() -> None:
    assert decode(b"", None) == ("", Decoding.UTF8)
    assert decode(b"plain", "iso-8859-1") == ("plain", Decoding.HTTP_HEADER)
    assert decode(b"plain", "utf-16") == ("plain", Decoding.UTF8)
    assert decode(b"\x1b$B$3\x1b(B", "iso-2022-jp") == ("こ", Decoding.HTTP_HEADER)


@given(
    st.one_of(st.binary(max_size=200), st.text(max_size=60).map(lambda text: text.encode("utf-16"))),
    st.one_of(st.none(), st.text(max_size=20), st.sampled_from(["utf-7", "hex", "rot13", "idna", "unicode_escape"])),
    st.sampled_from([b"", b"<meta charset=undefined>", b"<meta charset=utf-7>", b"<?xml encoding='utf-32'?>"]),
)
def test_any_bytes_give_some_text_that_can_be_written(content: bytes, label: str | None, head: bytes) -> None:
    text, how = decode(head + content, label)
    text.encode()
    assert how in Decoding
    if content.isascii() and b"\x1b" not in content and b"~" not in content and not label:
        assert text == (head + content).decode()
