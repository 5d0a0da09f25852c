"""Repair of C1 controls and doubly encoded text: what is repaired, and that right text is never changed."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.extraction.charset import Decoding
from pipeline.extraction.repair_text import read_text, repair
from tests.pipeline.extraction.test_charset import CHINESE, GERMAN, GREEK, JAPANESE, KOREAN, POLISH, RUSSIAN
from tests.pipeline.stages.close_texts import CLOSE

RIGHT = {
    "fr": "<p>« L’été dernier à Besançon », dit-elle… « c’était “génial” ! » ÉTÉ À L’ŒUVRE : 5 € – “CAFÉ”, GARÇON…</p>",
    "pt": "<p>NÃO É A ÚLTIMA: “CORAÇÃO”, «AVÔ», MAMÃ… SÃO PAULO – ÂNGELA “Â” e AÇÕES. Não é pão, irmã “Conceição”.</p>",
    "vi": "<p>Tiếng Việt có dấu: ĐƯỜNG, “QUẢNG TRỊ”, Âu Cơ, Ân – “Ổn”… Người thợ xay đưa bột, «cảm ơn».</p>",
    "de": "<p>»Überall« ÜBER „Äpfel“, ÖL – GRÖẞE… »Ä«</p>",
    "sv": "<p>ÅÄÖ: ”Ångström” – ÅÅÅ… «Ö»</p>",
    "es": "<p>¿QUÉ? ¡AÑO! «España» “MAÑANA” n.º 1, 1.ª, 20 °C, 5 £, ½</p>",
    "tr": "<p>İSTANBUL’DA “ŞIK” ÇIĞ… ĞÜ</p>",
    "cs": "<p>„ŽLUŤOUČKÝ“ KŮŇ – ÚPĚL ĎÁBELSKÉ ÓDY…</p>",
    "ro": "<p>„Ășa” ÎNTÂMPLĂ – BĂȚ…</p>",
    "is": "<p>„ÐÞÆ“ – það er ÆÐI…</p>",
    "uk": "<p>«ЄВРОПА» – “ЇЖАК” № 5… В’ЯЗ</p>",
    "sr": "<p>„ЂУРЂЕВДАН” – ЊЕГОШ, ЏЕП… Љ»</p>",
    "signs": "<p>© 2020 – §5 ¶ ® ™ ° ± µ · Ω ≈ √2 √© ├── dir └── Γ(x) ÷ × ¬ ¦</p>",
    "names": "<p>Ångström, Ørsted, Čapek, Þórður, Ñandú, Ærø, Škoda, Łódź, Győr, Ērgļi, Īle</p>",
}
PLAIN = {
    "French": "L’été dernier, la société « Près du lac » a ouvert une école à côté du château – déjà très fréquentée…",
    "Portuguese": "Não há razão para preocupação: “a situação está sob controle”, disse o irmão à mãe.",
    "Vietnamese": "Người thợ xay chỉ cho chúng tôi cách xay ngũ cốc giữa hai hòn đá nặng.",
    "English": "“It’s only a mill – isn’t it?” she said… It costs £5, or €6, at 20 °C.",
    "Russian": "Вчера вечером в городе прошёл сильный дождь, и улицы быстро опустели.",
    "Japanese": "昨日の夜、町に大雨が降り、通りはすぐに人がいなくなりました。",
}


def doubly_encoded(text: str, charset: str) -> str:
    """UTF-8 read as the charset; the bytes that windows-1252 lacks become C1 controls, as in browsers."""
    return "".join(bytes([byte]).decode(charset, "replace").replace("\ufffd", chr(byte)) for byte in text.encode())


@pytest.mark.parametrize("text", PLAIN.values(), ids=PLAIN.keys())
@pytest.mark.parametrize("charset", ["cp1252", "latin-1"])
def test_utf8_that_was_read_as_windows_1252_is_repaired(text: str, charset: str) -> None:
    page = f"<html><body><h1>{text}</h1><p>{text}</p></body></html>"
    damaged = page.replace(text, doubly_encoded(text, charset))
    assert repair(damaged) == page


@pytest.mark.parametrize("charset", ["cp1251", "mac_roman", "cp437"])
def test_utf8_that_was_read_as_other_charsets_is_repaired(charset: str) -> None:
    text = "She said “it’s only a café – isn’t it?” and left."
    assert repair(f"<p>{text.encode().decode(charset, 'ignore')}</p>") == f"<p>{text}</p>"


def test_text_that_was_encoded_three_times_and_references_to_its_characters() -> None:
    twice = doubly_encoded(doubly_encoded("l’été", "cp1252"), "cp1252")
    assert repair(f"<p>{twice}</p>") == "<p>l’été</p>"
    assert repair("<p>caf&Atilde;&copy; d&acirc;&euro;&trade;or &lt;b&gt;</p>") == "<p>café d’or &lt;b&gt;</p>"
    assert repair("<p>&#195;&#169;t&#xC3;&#xA9;</p>") == "<p>été</p>"


def test_only_the_damaged_piece_of_a_page_changes() -> None:
    page = "<p>Über uns: «déjà vu»</p><p>{}</p><p>Größe &amp; Maße</p>"
    assert repair(page.format("Die MÃ¼hle am FluÃŸ")) == page.format("Die Mühle am Fluß")


@pytest.mark.parametrize("text", RIGHT.values(), ids=RIGHT.keys())
def test_right_text_is_not_changed(text: str) -> None:
    assert repair(text) == text
    assert repair(text.upper()) == text.upper()
    assert repair(re.sub("<.?p>", "", text)) == re.sub("<.?p>", "", text)


def test_right_text_of_many_scripts_is_not_changed() -> None:
    for text in (*CLOSE.values(), CHINESE, GERMAN, GREEK, JAPANESE, KOREAN, POLISH, RUSSIAN, *PLAIN.values()):
        assert repair(text) == text
        assert repair(f"“{text.upper()}”") == f"“{text.upper()}”"


@pytest.mark.parametrize(
    "page",
    [
        "<p>This is called mojibake: cafÃ© for café.</p>",
        "<table><td>Ã©</td></table><p>These signs come from a wrong character encoding.</p>",
        "<p>é becomes Ã©, and ü becomes Ã¼.</p>",
    ],
)
def test_pages_about_damaged_text_keep_their_examples(page: str) -> None:
    assert repair(page) == page


@pytest.mark.parametrize(
    ("damaged", "right"),
    [
        ("don\x92t \x93stop\x94 \x96 \x80 5\x85", "don’t “stop” – € 5…"),
        ("don&#146;t &#x93;stop&#x94; &#150; &#0128; 5&#133", "don’t “stop” – € 5…"),
        ("&#1460; &#14; &#x920; &#9216;", "&#1460; &#14; &#x920; &#9216;"),
    ],
)
def test_c1_controls_are_read_as_windows_1252(damaged: str, right: str) -> None:
    assert repair(damaged) == right


def test_bytes_are_decoded_and_repaired() -> None:
    assert read_text("<p>It’s 5 €</p>".encode("cp1252"), "iso-8859-1") == ("<p>It’s 5 €</p>", Decoding.HTTP_HEADER)
    assert read_text("<p>don\x92t – “x”</p>".encode(), "utf-8") == ("<p>don’t – “x”</p>", Decoding.HTTP_HEADER)
    damaged = "<p>doesnâ€™t</p>".encode()
    assert read_text(damaged, "utf-8") == ("<p>doesn’t</p>", Decoding.HTTP_HEADER)


@given(st.text(max_size=80), st.sampled_from(["", "<p>", "Ã©", "&#146;", "&Atilde;&copy;"]))
def test_any_text_is_repaired_once(text: str, more: str) -> None:
    once = repair(more + text)
    assert len(once) <= len(more + text)
    if (more + text).isascii() and "&" not in more + text:
        assert once == more + text


def test_data_of_a_script_is_left_as_it_is():
    damaged = "cafÃ© and naÃ¯ve "
    assert repair(damaged) != damaged
    assert repair(f"<script>{damaged * 2_000}</script>") == f"<script>{damaged * 2_000}</script>"
