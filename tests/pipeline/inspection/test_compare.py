"""`gristmill compare`: changes made by hand to a copy of a run are found, all of them and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.inspection.compare import compare_runs, describe_comparison
from tests.pipeline.inspection.changed_run import make_changed


@pytest.fixture(scope="module")
def changed(curated_minicrawl: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict], dict]:
    output = tmp_path_factory.mktemp("compare") / "out"
    return output, *make_changed(curated_minicrawl, output)


def test_what_was_changed_is_found(curated_minicrawl: Path, changed) -> None:
    output, gone, shorter = changed
    found = compare_runs(str(curated_minicrawl), str(output))
    before = pq.read_table(next((curated_minicrawl / "shards").glob("*.parquet"))).to_pylist()
    lost = sum(row["words"] for row in gone)
    assert not found.same_content
    assert (found.kept_before, found.kept_after) == (len(before), len(before) - 3)
    assert found.words_before == sum(row["words"] for row in before)
    assert found.words_after == found.words_before - lost - 10
    assert (found.pages_changed, found.words_changed) == (3, lost + 10)
    (change,) = found.changes
    assert (change["before"], change["after"], change["pages"]) == ("kept", "score_quality:low_quality", 3)
    assert {row["id"] for row in change["examples"]} == {row["id"] for row in gone}
    words = sum(row["words"] for row in before if row["language"] == shorter["language"])
    share = {line["name"]: line["before"] for line in found.languages}[shorter["language"]]
    assert share == pytest.approx(words / found.words_before)
    assert "kept → score_quality:low_quality" in describe_comparison(found)


def test_a_run_equals_itself(curated_minicrawl: Path) -> None:
    found = compare_runs(str(curated_minicrawl), str(curated_minicrawl))
    assert found.same_content
    assert (found.pages_changed, found.words_changed, found.changes) == (0, 0, [])


def test_the_budget_decides_the_exit_code(gristmill, curated_minicrawl: Path, changed) -> None:
    output = changed[0]
    within = gristmill("compare", curated_minicrawl, output, "--budget", "50%", "--json")
    share = json.loads(within.stdout)["changed"]
    assert 0 < share < 0.5
    passed = gristmill("compare", curated_minicrawl, output, "--budget", f"{50 * share}%", check=False)
    assert passed.returncode == 3
    assert "of the words differ, the budget is" in passed.stderr
    assert gristmill("compare", curated_minicrawl, output, "--budget", "a lot", check=False).returncode == 2
