"""extract_text: structures that must be kept, a page for every drop reason, and hostile pages."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pipeline.documents import Document, Dropped, Kind, Page
from pipeline.extraction import library_engines
from pipeline.page_process.killable_process import KillableWorker
from pipeline.page_process.settings import PageProcessSettings
from pipeline.stages import extract_text
from pipeline.stages.extract_text import ExtractTextReason, ExtractTextSettings

STAGE = extract_text.build(ExtractTextSettings())
PROSE = (
    "The mill stands by the river, and its wheel has turned since the days of the old king. "
    "Farmers bring their grain in the autumn, wait for the flour and talk about the weather. "
)


def page(html: str | bytes, **fields: object) -> Page:
    content = html.encode() if isinstance(html, str) else html
    return Page("http://example.org/a", "2026-01-01T00:00:00Z", "a.warc.gz", 7, content, **fields)  # type: ignore[arg-type]


def article(*blocks: str, title: str = "The mill") -> Page:
    body = "".join(blocks)
    return page(
        f"<html><head><title>{title}</title></head><body><nav><a href='/'>Home</a> <a href='/b'>Shop</a></nav>"
        f"<article><h1>{title}</h1><p>{PROSE * 2}</p>{body}<p>{PROSE}</p></article></body></html>"
    )


def extract_document(source: Page, stage: object = STAGE) -> Document:
    answer = stage(source)  # type: ignore[operator]
    assert isinstance(answer, Document), answer
    return answer


def extract_drop(source: Page, **options: object) -> Dropped:
    answer = extract_text.build(ExtractTextSettings(**options))(source)  # type: ignore[arg-type]
    assert isinstance(answer, Dropped), answer
    assert answer.stage == "extract_text"
    return answer


# --- what must survive ---


def test_paragraphs_title_and_id() -> None:
    source = article("<p>A second paragraph of the story, which is long enough to be told from the rest.</p>")
    document = extract_document(source)
    assert document.title == "The mill"
    assert document.text.split("\n\n")[0] == "The mill"
    assert "\n\nA second paragraph of the story, which is long enough to be told from the rest.\n\n" in document.text
    assert (document.id, document.url, document.warc_offset) == (source.id, source.url, 7)
    assert "Shop" not in document.text


def test_code_keeps_its_lines_and_margins() -> None:
    code = "def grind(grain):\n    if grain:\n        return flour(grain)\n\n\treturn None"
    document = extract_document(article(f"<pre><code class='language-python'>{code}</code></pre>"))
    assert f"\n\n```python\n{code}\n```\n\n" in document.text
    assert (document.signals["dom_code"], document.signals["text_code"]) == (1, 1)


def test_highlighted_code_loses_its_line_numbers_and_nothing_else() -> None:
    table = (
        "<table class='highlighttable'><tr><td class='linenos'><pre>1\n2</pre></td>"
        "<td class='code'><div class='highlight'><pre><i class='k'>for</i> x in y:\n    <i>print</i>(x)</pre>"
        "</div></td></tr></table>"
    )
    assert "```\nfor x in y:\n    print(x)\n```" in extract_document(article(table)).text


def test_line_breaks_in_code_are_lines() -> None:
    assert "```\na = 1;\nb = 2;\n```" in extract_document(article("<pre>a = 1;<br>b = 2;</pre>")).text


def test_prose_in_pre_is_not_code() -> None:
    letter = "Dear miller,\n\n  the grain is late.\n\nYours, the farmer"
    text = extract_document(article(f"<pre>{letter}</pre>")).text
    assert letter in text
    assert "```" not in text


def test_inline_code_is_marked() -> None:
    document = extract_document(
        article("<p>Call <code>grind(grain)</code> once and read the flour from the returned bag.</p>")
    )
    assert "Call `grind(grain)` once and read the flour from the returned bag." in document.text
    assert document.signals["text_code"] == 1


def test_fences_are_longer_than_backticks_in_the_code() -> None:
    text = extract_document(article("<pre><code>```\nnot the end\n```</code></pre>")).text
    assert "````\n```\nnot the end\n```\n````" in text


def test_tables_become_rows() -> None:
    rows = "<tr><th>Grain</th><th>Price</th></tr><tr><td>Rye</td><td>3|4</td></tr><tr><td>Oats</td><td>5</td></tr>"
    document = extract_document(article(f"<table>{rows}</table>"))
    assert "| Grain | Price |\n| Rye | 3\\|4 |\n| Oats | 5 |" in document.text
    assert (document.signals["dom_tables"], document.signals["text_tables"]) == (1, 1)


def test_layout_tables_are_not_tables() -> None:
    document = extract_document(page(f"<body><table><tr><td><p>{PROSE * 3}</p></td></tr></table></body>"))
    assert document.text.startswith("The mill stands")
    assert (document.signals["dom_tables"], document.signals["text_tables"]) == (0, 0)


def test_lists_nest() -> None:
    html = "<ul><li>Rye is grown on poor soil</li><li>Wheat wants more:<ul><li>water</li><li>sun</li></ul></li></ul>"
    document = extract_document(article(html))
    assert "- Rye is grown on poor soil\n- Wheat wants more:\n  - water\n  - sun" in document.text
    assert document.signals["text_lists"] >= 1


def test_menus_are_left_out() -> None:
    menu = "<ul>" + "".join(f"<li><a href='/{i}'>Other story number {i}</a></li>" for i in range(9)) + "</ul>"
    trafilatura = extract_text.build(ExtractTextSettings(engine="trafilatura"))
    assert "Other story" not in extract_document(article(menu), trafilatura).text  # even without a telling name
    assert "Other story" not in extract_document(article(f"<aside class='sidebar'>{menu}</aside>")).text


MATHML = (
    "<math{0}><semantics><mrow><mi>a</mi></mrow><annotation encoding='application/x-tex'>a_1 &lt; [b] * c</annotation>"
    "</semantics></math>"
)


@pytest.mark.parametrize(
    ("html", "latex"),
    [
        (MATHML.format(""), "$a_1 < [b] * c$"),
        (MATHML.format(" display='block'"), "$$a_1 < [b] * c$$"),
        ("<math alttext='x^2_i'><mi>x</mi></math>", "$x^2_i$"),
        ("<script type='math/tex'>\\frac{1}{2}</script>", "$\\frac{1}{2}$"),
        ("<script type='math/tex; mode=display'>\\int f</script>", "$$\\int f$$"),
        (
            f"<span class='katex'><span class='katex-mathml'>{MATHML.format('')}</span>"
            "<span class='katex-html' aria-hidden='true'>drawn</span></span>",
            "$a_1 < [b] * c$",
        ),
        (
            "<span class='mwe-math-element'><span class='mwe-math-mathml-inline' style='display: none'>"
            "<math alttext='{\\displaystyle E=mc^{2}}'><mi>E</mi></math></span>"
            "<img class='mwe-math-fallback-image-inline' alt='{\\displaystyle E=mc^{2}}'></span>",
            "$E=mc^{2}$",
        ),
        ("<img class='latex' alt='\\sqrt{2}'>", "$\\sqrt{2}$"),
        ("\\(y_1 * [z]\\)", "\\(y_1 * [z]\\)"),
    ],
)
def test_formulas_keep_their_latex(html: str, latex: str) -> None:
    document = extract_document(article(f"<p>It is well known to every miller that {html} holds for every wheel.</p>"))
    assert f"It is well known to every miller that {latex} holds for every wheel." in document.text
    assert (document.signals["dom_formulas"], document.signals["text_formulas"]) == (1, 1)


def test_prose_is_not_escaped() -> None:
    line = "Snake_case_names, *stars*, [brackets], 1 &lt; 2 and C:\\temp stay as the author wrote them, all of them."
    assert line.replace("&lt;", "<") in extract_document(article(f"<p>{line}</p>")).text


def test_invisible_and_forbidden_characters_are_removed() -> None:
    text = extract_document(
        article("<p>The soft\u00adly hid\u200bden sign\ufeff and a nul\x00l &#1; in the middle of the line.</p>")
    ).text
    assert "The softly hidden sign and a nul l in the middle of the line." in " ".join(text.split())


def test_readers_comments_are_left_out_by_default() -> None:
    comments = (
        "<div id='comments' class='comments'><p>First! I like the mill very much, it reminds me of home.</p></div>"
    )
    source = page(article().content.replace(b"</body>", comments.encode() + b"</body>"))
    assert "First!" not in extract_document(source).text
    with_comments = ExtractTextSettings(engine="trafilatura", comments=True)
    assert "First!" in extract_document(source, extract_text.build(with_comments)).text


def test_resiliparse() -> None:
    stage = extract_text.build(ExtractTextSettings(engine="resiliparse"))
    table = "<table><tr><th>Grain</th><th>Price</th></tr><tr><td>Rye</td><td>34</td></tr></table>"
    items = f"<ul><li>{PROSE}</li><li>The wheel turns.</li></ul>"
    document = extract_document(article("<pre><code>if x:\n    y()</code></pre>", table, items), stage)
    assert "| Grain | Price |\n| Rye | 34 |" in document.text
    assert f"- {PROSE.strip()}\n- The wheel turns." in document.text
    assert [document.signals[f"text_{name}"] for name in ("code", "tables", "lists")] == [1, 1, 1]
    assert PROSE.strip() in document.text
    assert "```\nif x:\n    y()\n```" in document.text
    assert "Shop" not in document.text


def test_wet_text_passes_unchanged() -> None:
    document = extract_document(page("A line of text, long enough.  \nAnother line\x00.\n", kind=Kind.TEXT))
    assert document.text == "A line of text, long enough.\nAnother line."


def test_signals_are_the_declared_ones_and_include_the_charset_step() -> None:
    document = extract_document(article())
    assert set(document.signals) == set(extract_text.SIGNALS)
    assert document.signals["charset_step"] == 3  # recognized as UTF-8
    assert document.signals["text_characters"] == len(document.text)
    latin = page(article().content.replace(b"Farmers", "Müller".encode("latin-1")), http_charset="iso-8859-1")
    assert extract_document(latin).signals["charset_step"] == 1
    assert "Müller" in extract_document(latin).text


# --- drop reasons ---


@pytest.mark.parametrize(
    ("source", "options", "reason", "value", "threshold"),
    [
        (page("<p>x</p>" * 100), {"max_bytes": 799}, ExtractTextReason.TOO_LARGE, 800, 799),
        (page("some text " * 100, kind=Kind.TEXT), {"max_bytes": 10}, ExtractTextReason.TOO_LARGE, 1000, 10),
        (page("<p>x</p>" * 100), {"max_nodes": 99}, ExtractTextReason.TOO_MANY_NODES, 100, 99),
        (page("<div>" * 300 + PROSE), {}, ExtractTextReason.TOO_DEEP, None, 256),
        (page(""), {}, ExtractTextReason.NO_TEXT, 0, 1),
        (page("<html><body><script>let x = 1</script></body></html>"), {}, ExtractTextReason.NO_TEXT, 0, 1),
        (page("", kind=Kind.TEXT), {}, ExtractTextReason.NO_TEXT, 0, 1),
        (page("<html><body><p>Hello, miller.</p></body></html>"), {}, ExtractTextReason.TOO_SHORT, 14, 25),
    ],
)
def test_drop_reasons(
    source: Page, options: dict[str, int], reason: ExtractTextReason, value: float | None, threshold: float
) -> None:
    answer = extract_drop(source, **options)
    assert (answer.reason, answer.value, answer.threshold) == (reason, value, threshold)


def test_an_exception_of_the_engine_drops_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RecursionError("too deep for me")

    stage = extract_text.build(ExtractTextSettings(engine="trafilatura"))
    monkeypatch.setattr(library_engines, "bare_extraction", fail)
    answer = stage(article())
    assert isinstance(answer, Dropped)
    assert (answer.reason, answer.detail) == (ExtractTextReason.EXTRACTION_ERROR, "RecursionError: too deep for me")


def test_fall_back_engines_run_where_the_rules_find_little() -> None:
    # No tag says where the text is: the rules find the first paragraph only.
    source = page(f"<body><div><div><p>{PROSE}</p></div></div>" + f"<div><div>{PROSE * 3}</div></div>" * 5 + "</body>")
    rules = extract_document(source, extract_text.build(ExtractTextSettings(fallback_below=0)))
    with_engines = extract_document(source)
    assert len(with_engines.text) >= len(rules.text)


def test_a_page_extracted_as_one_paragraph_is_extracted_by_resiliparse() -> None:
    cells = "".join(f"<font>Line {i} of the farmer's account of his grain.</font><br>" for i in range(12))
    text = extract_document(page(f"<html><body>{cells}</body></html>")).text
    assert "Line 3 of the farmer's account of his grain.\nLine 4" in text


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"engine": "lynx"}, {"max_bytes": 0}, {"max_nodes": 0}, {"min_characters": 0}, {"tabels": True}):
        with pytest.raises(ValidationError):
            ExtractTextSettings(**wrong)  # type: ignore[arg-type]


# --- a pure function, on any input ---


def test_the_text_does_not_depend_on_the_pages_before() -> None:
    sources = [
        article(f"<p>{PROSE}</p>" * (i % 4), f"<p>Page {i} of the same site, with the same words.</p>")
        for i in range(12)
    ]
    first = [extract_document(source).text for source in sources]
    order = list(range(12))
    random.Random(1).shuffle(order)
    again = {i: extract_document(sources[i]).text for i in order + order}
    assert [again[i] for i in range(12)] == first
    fresh = extract_text.build(ExtractTextSettings())
    assert [extract_document(source, fresh).text for source in reversed(sources)] == first[::-1]


HOSTILE = {
    "200,000 nested divs": "<div>" * 200_000 + PROSE + "</div>" * 200_000,
    "200,000 open font tags": "<font>" * 200_000 + PROSE,
    "fifty megabytes": "<p>" + PROSE * 300_000,
    "40,000 paragraphs": f"<body>{'<p>' + PROSE[:80] + '</p>'}" * 40_000,
    "null bytes": "\x00" * 100_000 + f"<p>{PROSE * 5}</p>",
    "an entity bomb": '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>' + f"<p>&b;&b; {PROSE * 5}</p>",
    "one endless attribute": f"<p class='{'x ' * 1_000_000}'>{PROSE * 5}</p>",
    "unclosed everything": "<table><tr><td><ul><li><a href='" * 5_000 + PROSE,
    "our own marks": f"<p>{''.join(chr(0xF0000 + i) for i in range(16)) * 50} {PROSE * 5}</p>",
    "our marks as references": f"<p>{'&#983045;&#983046;&#983050;' * 99} {PROSE * 5}</p>",
    "a thousand pre": f"<pre>{'<pre>x = 1;' * 1000}",
    "colspan": f"<table>{'<tr><td colspan=999999999 rowspan=99999999>a<td>b</tr>' * 300}</table><p>{PROSE * 5}</p>",
    "formula in formula": "<math><annotation encoding='application/x-tex'>" * 2_000,
    "links in lists in lists": "<ul><li><a>x</a><a>y</a>" * 90 + PROSE,
}


@pytest.fixture(scope="module")
def worker() -> object:
    with KillableWorker(extract_text.build, (ExtractTextSettings(),), PageProcessSettings(cpu_seconds=20.0)) as pool:
        yield pool


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_give_a_document_or_a_drop(name: str, worker: KillableWorker) -> None:
    answer = worker.run(page(HOSTILE[name]))
    assert isinstance(answer, Document | Dropped), answer
    if isinstance(answer, Document):
        assert answer.text == answer.text.strip()
        assert not any(0xF0000 <= ord(c) <= 0xF000B for c in answer.text)


_PIECES = """
    <p> </p> <div> </div> <pre> </pre> <code> </code> <table> <tr> <td> </td> </table> <ul> <li> </ul> <math> </math>
    <annotation&#32;encoding='application/x-tex'> <script&#32;type='math/tex'> </script> <br> <a&#32;href=x> </a> &#0;
    &#1; &#xB; &#xFFFE; &#65535; &#xD800; &#x80; &amp; &#983045; <![CDATA[ ]]> <!-- --> <?x < > " ' word. 漢字。 $x$
    \\( \\) <svg> </svg> <q> <dl> <dd> <dt> <blockquote> <h2> <form> <noscript> <td&#32;colspan=99>
