"""How much of the structure of main content arrives in the text: code, tables, list items and formulas.

    python -m tests.benchmarks.structure [--sample N] [--list N] [--folds FOLDER]

Structures are found in the pages by other means than ours: lines of `pre` by lxml, cells by pandas, formulas by their
annotation. Counted are those whose words stand in the gold text of a page. An item outside data tables needs a line of
the gold text that begins with its words, and that no text outside of lists claims: tables of contents repeat headings,
and menus repeat words of the text. One arrives if
its lines follow each other with the same indentation, if its row has the same cells, if an item has a line with a
marker of its own, if a formula has its LaTeX once between dollar signs. "gold blocks" renders the blocks whose words
stand in the gold text, so it measures the rendering alone; the learned engine is measured out of fold, by the models of
`tests.benchmarks.extraction`. Pages whose text is damaged (UTF-8 read as another charset) are repaired before, as a run
does: a sign that was mended would make a line another one. Reads GRISTMILL_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import random
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas
import trafilatura
import zstandard
from fastwarc.warc import ArchiveIterator, WarcRecordType
from lxml import html as lxml_html
from lxml.html import HtmlElement

from classifiers.extraction.blocks import PageBlocks, read_blocks
from classifiers.extraction.parse_html import encode_source, parse_html
from classifiers.urls import host_of, registered_domain_of
from pipeline.documents import Page
from pipeline.extraction.render_nodes import TextFormat, render
from pipeline.extraction.repair_text import read_text, repair
from pipeline.stages.extract_text import ExtractTextSettings
from tests.benchmarks import data_folder
from tests.benchmarks.extraction import fold_models, learned_out_of_fold, through_stage

KINDS = ("code", "rows", "items", "formulas")
_WORDS = re.compile(r"\w+")
_MEDIAWIKI = "//*[@id='mw-content-text'] | //body[@id='mwAA' or contains(@class, 'mw-body-content')]"
# WARC file -> where the main content is in its pages; pages without such an element are not read
_MAIN = {
    "wikipedia-html-00000": _MEDIAWIKI,
    "trafilatura-00000": "//*[@id='mw-content-text']",
    "colah-blog-00000": "//*[@class='page' or @id='content']",
}
_TEXT_FORMULA = re.compile(r"\\\((.{1,300}?)\\\)|\\\[(.{1,900}?)\\\]", re.DOTALL)
_OF_A_PAGE = 100  # structures of a kind that count at most, so that no page decides alone
_UNSEEN = ("Cc", "Cs", "Cn")
_BREAK = "\ue000"
_LINES = ("h1", "h2", "h3", "h4", "h5", "h6", "p", "li", "div", "td", "th", "dd", "dt", "br")
_MARKER = re.compile(r"^ *(?:[-*+•]|\d{1,9}[.)])\s+")


@dataclass(frozen=True)
class Case:
    url: str
    source: str
    gold: str


def read_cases(sample: int | None) -> list[Case]:
    cases = [*_wcxb(), *(case for name, path in _MAIN.items() for case in _warc(name, path))]
    return random.Random(7).sample(cases, min(sample, len(cases))) if sample else cases


def _wcxb() -> Iterator[Case]:
    with (data_folder() / "extraction" / "wcxb-dev.jsonl.zst").open("rb") as stream:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(stream), encoding="utf-8"):
            row = json.loads(line)
            if row["text"]:
                yield Case(row.get("url", ""), repair(row["html"]), repair(row["text"]))


def _warc(name: str, main: str) -> Iterator[Case]:
    """Pages without a gold text: all text of the element that holds the main content."""
    (path,) = (data_folder() / "warc").glob(f"{name}*")
    with path.open("rb") as stream:
        for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
            source, _ = read_text(record.reader.read(), record.http_charset)
            found = lxml_html.document_fromstring(encode_source(source), parser=_parser()).xpath(main) if source else []
            if found:
                for element in found[0].iter(*_LINES):
                    element.text, element.tail = "\n" + (element.text or ""), "\n" + (element.tail or "")
                text = " ".join(found[0].xpath(".//text()[not(parent::script or parent::style)]"))
                yield Case(record.headers.get("WARC-Target-URI", ""), source, text)


def _parser() -> lxml_html.HTMLParser:
    return lxml_html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)


def words(text: str) -> list[str]:
    return _WORDS.findall(text.lower())


class Gold:
    """The gold text of a page, asked whether it holds a text."""

    def __init__(self, text: str) -> None:
        found = words(text)
        self.words = Counter(found)
        self.grams = set(zip(*(found[i:] for i in range(4)), strict=False))
        self.text = f" {' '.join(found)} "
        self.line_beginnings = Counter(item_key(_MARKER.sub("", line)) for line in text.split("\n"))

    def holds(self, text: str, share: float = 0.8) -> bool:
        own = words(text)
        if len(own) < 6:
            return bool(own) and f" {' '.join(own)} " in self.text
        grams = list(zip(*(own[i:] for i in range(4)), strict=False))
        return sum(gram in self.grams for gram in grams) >= share * len(grams)


# --- structures of a page ---


@dataclass(frozen=True)
class Structures:
    code: list[list[str]]
    rows: list[list[str]]
    items: list[str]
    formulas: list[str]


def find_structures(case: Case, gold: Gold) -> Structures:
    tree = lxml_html.document_fromstring(encode_source(case.source), parser=_parser())
    for element in list(tree.iter("script", "style", "button", "noscript", "template")):
        if not element.get("type", "").startswith("math/"):
            element.drop_tree()
    found = (_code(tree, gold), _rows(tree, gold), _items(tree, gold), _formulas(tree, gold))
    return Structures(*(structures[:_OF_A_PAGE] for structures in found))


def _code(tree: HtmlElement, gold: Gold) -> list[list[str]]:
    found = []
    for block in tree.iter("pre"):
        for line_break in block.iter("br"):
            line_break.tail = "\n" + (line_break.tail or "")
        lines = [line.rstrip() for line in block.text_content().replace("\u00a0", " ").split("\n")]
        lines = [squeeze_invisible(line) for line in lines if line]
        if block.xpath(".//li | .//table | .//div | .//span[contains(@class, 'code-line')]"):
            continue  # lines by style: lxml does not know them
        if len(lines) > 1 and not all(line.strip().isdigit() for line in lines) and gold.holds(" ".join(lines)):
            found.append(lines)
    return found


def _rows(tree: HtmlElement, gold: Gold) -> list[list[str]]:
    """Rows of tables with header cells, without tables inside; spans filled by pandas."""
    found = []
    for table in tree.iter("table"):
        if (
            not table.xpath(".//th")
            or table.xpath(".//table | .//pre | .//ul | .//ol")
            or len(table.xpath(".//tr")) < 2
        ):
            continue
        if table.get("role") in ("presentation", "none") or not gold.holds(table.text_content()):
            continue
        try:
            (frame,) = pandas.read_html(
                io.StringIO(lxml_html.tostring(_with_spaces(table), encoding="unicode")),
                keep_default_na=False, flavor="lxml", displayed_only=False, thousands=None,
            )  # fmt: skip
        except ValueError:
            continue
        if frame.shape[1] < 2:
            continue
        columns = frame.columns.to_list()
        headers = list(zip(*columns, strict=True)) if isinstance(columns[0], tuple) else [columns]
        headers = [header for header in headers if any(isinstance(cell, str) for cell in header)]
        rows = [list(map(read_cell, row)) for row in [*headers, *frame.astype(str).to_numpy().tolist()]]
        columns = [place for place in range(len(rows[0])) if any(row[place] for row in rows)]
        shaped = (normalize_row([row[place] for place in columns]) for row in rows)
        found += [row for row in shaped if len(list(filter(None, row))) > 1]
    return found


def _with_spaces(table: HtmlElement) -> HtmlElement:
    """pandas joins the lines of a cell without a space."""
    for element in table.iter("br", "p", "div"):
        element.tail = " " + (element.tail or "")
        element.text = " " + (element.text or "") if element.tag != "br" else None
    return table


def read_cell(cell: object) -> str:
    """The words of a cell; signs differ between engines. Empty for the name that pandas gives a column without one."""
    text = "".join(words(unicodedata.normalize("NFKC", str(cell))))
    return "" if text.startswith("unnamed") else text


def normalize_row(cells: list[str]) -> list[str]:
    """One copy of neighbors that a span made equal; empty cells stand before others, and none at the end."""
    merged = [text for text, _ in itertools.groupby(cells)]
    return merged[:-1] if merged and not merged[-1] else merged


def _items(tree: HtmlElement, gold: Gold) -> list[str]:
    found = []
    headings = tree.xpath("(//h1|//h2|//h3|//h4|//h5|//h6)[not(ancestor::li)]")
    claimed = Counter(item_key(heading.text_content()) for heading in headings)
    claimed |= Counter(map(item_key, tree.xpath("//text()[not(ancestor::li)]")))
    free = gold.line_beginnings - claimed
    for item in tree.xpath("//li[not(ancestor::table[.//th])]"):
        blocks = item.xpath("count(.//h1|.//h2|.//h3|.//h4|.//table|.//article|.//li|.//pre|.//p[2]|.//div)")
        for line_break in item.iter("br"):
            line_break.tail = _BREAK + (line_break.tail or "")
        text = next((line for line in item.text_content().split(_BREAK) if words(line)), "")
        key = item_key(text)
        if not blocks and len(words(text)) >= 3 and free[key] > 0 and gold.holds(text):
            free[key] -= 1
            found.append(key)
    return found


def item_key(text: str) -> str:
    """The first letters of an item: what follows may be written in several ways (superscripts, formulas, notes)."""
    return "".join(words(unicodedata.normalize("NFKC", text)))[:24]


def _formulas(tree: HtmlElement, gold: Gold) -> list[str]:
    annotations = tree.xpath("//annotation[@encoding='application/x-tex']/text()")
    scripts = tree.xpath("//script[starts-with(@type, 'math/tex')]/text()")
    texts = tree.xpath("//body//text()[not(ancestor::pre or ancestor::code or parent::script)][contains(., '\\')]")
    written = [match[1] or match[2] for text in texts for match in _TEXT_FORMULA.finditer(text) if gold.holds(match[0])]
    return [formula_key(latex) for latex in (*annotations, *scripts, *written) if formula_key(latex)]


def formula_key(latex: str) -> str:
    latex = re.sub(r"\\(?:displaystyle|textstyle)\b", "", latex)
    return re.sub(r"[\s{}$]", "", latex)


def squeeze_invisible(line: str) -> str:
    return unicodedata.normalize("NFC", "".join(c for c in line if c == "\t" or unicodedata.category(c) not in _UNSEEN))


# --- what arrives ---


def count_arrived(structures: Structures, text: str) -> dict[str, int]:
    lines = [line for line in (line.rstrip() for line in text.split("\n")) if line]
    return {
        "code": sum(_has_lines(lines, block) for block in structures.code),
        "rows": _count_in([row_key(row) for row in structures.rows], Counter(filter(None, map(read_row, lines)))),
        "items": _count_in(structures.items, Counter(item_key(_MARKER.sub("", s)) for s in lines if _MARKER.match(s))),
        "formulas": _count_in(structures.formulas, _written_formulas(text)),
    }


def _count_in(wanted: list[str], found: Counter[str]) -> int:
    return sum((Counter(wanted) & found).values())


def _has_lines(lines: list[str], block: list[str]) -> bool:
    """Whether the lines stand there, one after the other; a margin that all of them share may differ."""
    for start, line in enumerate(lines):
        if line.strip() == block[0].strip():
            margin = len(line) - len(line.lstrip()) - (len(block[0]) - len(block[0].lstrip()))
            there = lines[start : start + len(block)]
            shifted = [" " * margin + each if margin > 0 else each[-margin:] for each in block]
            if there == shifted:
                return True
    return False


def row_key(row: list[str]) -> str:
    return "|".join(row)


def read_row(line: str) -> str:
    if "|" not in line:
        return ""
    cells = re.split(r"(?<!\\)\|", line.strip().removeprefix("|").removesuffix("|"))
    return row_key(normalize_row(list(map(read_cell, cells))))


def _written_formulas(text: str) -> Counter[str]:
    text = text.replace("\\$", "")  # a dollar, in Markdown
    found = [*re.findall(r"\$\$?([^$\n]+)\$\$?", text), *(a or b for a, b in _TEXT_FORMULA.findall(text))]
    return Counter(map(formula_key, found))


# --- engines ---


def gold_blocks(blocks: PageBlocks, gold: Gold) -> list[bool]:
    return [gold.holds(text, 0.5) or not words(text) for text in blocks.texts]


def render_gold(case: Case, gold: Gold, text_format: TextFormat) -> str:
    tree, _ = parse_html(encode_source(case.source))
    if tree is None:
        return ""
    blocks = read_blocks(tree)
    return render(blocks, gold_blocks(blocks, gold), text_format)[0]


def engines(folds: Path) -> dict[str, Callable[[Case, Gold], str]]:
    learned = learned_out_of_fold(fold_models(folds, data_folder()))
    stage = through_stage(ExtractTextSettings(engine="trafilatura"))

    def plain(case: Case, _: Gold) -> str:
        return trafilatura.extract(case.source, output_format="markdown", include_comments=False) or ""

    return {
        "gold blocks, text": lambda case, gold: render_gold(case, gold, "text"),
        "gold blocks, Markdown": lambda case, gold: render_gold(case, gold, "markdown"),
        "learned, out of fold": lambda case, _: learned(_page(case)),
        "trafilatura engine": lambda case, _: stage(_page(case)),
        "plain trafilatura": plain,
    }


def _page(case: Case) -> Page:
    content, domain = case.source.encode("utf-8", "replace"), registered_domain_of(host_of(case.url))
    return Page(case.url, "2026-01-01T00:00:00Z", "a", 0, content, http_charset="utf-8", registered_domain=domain)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sample", type=int, help="only this many pages")
    arguments.add_argument("--folds", type=Path, default=Path("build/extraction-folds"), help="models of the folds")
    arguments.add_argument(
        "--list", type=int, default=0, help="how many losses of the engine --of to list for each kind"
    )
    arguments.add_argument("--of", default="learned, out of fold")
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    totals: Counter[str] = Counter()
    tools = engines(options.folds)
    arrived: dict[str, Counter[str]] = {name: Counter() for name in tools}
    losses: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for case in read_cases(options.sample):
        gold = Gold(case.gold)
        structures = find_structures(case, gold)
        sizes = {kind: len(getattr(structures, kind)) for kind in KINDS}
        if not any(sizes.values()):
            continue
        totals.update(sizes)
        for name, tool in tools.items():
            counts = count_arrived(structures, tool(case, gold))
            arrived[name].update(counts)
            if name == options.of:
                for kind in KINDS:
                    if counts[kind] < sizes[kind]:
                        losses[kind].append(f"{counts[kind]} of {sizes[kind]}  {case.url}")
    print(f"{'':24}" + "".join(f"{kind:>16}" for kind in KINDS))
    print(f"{'in gold content':24}" + "".join(f"{totals[kind]:16}" for kind in KINDS))
    for name, counts in arrived.items():
        print(f"{name:24}" + "".join(f"{counts[kind] / max(1, totals[kind]):16.3f}" for kind in KINDS))
    for kind in KINDS:
        for line in losses[kind][: options.list]:
            print(kind, line)


if __name__ == "__main__":
    main()
