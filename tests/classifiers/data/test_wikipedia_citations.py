"""The reader of Wikipedia dumps, on hand-made dumps with every kind of citation."""

import bz2
import tracemalloc
from pathlib import Path

import pytest

from classifiers.data.wikipedia_citations import CitationKind, DumpError, articles, citations, clean_url, open_dump

WIKITEXT = """
Prose.<ref>{{cite web|url=https://example.org/a?utm_source=x|title=A|archive-url=https://web.archive.org/web/2020/https://example.org/a}}</ref>
Two on a line<ref name="n1">[http://www.example.com/b B]</ref><ref group=note name=n2>See http://example.net/c.</ref>
Again.<ref name="n1" />
{{Infobox company | website = {{URL|https://infobox.example}} | note = x<ref>{{cite book
 | title = Book
 | chapter-url = https://books.example/ch
}}</ref>}}
== Bibliography ==
* {{cite journal|url=//journal.example/d|title=D}}
== External links ==
* [https://external.example/e?a=1&amp;b=2 Official site]
* [https://web.archive.org/web/20150101000000/http://gone.example/page Gone]
* {{official website|https://official.example/}}
* [[File:Pic.jpg|thumb|Caption with [https://caption.example link]]]
<!-- https://comment.example/no -->
"""


def dump_of(*pages: tuple[str, str, str]) -> bytes:
    body = "".join(
        f"<page><title>{title}</title><ns>{ns}</ns><id>1</id><revision><text>"
        + text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        + "</text></revision></page>"
        for title, ns, text in pages
    )
    return f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">{body}</mediawiki>'.encode()


def test_every_kind_of_citation_is_found() -> None:
    found = {(citation.url, citation.kind, citation.template) for citation in citations("T", WIKITEXT)}
    assert found == {
        ("https://example.org/a?utm_source=x", CitationKind.REF, "cite web"),
        ("http://www.example.com/b", CitationKind.NAMED_REF, ""),
        ("http://example.net/c", CitationKind.NAMED_REF, ""),
        ("https://infobox.example", CitationKind.TEMPLATE, "url"),
        ("https://books.example/ch", CitationKind.REF, "cite book"),
        ("https://journal.example/d", CitationKind.TEMPLATE, "cite journal"),
        ("https://external.example/e?a=1&b=2", CitationKind.EXTERNAL_LINK, ""),
        ("http://gone.example/page", CitationKind.EXTERNAL_LINK, ""),
        ("https://official.example/", CitationKind.TEMPLATE, "official website"),
        ("https://caption.example", CitationKind.EXTERNAL_LINK, ""),
    }


@pytest.mark.parametrize(
    ("wikitext", "kind"),
    [
        ("<references><ref name=a>{{cite web|url=https://a.example/}}</ref></references>", CitationKind.NAMED_REF),
        ("{{reflist|refs=<ref name=a>https://a.example/</ref>}}", CitationKind.NAMED_REF),
        ("{{Einzelnachweise}}<ref>{{Internetquelle |url=https://a.example/ |titel=B}}</ref>", CitationKind.REF),
        ("<ref>{{публикация|ссылка=https://a.example/}}</ref>", CitationKind.REF),
        ("{|\n! x !! y\n|-\n| 1 <ref>[https://a.example/ B]</ref> || 2\n|}", CitationKind.REF),
        ("'''Bold [https://a.example/ B]'''", CitationKind.EXTERNAL_LINK),
        ("== Links ==\n* https://a.example/", CitationKind.EXTERNAL_LINK),
        ("<REF NAME='a'>https://a.example/</REF>", CitationKind.NAMED_REF),
    ],
)
def test_citations_in_markup_of_several_editions_are_found(wikitext: str, kind: CitationKind) -> None:
    assert [(found.key, found.kind) for found in citations("T", wikitext)] == [("a.example", kind)]


def test_the_key_is_the_pipelines_normal_form() -> None:
    keys = {citation.url: citation.key for citation in citations("T", WIKITEXT)}
    assert keys["https://example.org/a?utm_source=x"] == "example.org/a"
    assert keys["http://www.example.com/b"] == "example.com/b"


@pytest.mark.parametrize(
    ("raw", "url"),
    [
        ("https://a.example/x.", "https://a.example/x"),
        ("https://a.example/x_(y)", "https://a.example/x_(y)"),
        ("https://a.example/x)", "https://a.example/x"),
        ("//a.example/x", "https://a.example/x"),
        ("mailto:me@a.example", ""),
        ("not a url", ""),
        ("https://web.archive.org/web/2015*/http://a.example/", "http://a.example/"),
    ],
)
def test_urls_are_cleaned(raw: str, url: str) -> None:
    assert clean_url(raw) == url


def test_only_articles_are_read_from_a_multistream_file(tmp_path: Path) -> None:
    whole = dump_of(("One", "0", "text one"), ("Talk:One", "1", "talk"), ("Two", "0", "text two"))
    whole = whole.replace(b"<title>Two", b"<title>R</title><ns>0</ns><redirect/><text>x</text></page><page><title>Two")
    path = tmp_path / "dump.xml.bz2"
    middle = len(whole) // 2
    path.write_bytes(bz2.compress(whole[:middle]) + bz2.compress(whole[middle:]))
    with open_dump(path) as file:
        assert list(articles(file)) == [("One", "text one"), ("Two", "text two")]


def test_a_truncated_dump_is_an_error_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "dump.xml"
    path.write_bytes(dump_of(("One", "0", "text"))[:-20])
    with open_dump(path) as file, pytest.raises(DumpError, match="my dump"):
        list(articles(file, "my dump"))


def test_memory_does_not_grow_with_the_dump(tmp_path: Path) -> None:
    def peak(pages: int) -> int:
        path = tmp_path / f"{pages}.xml"
        path.write_bytes(dump_of(*((f"A{i}", "0", "word " * 2_000) for i in range(pages))))
        tracemalloc.start()
        with open_dump(path) as file:
            assert sum(1 for _ in articles(file)) == pages
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(400) < peak(40) + 500_000  # 400 pages are 4 MB of text