"""


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.sampled_from([*_PIECES.split(), "\ufffe", "\x0b"]) | st.text(max_size=8), max_size=60), st.booleans()
)
def test_any_markup_gives_a_document_or_a_drop(pieces: list[str], with_prose: bool) -> None:
    soup = " ".join(pieces).replace("&#32;", " ")
    source = page((f"<p>{PROSE * 3}</p>" * with_prose + soup).encode("utf-8", "surrogatepass"))
    answer = STAGE(source)
    assert isinstance(answer, Document | Dropped)
    assert not (isinstance(answer, Dropped) and answer.reason is ExtractTextReason.EXTRACTION_ERROR), answer
    assert not (with_prose and isinstance(answer, Dropped) and answer.reason is ExtractTextReason.NO_TEXT), answer
    assert STAGE(source) == answer


def test_a_paragraph_that_occurs_twice_is_kept_once_and_more_copies_are_all_kept() -> None:
    story = [f"{word} and the council said on Monday that the bridge over the river would be closed." for word in "abc"]
    once, twice, thrice = (extract_document(article(*[f"<p>{part}</p>" for part in story * n])).text for n in (1, 2, 3))
    assert twice == once
    assert thrice.count(story[0]) == 3
    refrain = "<p>Row, row, row your boat gently down the stream,<br>merrily, merrily, life is but a dream.</p>"
    assert extract_document(article(refrain, f"<p>{story[0]}</p>", refrain)).text.count("Row, row") == 2


def test_text_between_paragraphs_is_kept() -> None:
    loose = "The council decided <b>on Monday</b> that the bridge over the river would be closed all winter."
    text = extract_document(
        article(f"<p></p>{loose}<p></p>{loose.replace('bridge', 'road')}<br><br>And that was that.<p></p>")
    ).text
    plain = loose.replace("<b>", "").replace("</b>", "")
    assert f"\n\n{plain}\n\n" in text
    assert plain.replace("bridge", "road") in text
    assert "And that was that." in text


def test_a_layout_table_with_more_links_than_text_keeps_its_text() -> None:
    menu = "".join(f"<li><a href='/{n}'>Another story of the week, number {n}</a></li>" for n in range(40))
    story = f"<p>{PROSE}</p><p>{PROSE.replace('mill', 'bridge')}</p>"
    source = page(f"<table><tr><td><ul>{menu}</ul></td><td>{story}</td></tr></table>")
    text = extract_document(source, extract_text.build(ExtractTextSettings(engine="trafilatura"))).text
    assert "The mill stands by the river" in text
    assert "The bridge stands by the river" in text
    assert "Another story" not in text


@pytest.mark.timeout(120)
def test_a_page_of_spaces_has_bounded_spaces() -> None:
    html = (
        f"<article>{'<p>' + 'Words of a story about the mill. ' * 12 + '</p>'}<pre>a{' ' * 3_000_000}b</pre></article>"
    )
    found = extract_text.build(extract_text.ExtractTextSettings())(page(html))
    assert isinstance(found, Document)
    assert " " * 121 not in found.text
    assert len(found.text) < 2_000
