"""Changes of settings about which `gristmill whatif` is asked, and the comparison of its answer with a real rerun."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipeline.config import load_config
from pipeline.inspection.stored_run import read_stored_run
from pipeline.rerun import plan_rerun, run_again
from pipeline.storage.layout import Layout, read_report
from pipeline.whatif.answer import EXAMPLES, Answer
from pipeline.whatif.ask import what_if

# The run is strict, so that looser limits let pages through.
STRICT = ("filter_heuristics.gopher.min_words=150", "quick_look.min_words=110", "score_quality.min_score=0.5")
# Settings that differ, and whether stored measurements decide.
CHANGES = {
    "one limit": (["filter_heuristics.gopher.min_words=190"], True),
    "three stages": (["identify_language.min_score=0.99", "scrub_pii.max_finds=0",
                      "filter_heuristics.c4.min_sentences=12"], True),
    "duplicates": (["deduplicate.near=false", "deduplicate.exact_text=false"], True),
    "a looser limit": (["filter_heuristics.gopher.min_words=60"], False),
    "an earlier stage": (["quick_look.min_words=50", "filter_heuristics.gopher.min_words=160"], False),
    "other texts": (["filter_heuristics.c4.min_words_per_line=9"], False),
}  # fmt: skip
FURTHER = {
    "quality, some by chance": (["score_quality.min_score=0.6", "score_quality.low_keep_share=0.3"], True),
    "harm and domains": (["tag_domain.max_harm=0.02", "tag_domain.drop=unknown"], True),
    "lines": (["deduplicate.boilerplate=false", "deduplicate.paragraphs=false"], True),
    "weights": (["publish.weights.max_repetition=2"], True),
    "no quality limit": (["score_quality.min_score=off"], False),
    "no early look": (["quick_look.enabled=false", "filter_heuristics.gopher.min_words=off"], False),
    "tighter here, looser there": (["filter_heuristics.gopher.min_stop_words=5", "score_quality.min_score=0.2",
                                    "filter_heuristics.gopher.min_words=100"], False),
    "block lists and opt-outs": (["block_urls.hosts=[]", "block_urls.min_soft_words=1", "check_rights.drop=[]"], False),
    "eight stages": (["quick_look.min_words=80", "identify_language.min_score=0.8", "scrub_pii.max_finds=2",
                      "scrub_pii.phones=false", "filter_heuristics.c4.min_sentences=5",
                      "filter_heuristics.gopher.min_words=60", "score_quality.min_score=0.3", "tag_domain.max_harm=0.5",
                      "deduplicate.threshold=0.8", "publish.weights.max_repetition=2"], False),
}  # fmt: skip
ALL = CHANGES | FURTHER


def ask(run: Path, settings: list[str], replay: int | None = None) -> Answer:
    return what_if(str(run), load_config(None, settings, base=read_stored_run(str(run)).settings), replay)


def check_against_rerun(run: Path, settings: list[str], answer: Answer, output: Path) -> dict[str, Any]:
    """Makes the rerun, and compares all that the exact answer says; returns the rerun's report."""
    run_again(plan_rerun(str(run), str(output), None, settings))
    report = read_report(Layout(str(output)))
    assert answer.exact
    assert (answer.kept_after, answer.words_after) == (report["kept"], report["words"])
    before, after = (
        {row["id"]: row for row in ds.dataset(each / "shards").to_table(columns=["id", "words"]).to_pylist()}
        for each in (run, output)
    )
    assert (answer.kept_before, answer.words_before) == (len(before), sum(row["words"] for row in before.values()))
    lost, won = before.keys() - after.keys(), after.keys() - before.keys()
    assert (answer.lost.pages, answer.won.pages) == (len(lost), len(won))
    assert {page.id for page in answer.lost.examples} == set(sorted(lost)[:EXAMPLES])
    assert {page.id for page in answer.won.examples} == set(sorted(won)[:EXAMPLES])
    weighted = {line["domain"]: line["weighted_after"] for line in answer.mixture if line["words_after"]}
    assert weighted == pytest.approx({line["domain"]: line["weighted"] for line in report["domains"]})
    return report


def covers(answer: Answer, kept: int, words: int) -> bool:
    """Whether the intervals of an answer that is not exact hold the truth."""
    if answer.exact or answer.kept_interval is None or answer.words_interval is None:
        return False
    pairs = ((answer.kept_interval, kept), (answer.words_interval, words))
    return all(low <= truth <= high for (low, high), truth in pairs)
