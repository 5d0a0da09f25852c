"""`gristmill remove --reweigh`: the weights of a publish without the pages; else they stay, and the report says so."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import effects
from pipeline.inspection.audit import audit_output
from pipeline.inspection.stored_run import read_stored_run
from pipeline.lists.suppressions import SelectorKind
from pipeline.release.remove import remove
from pipeline.release.selectors import Request, make_selector
from pipeline.storage.layout import Layout, read_manifest
from pipeline.whatif.ask import what_if
from tests.pipeline.heuristics.good_texts import prose
from tests.pipeline.release.outputs import Page, write_output
from tests.pipeline.simulation.world import Fault, Killed, World, at_call

TEXTS = [
    f"Story number {number} of a long list. {prose(4 + 3 * (number % 4), start=7 * number)}" for number in range(9)
]
PAGES = [Page(f"https://{'a' if number % 4 else 'b'}.example.org/{number}.html", TEXTS[number]) for number in range(9)]
WANTED = Request((make_selector(SelectorKind.HOST, "b.example.org"),))
NOTHING = Request(())
# Shares that no topic has by itself, and no bound in the way: every removal changes every weight.
WEIGHTS = {"shares": {"topic0": 5, "topic1": 3, "topic2": 1}, "max_repetition": 50, "min_repetition": 0}
SETTINGS = {"publish": {"weights": WEIGHTS, "jsonl": "zstd"}}


def rows_of(output: Path, kind: str = "shards") -> dict[str, dict[str, Any]]:
    manifest = read_manifest(Layout(str(output)))
    return {row["id"]: row for entry in manifest[kind] for row in pq.read_table(output / entry["path"]).to_pylist()}


def lines_of(output: Path) -> dict[str, dict[str, Any]]:
    import zstandard

    files = [
        zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read() for path in (output / "jsonl").iterdir()
    ]
    return {row["id"]: row for row in map(json.loads, b"".join(files).splitlines())}


def shares_of(output: Path, weighted: bool) -> dict[str, float]:
    """By the rows of the shards alone."""
    words: dict[str, float] = {}
    for row in rows_of(output).values():
        words[row["domain"]] = words.get(row["domain"], 0) + row["words"] * (row["weight"] if weighted else 1)
    return {domain: value / sum(words.values()) for domain, value in words.items()}


def reported(output: Path, name: str) -> dict[str, float]:
    return {row["domain"]: row[name] for row in json.loads((output / "report.json").read_text())["domains"]}


def problems(output: Path) -> list[str]:
    return [check.name for check in audit_output(str(output)) if not check.ok]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_output(tmp_path_factory.mktemp("finished") / "out", PAGES, **SETTINGS)


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture(scope="module")
def without(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publish in which the pages were never kept."""
    pages = [replace(page, dropped="//b." in page.url) for page in PAGES]
    return write_output(tmp_path_factory.mktemp("without") / "out", pages, **SETTINGS)


def test_new_weights_are_those_of_a_publish_without_the_pages(output: Path, without: Path) -> None:
    before = rows_of(output)
    sketches = {path.read_bytes() for path in (output / "candidates").iterdir()}
    removal = remove(str(output), WANTED, reweigh=True)[str(output)]
    rows, expected = rows_of(output), rows_of(without)
    assert {key: row["weight"] for key, row in rows.items()} == {key: row["weight"] for key, row in expected.items()}
    assert all(row["weight"] != before[key]["weight"] for key, row in rows.items())
    assert [{**row, "weight": 0} for row in rows.values()] == [{**before[key], "weight": 0} for key in rows]
    assert {key: row["weight"] for key, row in lines_of(output).items()} == {k: r["weight"] for k, r in rows.items()}
    assert len(sketches) == len(list((output / "candidates").iterdir()))
    assert problems(output) == []
    manifest = read_manifest(Layout(str(output)))
    assert (manifest["removed"], manifest["removed_words"]) == (3, [])
    assert (
        manifest["column_sums"]["shards"]["weight"]
        == read_manifest(Layout(str(without)))["column_sums"]["shards"]["weight"]
    )
    assert (removal.after, removal.reweighed, len(removal.documents)) == (manifest["content_hash"], True, 3)
    assert reported(output, "weighted") == pytest.approx(shares_of(output, weighted=True))
    assert reported(output, "weighted") == pytest.approx({"topic0": 5 / 9, "topic1": 3 / 9, "topic2": 1 / 9}, abs=1e-5)
    assert not any("removed" in line for line in json.loads((output / "report.json").read_text())["warnings"])


