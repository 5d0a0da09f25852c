"""`gristmill whatif` says what a real run with other settings gives: exactly, or within its interval."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.config import load_config
from pipeline.curate import plan_run, run_curation
from pipeline.errors import UserError
from pipeline.publishing.weights import compare_shares
from pipeline.reading.inputs import resolve_inputs
from pipeline.whatif.answer import Answer
from pipeline.whatif.describe import describe_answer
from pipeline.whatif.limits import list_limits
from tests.conftest import MINICRAWL
from tests.pipeline.whatif.changes import ALL, CHANGES, FURTHER, STRICT, ask, check_against_rerun, covers

LOOSER = [name for name, (_, stored) in ALL.items() if not stored]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini-crawl without its largest file; pages of 00002 are duplicates of each other."""
    output = tmp_path_factory.mktemp("whatif") / "out"
    files = sorted(map(str, MINICRAWL.glob("*")))
    inputs = resolve_inputs([files[0], *files[2:]])
    run_curation(plan_run(inputs, load_config(None, STRICT), str(output)))
    return output


@pytest.fixture(scope="module")
def truths(run: Path) -> Callable[[str], Answer]:
    """The answers that replay all pages."""
    return cache(lambda name: ask(run, ALL[name][0]))


@pytest.mark.parametrize("name", [*CHANGES, *(pytest.param(name, marks=pytest.mark.slow) for name in FURTHER)])
def test_the_answer_is_that_of_a_run(run: Path, truths: Callable[[str], Answer], tmp_path: Path, name: str) -> None:
    settings, stored = ALL[name]
    answer = truths(name)
    assert (answer.replayed == 0) == stored
    check_against_rerun(run, settings, answer, tmp_path / "out")


def test_every_change_but_one_of_weights_changes_what_is_kept(run: Path, truths: Callable[[str], Answer]) -> None:
    """The proof above would say little otherwise."""
    idle = []
    for name, (_, stored) in ALL.items():
        if stored:
            answer = truths(name)
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
def test_a_sample_gives_an_interval_that_covers_the_truth(
    run: Path, truths: Callable[[str], Answer], name: str
) -> None:
    settings, truth = ALL[name][0], truths(name)
    for replay in (0, truth.undecided // 2):
        answer = ask(run, settings, replay)
        assert answer.replayed == replay < truth.undecided
        assert covers(answer, truth.kept_after, truth.words_after)
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
