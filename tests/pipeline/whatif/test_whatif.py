"""`gristmill whatif` says what a real run with other settings gives: exactly, or within its interval."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.config import load_config
from pipeline.curate import plan_run, run_curation
from pipeline.errors import UserError
from pipeline.inspection.stored_run import read_stored_run
from pipeline.publishing.weights import compare_shares
from pipeline.reading.inputs import resolve_inputs
from pipeline.rerun import plan_rerun, run_again
from pipeline.whatif.answer import Answer
from pipeline.whatif.ask import what_if
from pipeline.whatif.describe import describe_answer
from pipeline.whatif.limits import list_limits
from tests.conftest import MINICRAWL

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
}  # fmt: skip
ALL = CHANGES | FURTHER
LOOSER = [name for name, (_, stored) in ALL.items() if not stored]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini-crawl without its largest file; pages of 00002 are duplicates of each other."""
    output = tmp_path_factory.mktemp("whatif") / "out"
    files = sorted(map(str, MINICRAWL.glob("*")))
    inputs = resolve_inputs([files[0], *files[2:]])
    run_curation(plan_run(inputs, load_config(None, STRICT), str(output), keep_work=True))
    return output


def ask(run: Path, settings: list[str], replay: int | None = None) -> Answer:
    return what_if(str(run), load_config(None, settings, base=read_stored_run(str(run)).settings), replay)


def rerun(run: Path, settings: list[str], output: Path) -> dict:
    run_again(plan_rerun(str(run), str(output), None, settings))
    found: dict = json.loads((output / "report.json").read_text())
    return found


@pytest.mark.parametrize("name", [*CHANGES, *(pytest.param(name, marks=pytest.mark.slow) for name in FURTHER)])
def test_the_answer_is_that_of_a_run(run: Path, tmp_path: Path, name: str) -> None:
    settings, stored = ALL[name]
    answer, report = ask(run, settings), rerun(run, settings, tmp_path / "out")
    assert answer.exact
    assert (answer.replayed == 0) == stored
    assert (answer.kept_after, answer.words_after) == (report["kept"], report["words"])
    before, after = (
        {row["id"]: row for row in ds.dataset(output / "shards").to_table(columns=["id", "words"]).to_pylist()}
        for output in (run, tmp_path / "out")
    )
    assert (answer.kept_before, answer.words_before) == (len(before), sum(row["words"] for row in before.values()))
    assert {page.id for page in answer.lost.examples} == set(sorted(before.keys() - after.keys())[:20])
    assert {page.id for page in answer.won.examples} == set(sorted(after.keys() - before.keys())[:20])
    assert (answer.lost.pages, answer.won.pages) == (
        len(before.keys() - after.keys()),
        len(after.keys() - before.keys()),
    )
    weighted = {line["domain"]: line["weighted_after"] for line in answer.mixture if line["words_after"]}
    assert weighted == pytest.approx({line["domain"]: line["weighted"] for line in report["domains"]})


def test_every_change_but_one_of_weights_changes_what_is_kept(run: Path) -> None:
    """The proof above would say little otherwise."""
    idle = []
    for name, (settings, stored) in ALL.items():
        if stored:
            answer = ask(run, settings)
            if (answer.kept_after, answer.words_after) == (answer.kept_before, answer.words_before):
                idle.append(name)
    assert idle == ["weights"]


def test_a_page_that_leaves_frees_its_duplicate(run: Path) -> None:
    kept = {row["id"]: row for row in ds.dataset(run / "shards").to_table().to_pylist()}
    pairs = [(kept[row["duplicate_of"]], row) for row in ds.dataset(run / "drops").to_table().to_pylist()
             if row["duplicate_of"] in kept]  # fmt: skip
    setting, value, freed = next(find_limit_between(best, row) for best, row in pairs if find_limit_between(best, row))
    won = ask(run, [f"{setting}={value}"]).won
    assert freed in {page.id for page in won.examples if page.before.startswith("deduplicate:")}


def find_limit_between(best: dict, other: dict) -> tuple[str, float, str] | None:
    """A limit that drops the first page and not the second, if a measurement tells them apart."""
    for limit in list_limits(load_config(None)):
        name = limit.measurement.removeprefix("signals.")
        values = [row["signals"].get(name) for row in (best, other)]
        if limit.stage != "filter_heuristics" or None in values or values[0] == values[1] or max(values) > 1:
            continue
        if (values[0] < values[1]) == limit.at_least:
            return f"{limit.stage}.{limit.setting}", sum(values) / 2, other["id"]
    return None


def test_lost_pages_show_the_measurement_between_the_limits(run: Path) -> None:
    for page in ask(run, ["filter_heuristics.gopher.min_words=190"]).lost.examples:
        assert page.measurement == "gopher_words"
        assert page.old_limit == 150 <= page.value < 190 == page.new_limit  # type: ignore[operator]


@pytest.mark.parametrize("name", LOOSER)
def test_a_sample_gives_an_interval_that_covers_the_truth(run: Path, name: str) -> None:
    settings = ALL[name][0]
    truth = ask(run, settings)
    for replay in (0, truth.undecided // 2):
        answer = ask(run, settings, replay)
        assert answer.replayed == replay < truth.undecided
        assert not answer.exact
        assert answer.kept_interval is not None
        assert answer.words_interval is not None
        assert answer.kept_interval[0] <= truth.kept_after <= answer.kept_interval[1]
        assert answer.words_interval[0] <= truth.words_after <= answer.words_interval[1]
        assert "between" in describe_answer(answer)


def test_what_needs_a_run_is_refused(run: Path) -> None:
    for setting in ("deduplicate.bands=8", "read_warc.max_body_bytes=1000000", "page_process.cpu_seconds=3"):
        with pytest.raises(UserError, match="use `gristmill rerun`"):
            ask(run, [setting])


def test_the_command_prints_one_object(gristmill, run: Path) -> None:
    printed = gristmill("whatif", run, "--set", "filter_heuristics.gopher.min_words=190", "--versus",
                        "score_quality.min_score=0.6", "--json").stdout  # fmt: skip
    found = json.loads(printed)
    assert found["kept_after"] < found["kept_before"]
    assert found["exact"] is True
    assert "kept_interval" not in found
    assert found["versus"]["changed"] == ["score_quality.min_score"]
    text = gristmill("whatif", run, "--set", "quick_look.enabled=false", "--replay", 2).stdout
    assert "2 of them were replayed" in text
    assert gristmill("whatif", run, "--replay", "some", check=False).returncode == 2


def test_no_change_is_no_change(run: Path) -> None:
    answer = ask(run, [])
    assert answer.exact
    assert (answer.lost.pages, answer.won.pages) == (0, 0)
    assert (answer.kept_after, answer.words_after) == (answer.kept_before, answer.words_before)
    assert compare_shares({}, {}, load_config(None).publish.weights) == []
