"""Addresses that Cloudflare hides: decoded for every engine, so that scrub_pii masks them; broken codes stay alone."""

from __future__ import annotations

from typing import get_args

import pytest

from pipeline.documents import Document, Page
from pipeline.extraction.engines import EngineName
from pipeline.extraction.parsed_page import parse_page
from pipeline.extraction.protected_addresses import decode_address
from pipeline.stages import extract_text, scrub_pii

PROSE = "The mill stands by the river, and its wheel has turned since the days of the old king. " * 3
HIDDEN = "[email&#160;protected]"
LINK = "/cdn-cgi/l/email-protection"


def hide(text: str, key: int = 0x5A) -> str:
    """As Cloudflare's servers write it."""
    return bytes([key, *(byte ^ key for byte in text.encode())]).hex()


def parse(body: str) -> str:
    page = Page("http://a.example/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, f"<body>{body}</body>".encode())
    return parse_page(page, 10**7, 10**5).blocks.text


@pytest.mark.parametrize("engine", get_args(EngineName))
def test_a_page_with_hidden_addresses_is_scrubbed_as_if_they_were_shown(engine: EngineName) -> None:
    miller, baker = hide("tom.miller@clay-works.com"), hide("jane@uni-bonn.de?subject=Flour", key=0xC3)
    body = (
        f"<p>{PROSE}Write to <a href='{LINK}' class='__cf_email__' data-cfemail='{miller}'>{HIDDEN}</a> today.</p>"
        f"<p>{PROSE}Bread is sold by <a href='{LINK}#{baker}'>{HIDDEN}</a> only.</p>"
        f"<p>{PROSE}Or ask <a href='{LINK}#{miller}'><b class='__cf_email__' data-cfemail='{miller}'>{HIDDEN}</b></a> "
        f"again, <a href='{LINK}#{miller}'>by letter</a> or by telephone.</p>"
    )
    html = f"<html><head><title>The mill</title></head><body><article><h1>The mill</h1>{body}</article></body></html>"
    page = Page("http://a.example/", "2026-01-01T00:00:00Z", "a.warc.gz", 0, html.encode())
    extracted = extract_text.build(extract_text.ExtractTextSettings(engine=engine))(page)
    assert isinstance(extracted, Document)
    scrubbed = scrub_pii.build(scrub_pii.ScrubPiiSettings())(extracted)
    assert isinstance(scrubbed, Document)
    words = " ".join(scrubbed.text.split())
    assert "Write to <EMAIL_1> today." in words
    assert "Bread is sold by <EMAIL_2> only." in words
    assert "Or ask <EMAIL_1> again, by letter or by telephone." in words
    assert scrubbed.signals["pii_emails"] == 3


@pytest.mark.parametrize(
    "code",
    [
        "",
        "5",
        "5a",
        "no digits",
        "٣٤",
        hide("no address"),
        hide("two words@clay.org"),
        hide("mill@clay"),
        hide("mill@clay.org\0"),
        hide("<b>mill@clay.org"),
        hide("mill@clay.org\U000f0000"),
        "00ff" + hide("mill@clay.org", key=0)[2:],  # no UTF-8
        hide("mill@clay.org?subject=" + "x" * 500),  # too long
        hide("x" * 65 + "@clay.org"),
    ],
)
def test_what_is_no_hidden_address_is_left_as_it_is(code: str) -> None:
    assert decode_address(code) == ""
    body = f"<p>To <b data-cfemail='{code}'>{HIDDEN}</b>, <a href='{LINK}#{code}'>{HIDDEN}</a>."
    assert " ".join(parse(body).split()) == "To [email protected], [email protected]."


def test_an_element_around_the_rest_of_the_page_keeps_its_text() -> None:
    assert parse(f"<div data-cfemail='{hide('mill@clay.org')}'><p>{PROSE}</p></div>").strip() == PROSE.strip()