def test_a_plain_removal_keeps_the_weights_and_reports_the_shares_that_they_have(output: Path) -> None:
    before = rows_of(output)
    remove(str(output), WANTED)
    rows = rows_of(output)
    assert rows == {key: before[key] for key in rows}
    assert problems(output) == []
    assert reported(output, "weighted") == pytest.approx(shares_of(output, weighted=True))
    assert reported(output, "actual") == pytest.approx(shares_of(output, weighted=False))
    assert reported(output, "weighted") != pytest.approx(reported(output, "target"), abs=1e-3)
    report = json.loads((output / "report.json").read_text())
    gone = sum(row["words"] for key, row in before.items() if key not in rows)
    assert report["removed"] == {"documents": 3, "words_in_weights": gone}
    assert any("remove OUTPUT --reweigh" in line for line in report["warnings"])


def test_earlier_removals_are_reweighed_later_and_only_once(output: Path, without: Path) -> None:
    remove(str(output), WANTED)
    remove(str(output), NOTHING, reweigh=True)
    assert {key: row["weight"] for key, row in rows_of(output).items()} == {
        key: row["weight"] for key, row in rows_of(without).items()
    }
    assert problems(output) == []
    files = {path: path.read_bytes() for path in output.rglob("part-*")}
    remove(str(output), NOTHING, reweigh=True)
    assert {path: path.read_bytes() for path in output.rglob("part-*")} == files


def test_an_untouched_output_has_nothing_to_reweigh(output: Path) -> None:
    files = {path: path.read_bytes() for path in output.rglob("*") if path.is_file() and path.name != "run.lock"}
    assert remove(str(output), NOTHING, reweigh=True)[str(output)].is_empty
    assert {
        path: path.read_bytes() for path in output.rglob("*") if path.is_file() and path.name != "run.lock"
    } == files


def test_killed_at_any_rename_the_same_command_ends_in_the_same_state(finished: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(finished, output)
    seen: list[tuple[int, str]] = []
    with effects.simulate(World(str(output), lambda number, effect, _: seen.append((number, effect.value)))):
        expected = remove(str(output), WANTED, reweigh=True)
    state = content_of(output)
    calls = [number for number, kind in seen if kind in ("rename", "delete")]
    assert len(calls) > 20
    for number in calls[::3]:
        shutil.rmtree(output)
        shutil.copytree(finished, output)
        with pytest.raises(Killed), effects.simulate(World(str(output), at_call(number, Fault.KILL))):
            remove(str(output), WANTED, reweigh=True)
        for lock in output.glob("run.lock*"):
            lock.unlink()
        assert remove(str(output), WANTED, reweigh=True) == expected, number
        assert content_of(output) == state, number


def content_of(output: Path) -> dict[str, bytes]:
    files = (path for path in sorted(output.rglob("*")) if path.is_file() and path.name != "run.lock")
    return {str(path.relative_to(output)): path.read_bytes() for path in files}


@pytest.mark.parametrize("reweigh", [False, True])
def test_what_if_compares_with_the_weights_that_the_shards_hold(output: Path, without: Path, reweigh: bool) -> None:
    remove(str(output), WANTED, reweigh=reweigh)
    mixture = what_if(str(output), read_stored_run(str(output)).config).mixture
    before, after = ({line["domain"]: line[f"weighted_{side}"] for line in mixture} for side in ("before", "after"))
    assert before == pytest.approx(shares_of(output, weighted=True))
    assert after == pytest.approx(shares_of(without, weighted=True))  # a new run has no removed pages in its weights
    assert (before == pytest.approx(after, abs=1e-4)) is reweigh
