"""Quality of extract_text on real pages with gold text, compared with plain trafilatura.

    python -m tests.benchmarks.extraction [--sample N] [--list N]

Score: precision and recall of the multiset of word 4-grams for each page, averaged over pages, then F1. In scripts
without spaces each character counts as a word. For pages whose gold data are snippets: the share of wanted snippets in
the text, and of unwanted ones not in it. Reads GRISTMILL_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import trafilatura
from fastwarc.warc import ArchiveIterator, WarcRecordType

from pipeline.documents import Dropped, Page
from pipeline.extraction.charset import decode
from pipeline.stages import extract_text
from tests.benchmarks import data_folder

_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0e00-\u0e7f]|[^\W_]+")


@dataclass(frozen=True)
class Gold:
    """A page with the text that should be extracted from it."""

    page: Page
    source: str
    text: str  # "" if the gold data are snippets
    wanted: tuple[str, ...] = ()
    unwanted: tuple[str, ...] = ()


def rows(name: str) -> list[dict[str, Any]]:
    with gzip.open(data_folder() / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_pages(wanted: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], Page]]:
    """Yield the pages of these rows of pages.jsonl.gz, file by file."""
    files: dict[str, dict[int, dict[str, Any]]] = {}
    for row in wanted:
        files.setdefault(row["warc"], {})[row["offset"]] = row
    for name, at in sorted(files.items()):
        with (data_folder() / "warc" / name).open("rb") as stream:
            for record in ArchiveIterator(stream, record_types=WarcRecordType.response):
                if record.stream_pos in at:
                    row = at[record.stream_pos]
                    yield (
                        row,
                        Page(
                            row["url"],
                            row["date"][:19] + "Z",
                            name,
                            row["offset"],
                            record.reader.read(),
                            http_charset=record.http_charset,
                        ),
                    )


def gold_pages(sample: int | None) -> list[Gold]:
    gold = {row["sha1"]: row for row in rows("gold.jsonl.gz") if row["kind"] in ("full", "snippets")}
    wanted = [row for row in rows("pages.jsonl.gz") if row["sha1"] in gold]
    if sample:
        wanted = random.Random(7).sample(wanted, min(sample, len(wanted)))
    return [_gold(gold[row["sha1"]], page) for row, page in read_pages(wanted)]


def _gold(row: dict[str, Any], page: Page) -> Gold:
    return Gold(page, row["source"], row.get("text", ""), tuple(row.get("with", ())), tuple(row.get("without", ())))


def four_grams(text: str) -> Counter[tuple[str, ...]]:
    words = _WORD.findall(text.lower())
    return Counter(zip(*(words[i:] for i in range(4)), strict=False))


def precision_recall(text: str, gold: str) -> tuple[float, float]:
    found, wanted = four_grams(text), four_grams(gold)
    common = sum((found & wanted).values())
    if not wanted:
        return (1.0, 1.0) if not found else (0.0, 1.0)
    return (common / sum(found.values()) if found else 0.0), common / sum(wanted.values())


def f1(precision: float, recall: float) -> float:
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


Extract = Callable[[Page], str]


def extract_plainly(page: Page, **options: Any) -> str:
    return trafilatura.extract(decode(page.content, page.http_charset)[0], **options) or ""


def build_extractor(settings: extract_text.ExtractTextSettings | None = None) -> Extract:
    stage = extract_text.build(settings or extract_text.ExtractTextSettings())

    def extract(page: Page) -> str:
        answer = stage(page)
        return "" if isinstance(answer, Dropped) else answer.text

    return extract


@dataclass(frozen=True)
class Score:
    precision: float
    recall: float
    wanted: float
    unwanted_out: float
    milliseconds: float
    by_source: dict[str, float]

    @property
    def f1(self) -> float:
        return f1(self.precision, self.recall)


def score(pages: list[Gold], texts: list[str], seconds: float) -> Score:
    full = [(gold, *precision_recall(text, gold.text)) for gold, text in zip(pages, texts, strict=True) if gold.text]
    flat = [(gold, " ".join(text.split())) for gold, text in zip(pages, texts, strict=True) if not gold.text]
    sources = sorted({gold.source for gold, _, _ in full})
    return Score(
        mean([p for _, p, _ in full]),
        mean([r for _, _, r in full]),
        mean([" ".join(s.split()) in text for gold, text in flat for s in gold.wanted]),
        mean([" ".join(s.split()) not in text for gold, text in flat for s in gold.unwanted]),
        1000 * seconds / len(pages),
        {
            s: f1(mean([p for g, p, _ in full if g.source == s]), mean([r for g, _, r in full if g.source == s]))
            for s in sources
        },
    )


def mean(values: list[float] | list[bool]) -> float:
    return sum(values) / len(values) if values else 0.0


def run(pages: list[Gold], extract: Extract) -> tuple[list[str], Score]:
    start = time.process_time()
    texts = [extract(gold.page) for gold in pages]
    return texts, score(pages, texts, time.process_time() - start)


def list_worst(pages: list[Gold], own: list[str], plain_texts: list[str], count: int) -> Iterator[str]:
    """Yield the pages on which plain trafilatura has the largest advantage in F1."""
    losses = []
    for gold, a, b in zip(pages, own, plain_texts, strict=True):
        if gold.text:
            losses.append((f1(*precision_recall(a, gold.text)) - f1(*precision_recall(b, gold.text)), gold.page.url))
    for loss, url in sorted(losses)[:count]:
        yield f"  {loss:+.3f}  {url}"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sample", type=int, help="only this many pages")
    arguments.add_argument("--list", type=int, default=10, help="how many pages to list where trafilatura is better")
    options = arguments.parse_args()
    pages = gold_pages(options.sample)
    print(f"{sum(bool(g.text) for g in pages)} pages with full text, {sum(not g.text for g in pages)} with snippets")
    print(f"{'engine':28} {'P':>6} {'R':>6} {'F1':>6} {'wanted':>7} {'left out':>9} {'ms/page':>8}  F1 by source")
    results = {}
    for name, extract in (("plain trafilatura", extract_plainly), ("extract_text", build_extractor())):
        results[name] = run(pages, extract)
        s = results[name][1]
        sources = "  ".join(f"{source} {value:.4f}" for source, value in s.by_source.items())
        print(
            f"{name:28} {s.precision:6.4f} {s.recall:6.4f} {s.f1:6.4f} {s.wanted:7.4f} {s.unwanted_out:9.4f}"
            f" {s.milliseconds:8.1f}  {sources}"
        )
    print("plain trafilatura is better on:")
    print("\n".join(list_worst(pages, results["extract_text"][0], results["plain trafilatura"][0], options.list)))


if __name__ == "__main__":
    main()
