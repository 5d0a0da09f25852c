"""Does quick_look drop only pages that the later stages would drop, and how much CPU time does it save?

    python -m tests.benchmarks.quick_look [--sample N] [--languages en,de]

Every page that it drops is also processed by the stages without it. Reads GRISTMILL_DATA (default ../shared/data).
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
from tests.benchmarks.real_pages import read_pages, rows

TARGET_AGREEMENT = 0.995


@dataclass
class Tally:
    pages: int = 0
    drops: Counter[str] = field(default_factory=Counter)  # of quick_look, by reason
    agreed: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)  # of these pages without quick_look
    dropped_in_all: int = 0
    seconds: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def build_chains(languages: tuple[str, ...]) -> tuple[Chain, Chain]:
    """The chain of stages with quick_look, and without it."""
    wanted = {"identify_language": {"languages": languages}}
    with_look = Config.model_validate({**wanted, "quick_look": {"languages": languages}})
    without = Config.model_validate({**wanted, "quick_look": {"enabled": False}})
    return Chain(with_look), Chain(without)


def run_timed(chain: Chain, page: Page, name: str, tally: Tally) -> Dropped | None:
    start = time.process_time()
    answer = chain(page).result
    tally.seconds[name] += time.process_time() - start
    return answer if isinstance(answer, Dropped) else None


def compare(pages: list[Page], languages: tuple[str, ...]) -> Tally:
    look, full = build_chains(languages)
    tally = Tally(len(pages))
    for page in pages:
        expected = run_timed(full, page, "without", tally)
        result = run_timed(look, page, "with", tally)
        tally.dropped_in_all += expected is not None
        if result is not None and result.stage == "quick_look":
            tally.drops[result.reason] += 1
            if expected is not None:
                tally.agreed[result.reason] += 1
                tally.outcomes[f"{result.reason} <- {expected.stage}: {expected.reason}"] += 1
            else:
                tally.wrong.append(f"{result.reason} {result.value} < {result.threshold}: {page.url}")
        elif (result is None) != (expected is None):
            tally.wrong.append(f"another stage: {page.url}")
    return tally


def sample_pages(count: int) -> list[Page]:
    """A third of the sample is WebKB, which has two thirds of the pages, all very small."""
    pages = [row for row in rows("pages.jsonl.gz") if row.get("html") is not False]
    webkb = [row for row in pages if row["source"] == "webkb"]
    rest = [row for row in pages if row["source"] != "webkb"]
    rng = random.Random(11)
    chosen = rng.sample(webkb, min(count // 3, len(webkb))) + rng.sample(rest, min(count - count // 3, len(rest)))
    return [page for _, page in read_pages(chosen)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--sample", type=int, default=2_000)
    arguments.add_argument("--languages", default="", help="keep only these, e.g. en,de")
    options = arguments.parse_args()
    languages = tuple(filter(None, options.languages.split(",")))
    tally = compare(sample_pages(options.sample), languages)
    drops, agreed = tally.drops.total(), tally.agreed.total()
    print(f"{tally.pages} pages, {tally.dropped_in_all} dropped without quick_look, {drops} by it")
    for reason, count in tally.drops.most_common():
        print(f"  {reason:28} {count:6}  agreed {tally.agreed[reason]:6}  {tally.agreed[reason] / count:.2%}")
    for outcome, count in tally.outcomes.most_common(12):
        print(f"    {count:6}  {outcome}")
    print(f"agreement of its drops with the later stages: {agreed / max(1, drops):.2%} (target {TARGET_AGREEMENT:.1%})")
    print(f"CPU with it / without it: {tally.seconds['with'] / tally.seconds['without']:.3f}")
    for line in tally.wrong[:20]:
        print(f"  wrong: {line}")


if __name__ == "__main__":
    main()
