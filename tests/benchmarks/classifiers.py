"""Pages per CPU-second of every model, beside extraction: `python -m tests.benchmarks.classifiers`.

Reads real pages from the folder that GRISTMILL_DATA names (default ../shared/data); says so and stops without it.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

from classifiers.data.page_text import read_warc
from classifiers.domain import load_domain_model
from classifiers.harm import load_harm_model
from classifiers.language import load_language_model
from classifiers.quality import load_quality_model

DATA = Path(os.environ.get("GRISTMILL_DATA", "../shared/data"))
PAGES = 300
BATCH = 64


def cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def batched(score: Callable[[Sequence[object]], object], rows: Sequence[object]) -> Callable[[], None]:
    def run() -> None:
        for start in range(0, len(rows), BATCH):
            score(rows[start : start + BATCH])

    return run


def main() -> None:
    file = DATA / "warc" / "trafilatura-00000.warc.gz"
    if not file.is_file():
        sys.exit(f"{file} is not there: set GRISTMILL_DATA to the folder of real pages")
    started = time.process_time()
    rows = list(islice(read_warc(file), PAGES))
    extraction = time.process_time() - started
    texts = [row.text for row in rows]
    items = [(row.url, row.title, row.text) for row in rows]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    steps: dict[str, tuple[Callable[..., object], Sequence[object]]] = {
        "quality": (load_quality_model().score, texts),
        "domain: topic": (load_domain_model().tag, items),
        "domain: kind": (load_domain_model().kind, items),
        "harm": (load_harm_model().score, texts),
        "language": (load_language_model().score, texts),
    }
    print(f"{len(rows)} pages, {megabytes:.2f} MB of text")
    print(f"| {'step':<28} | pages per CPU-second | share of extraction |")
    print(f"|{'-' * 30}|{'-' * 22}|{'-' * 21}|")
    print(f"| {'read, decode and extract':<28} | {len(rows) / extraction:20.0f} | {'100.0%':>19} |")
    for name, (score, inputs) in steps.items():
        spent = cpu_seconds(batched(score, inputs))
        print(f"| {name:<28} | {len(rows) / spent:20.0f} | {spent / extraction:18.1%} |")


if __name__ == "__main__":
    main()
