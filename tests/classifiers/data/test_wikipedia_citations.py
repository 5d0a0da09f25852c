"""The citations of an article: every kind of them, beside mwparserfromhell, and in linear time."""

from __future__ import annotations

from collections.abc import Iterator

import mwparserfromhell
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mwparserfromhell.nodes import Argument, ExternalLink, Heading, Tag, Template, Wikilink

from classifiers.data.wikipedia_citations import MAX_URL, CitationKind, citations, clean_url

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


def test_an_endless_url_is_no_citation() -> None:
    text = f"http://a.example/{'x' * MAX_URL} http://b.example/"
    assert [found.url for found in citations("T", text)] == ["http://b.example/"]


# --- mwparserfromhell as the oracle, on well-formed wikitext ---

ARCHIVE = ("archive-url", "archiveurl")
Found = tuple[str, CitationKind, str]


def walk(code: object, kind: CitationKind, template: str) -> Iterator[Found]:
    for node in code.nodes if code is not None else ():  # type: ignore[attr-defined]
        if isinstance(node, ExternalLink):
            yield str(node.url), kind, template
        elif isinstance(node, Template):
            yield from walk_template(node, CitationKind.TEMPLATE if kind == CitationKind.EXTERNAL_LINK else kind)
        elif isinstance(node, Tag):
            named = any(str(attribute.name).strip() == "name" for attribute in node.attributes)
            own = CitationKind.NAMED_REF if named else CitationKind.REF
            is_ref = str(node.tag) == "ref"
            yield from walk(node.contents, own if is_ref else kind, "" if is_ref else template)
        elif isinstance(node, (Wikilink, Heading, Argument)):
            inner = {Wikilink: "text", Heading: "title", Argument: "default"}[type(node)]
            yield from walk(getattr(node, inner), kind, template)


def walk_template(node: Template, kind: CitationKind) -> Iterator[Found]:
    name = str(node.name).strip().lower()
    for parameter in node.params:
        if str(parameter.name).strip() not in ARCHIVE:
            yield from walk(parameter.value, kind, name)


URLS = st.builds(
    "http{}://{}.example/{}".format, st.sampled_from(["", "s"]), st.sampled_from("abc"), st.sampled_from("xyz")
)
WORDS = st.sampled_from(
    ["word", "zwei Wörter", "1999", "a, b; c", "x = y", "''it''", "&amp;", "<br />", "{x}", "]", "!"]
)
LINKS = st.one_of(URLS.map("[{} title]".format), URLS.map(" {} ".format), URLS.map("<nowiki>{}</nowiki>".format),
                  URLS.map("<!-- {} -->".format))  # fmt: skip
PARAMETERS = st.sampled_from(["", "url=", " title = ", "archive-url=", "archiveurl = ", "website="])


def wrap(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    named = st.sampled_from(["<ref>", '<ref name="n">', "<ref name=n group=g>", "<ref group='g'>"])
    pairs = st.lists(st.tuples(PARAMETERS, inner), max_size=3)
    template = st.builds(
        lambda name, given: "{{" + name + "".join(f"|{key}{value}" for key, value in given) + "}}",
        st.sampled_from(["cite web", "Infobox", " URL "]),
        pairs,
    )
    return st.one_of(
        template,
        st.builds(lambda opener, text: f"{opener}{text}</ref>", named, inner),
        inner.map("[[Target|{}]]".format),
        inner.map("<small>{}</small>".format),
        st.lists(inner, max_size=3).map("\n".join),
    )


@settings(max_examples=400, deadline=None)
@given(text=st.recursive(st.one_of(WORDS, LINKS), wrap, max_leaves=12))
def test_well_formed_wikitext_is_read_as_mwparserfromhell_reads_it(text: str) -> None:
    parsed = mwparserfromhell.parse(text, skip_style_tags=True)
    expected = {(clean_url(url), kind, name) for url, kind, name in walk(parsed, CitationKind.EXTERNAL_LINK, "")}
    found = {(citation.url, citation.kind) for citation in citations("T", text)}
    assert found == {(url, kind) for url, kind, _ in expected}
    assert {(c.url, c.kind, c.template) for c in citations("T", text)} <= expected


# --- hostile wikitext ---

OPENERS = [
    "[[a ", "{{a|", "<ref>a ", "{|\n|a", "[http://a.example b ", "{{{a", "[[a {{b|<ref>c ", "{", "{{{{}}", "|a=   ",
    "<nowiki>", "<nowiki ", "<!--", "</ref   ", "<ref name   ", "//a", "[[a]", "{{a|[[b]]}}", "<ref>{{a}}</ref>",
    "{{a|x=",
]  # fmt: skip


@pytest.mark.timeout(120)  # in quadratic time each takes many minutes
@pytest.mark.parametrize("opener", OPENERS)
def test_unclosed_markup_takes_linear_time(opener: str) -> None:
    count = 150_000 // len(opener)
    for end in ("", "}}" * count, "]]}}</ref>" * (count // 2)):
        text = f"{opener * count}{end}\n* http://z.example/"
        assert len(list(citations("T", text))) <= 2


def test_an_unclosed_opener_takes_nothing_from_what_follows() -> None:
    text = "{{a [[b <ref> {{{c <ref name=n>{{cite web|url=http://a.example/</ref> [[x|http://b.example/]]"
    assert [(c.url, c.kind, c.template) for c in citations("T", text)] == [
        ("http://a.example/", CitationKind.NAMED_REF, ""),
        ("http://b.example/", CitationKind.EXTERNAL_LINK, ""),
    ]
