"""Does the quick look send away only what the full path would send away, and what does it save?

    python -m tests.benchmarks.quick_look [--sample N] [--languages en,de]

Every page that it drops runs through the whole path without it. Reads GRISTMILL_DATA (default ../shared/data).
"""

from __future__ import annotations

import argparse
import random
import time
from collections import Counter
from dataclasses import dataclass, field

from pipeline.config import Config
from pipeline.documents import Dropped, Page
from pipeline.page_process.chain import Chain
from tests.benchmarks.extraction import read_pages, rows

AIM = 0.995


@dataclass
class Tally:
    pages: int = 0
    looks: Counter[str] = field(default_factory=Counter)  # by reason
    agreed: Counter[str] = field(default_factory=Counter)
    foreseen: Counter[str] = field(default_factory=Counter)  # what the full path said of them
    dropped_in_all: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def chains(languages: tuple[str, ...]) -> tuple[Chain, Chain]:
    """The whole path with the quick look, and without."""
    wanted = {"identify_language": {"languages": languages}}
    with_look = Config.model_validate({**wanted, "quick_look": {"languages": languages}})
    without = Config.model_validate({**wanted, "quick_look": {"enabled": False}})
    return Chain(with_look), Chain(without)


def timed(chain: Chain, page: Page, name: str, tally: Tally) -> Dropped | None:
    start = time.process_time()
    answer = chain(page).result
    tally.seconds[name] += time.process_time() - start
    return answer if isinstance(answer, Dropped) else None


def compare(pages: list[Page], languages: tuple[str, ...]) -> Tally:
    look, full = chains(languages)
    tally = Tally(len(pages))
    for page in pages:
        truth = timed(full, page, "without", tally)
        fate = timed(look, page, "with", tally)
        tally.dropped_in_all += truth is not None
        if fate is not None and fate.stage == "quick_look":
            tally.looks[fate.reason] += 1
            if truth is not None:
                tally.agreed[fate.reason] += 1
                tally.foreseen[f"{fate.reason} <- {truth.stage}: {truth.reason}"] += 1
            else:
                tally.wrong.append(f"{fate.reason} {fate.value} < {fate.threshold}: {page.url}")
        elif (fate is None) != (truth is None):
            tally.wrong.append(f"not by the quick look: {page.url}")
    return tally


def sample(count: int) -> list[Page]:
    """WebKB is two thirds of the pages and tiny: it gets a third of the sample."""
    pages = [row for row in rows("pages.jsonl.gz") if row.get("html") is not False]
    webkb = [row for row in pages if row["source"] == "webkb"]
    rest = [row for row in pages if row["source"] != "webkb"]
    rng = random.Random(11)
    chosen = rng.sample(webkb, min(count // 3, len(webkb))) + rng.sample(rest, min(count - count // 3, len(rest)))
    return [page for _, page in read_pages(chosen)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sample", type=int, default=2_000)
    arguments.add_argument("--languages", default="", help="keep these only, as in en,de")
    options = arguments.parse_args()
    languages = tuple(filter(None, options.languages.split(",")))
    tally = compare(sample(options.sample), languages)
    looks, agreed = tally.looks.total(), tally.agreed.total()
    print(f"{tally.pages} pages, {tally.dropped_in_all} dropped by the full path, {looks} by the quick look")
    for reason, count in tally.looks.most_common():
        print(f"  {reason:28} {count:6}  agreed {tally.agreed[reason]:6}  {tally.agreed[reason] / count:.2%}")
    for foreseen, count in tally.foreseen.most_common(12):
        print(f"    {count:6}  {foreseen}")
    print(f"agreement of its drops with the full path: {agreed / max(1, looks):.2%} (aim {AIM:.1%})")
    print(f"CPU with it / without it: {tally.seconds['with'] / tally.seconds['without']:.3f}")
    for line in tally.wrong[:20]:
        print(f"  wrong: {line}")


if __name__ == "__main__":
    main()
