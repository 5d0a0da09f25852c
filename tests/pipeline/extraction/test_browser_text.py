"""Chromium as the oracle: lines of code, cells and white space are those that a reader sees."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium import webdriver

from tests.pipeline.browser import open_page, require_browser
from tests.pipeline.extraction.rendering_help import text_of
from tests.pipeline.extraction.test_code_text import FORMS

pytestmark = pytest.mark.browser

# Forms of code whose lines need no style sheet.
UNSTYLED = ("pre", "pre and code", "breaks", "divs", "docusaurus", "spans and line breaks", "colored", "hljs numbers")
PARAGRAPHS = {
    "white space": "<p> a\n\t b&nbsp;c <b> d</b>e<wbr>f </p><p>g<br>h <i>i</i></p>",
    "parts of words": "<p><b>M</b>ill<i>s</i><span>tone</span> <u>x</u><s>y</s></p>",
    "boxes": "<div>one<p>two</p>three<span>four</span></div><section>five</section>",
    "inline boxes": "<p>a<span>b<div>c</div>d</span>e</p>",
    "hidden": "<p>a<span style='display:none'>b</span>c</p><p hidden>d</p><p>e</p>",
    "empty boxes": "<div></div><p>a</p><div><span></span></div><p>b</p>",
    "right to left": "<p dir=rtl>שלום <bdi>ABC</bdi> עולם</p>",
    "self-closed code": "<p>a</p><script type='x'/>f('<b>')</script><p>b</p><style media='x'/>p {}</style><p>c</p>",
    "preformatted": "<pre>  Roses are red,\n\tviolets   are blue.</pre>",
}


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    require_browser()
    folder = tmp_path_factory.mktemp("browser")
    page = folder / "page.html"
    page.write_text("<!DOCTYPE html><meta charset=utf-8><body></body>", encoding="utf-8")
    with open_page(page, folder / "profile") as driver:
        yield driver


@pytest.mark.parametrize("name", [*UNSTYLED, *PARAGRAPHS])
def test_the_text_is_what_a_reader_sees(name: str, browser: webdriver.Chrome) -> None:
    source = f"<p>Before.</p>{FORMS.get(name) or PARAGRAPHS[name]}"
    seen = browser.execute_script("document.body.innerHTML = arguments[0]; return document.body.innerText", source)
    written = [line for line in text_of(source).split("\n") if not line.startswith("```")]
    assert [line.rstrip() for line in written if line.strip()] == [
        line.replace("\u00a0", " ").rstrip() for line in seen.split("\n") if line.strip()
    ]


def test_cells_are_those_of_the_browsers_rows(browser: webdriver.Chrome) -> None:
    source = (
        "<table><tr><th>Grain<th colspan=2>Price</tr><tr><td rowspan=2>Rye<td>3<br>4<td>5</tr>"
        "<tr><td><b>6</b>7<td></tr><tr><td>Oats<td>8<td><p>9</p><p>10</p></tr></table>"
    )
    script = """document.body.innerHTML = arguments[0];
        return [...document.querySelectorAll("tr")].map(row => [...row.cells].map(cell => cell.innerText))"""
    seen = browser.execute_script(script, source)
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text_of(source).split("\n")]
    assert all(len(row) == 3 for row in rows)
    for row, cells in zip(rows, seen, strict=True):
        found = iter(row)  # every cell of the browser stands in the row, in order
        assert all(" ".join(cell.split()) in found for cell in cells)
