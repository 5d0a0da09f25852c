"""`gristmill rerun` and further input: what is reused is said, and the result is that of a fresh run, byte for byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipeline.config import load_config
from pipeline.curate import clean_run, plan_run, run_curation
from pipeline.errors import RunFailedError, UserError
from pipeline.reading.inputs import resolve_inputs
from pipeline.release.push import push
from pipeline.rerun import plan_rerun, run_again
from pipeline.storage.layout import PUBLISHED
from tests.conftest import MINICRAWL, Command

UNITS = "prepare.unit_bytes=20000"  # two or more units a file


def curate(output: Path, *overrides: str, files: int = 5, keep_work: bool = True, overwrite: bool = False) -> Path:
    inputs = resolve_inputs(sorted(map(str, MINICRAWL.glob("*")))[2:])[:files]  # without the large ones
    run = plan_run(inputs, load_config(None, (UNITS, *overrides)), str(output), keep_work=keep_work)
    run_curation(run, overwrite=overwrite)
    return output


def rerun(source: Path, output: Path, *overrides: str) -> tuple[str, Path]:
    plan = plan_rerun(str(source), str(output), None, overrides)
    run_again(plan)
    return plan.describe(), output


def value_of(setting: str) -> str:
    """The default, as `--set` takes it."""
    found: Any = load_config(None).model_dump(mode="json")
    for name in setting.split("."):
        found = found[name]
    return "off" if found is None else f"{found:g}" if isinstance(found, float) else json.dumps(found)


def check_equal(output: Path, fresh: Path) -> None:
    """Equal manifests, with the hash of every file, and equal rows; equal work files, if both have kept them."""
    assert json.loads((output / "manifest.json").read_text()) == json.loads((fresh / "manifest.json").read_text())
    check_rows(output, fresh)


def check_rows(output: Path, fresh: Path) -> None:
    for kind in PUBLISHED:
        assert ds.dataset(output / kind).to_table() == ds.dataset(fresh / kind).to_table()
    if (output / "work").exists() and (fresh / "work").exists():
        assert read_work(output) == read_work(fresh)


def read_work(output: Path) -> dict[str, bytes]:
    """Contents by path, without the tallies, which say what each stage cost."""
    paths = [path for path in output.glob("work/*/*/*") if path.parent.name != "tally"]
    return {f"{path.parent.name}/{path.name}": path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("rerun") / "kept")


@pytest.fixture(scope="module")
def bare(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run without its work files."""
    output = tmp_path_factory.mktemp("rerun") / "bare"
    shutil.copytree(kept, output)
    assert clean_run(str(output)) > 0
    assert not (output / "work").exists()
    return output


FILTERS = ("filter_heuristics.gopher.min_words=140", "identify_language.min_score=0.9", "scrub_pii.phones=false",
           "prepare.drop_text=true", "tag_domain.max_harm=0.5", "publish.weights.max_repetition=2.5")  # fmt: skip
DEFAULTS = tuple(f"{name}={value_of(name)}" for name in (setting.partition("=")[0] for setting in FILTERS))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return curate(tmp_path_factory.mktemp("rerun") / "fresh", *FILTERS)


def test_other_filters_take_the_extracted_texts(kept: Path, fresh: Path, tmp_path: Path) -> None:
    said, output = rerun(kept, tmp_path / "out", *FILTERS)
    assert "reused: the extracted texts of" in said
    assert "read again" not in said
    check_equal(output, fresh)
    said, back = rerun(output, tmp_path / "back", *DEFAULTS)
    assert "reused: the extracted texts of" in said
    check_rows(back, kept)


@pytest.mark.parametrize(("changes", "first", "idle"), [
    (("identify_language.min_score=0.95", "score_quality.min_score=0.4"), "identify_language", "extract_text"),
    (("scrub_pii.phones=false",), "scrub_pii", None),  # excerpts of pages without a stored text are scrubbed anew
    (("filter_heuristics.gopher.min_words=140", "filter_heuristics.c4.min_words_per_line=9"), "filter_heuristics",
     "extract_text"),
    (("score_quality.min_score=0.4", "tag_domain.max_harm=0.02"), "score_quality", "scrub_pii"),
    (("tag_domain.drop=unknown", "deduplicate.sentence_words=3"), "tag_domain", "score_quality"),
])  # fmt: skip
def test_pages_go_on_at_the_first_stage_that_changed(
    kept: Path, tmp_path: Path, changes: tuple[str, ...], first: str, idle: str | None
) -> None:
    said, output = rerun(kept, tmp_path / "out", *changes)
    assert f"reused: the extracted texts, and what stages before {first} did, of" in said
    check_equal(output, curate(tmp_path / "fresh", *changes))
    spent = json.loads((output / "report.json").read_text())["cpu_seconds"]
    assert first in spent
    assert idle not in spent


def test_pages_whose_owner_says_no_are_read_from_the_input(kept: Path, tmp_path: Path) -> None:
    refused = {row["id"] for row in ds.dataset(kept / "drops").to_table().to_pylist() if row["stage"] == "check_rights"}
    texts = ds.dataset(sorted(map(str, kept.glob("work/*/extracted/*")))).to_table(columns=["id"])
    assert refused
    assert not refused & set(texts["id"].to_pylist()), "nothing that they say is kept"
    _, output = rerun(kept, tmp_path / "out", "check_rights.drop=[]")
    check_equal(output, curate(tmp_path / "fresh", "check_rights.drop=[]"))


def test_without_work_files_other_filters_read_the_input(bare: Path, fresh: Path, tmp_path: Path) -> None:
    said, output = rerun(bare, tmp_path / "out", *FILTERS)
    assert "has no work files of them: --no-keep-work" in said
    check_equal(output, fresh)


def test_a_unit_whose_texts_are_gone_is_read_again(kept: Path, fresh: Path, tmp_path: Path) -> None:
    shutil.copytree(kept, tmp_path / "source")
    texts = sorted((tmp_path / "source").glob("work/*/extracted/*.parquet"))
    texts[0].unlink()
    said, output = rerun(tmp_path / "source", tmp_path / "out", *FILTERS)
    assert f"read again from the input: 1 of {len(texts)} units" in said
    check_equal(output, fresh)


@pytest.mark.parametrize("changes", [("publish.weights.shares={games = 50}", "publish.jsonl=plain")])
def test_other_weights_take_the_published_rows(kept: Path, bare: Path, tmp_path: Path, changes) -> None:
    said, output = rerun(bare, tmp_path / "out", *changes)
    assert "reused: all published rows; no page is read" in said
    said, other = rerun(kept, tmp_path / "other", *changes)
    assert "reused: the results of all page stages" in said
    expected = curate(tmp_path / "fresh", *changes)
    check_equal(output, expected)
    check_equal(other, expected)
    lines = [sorted(path.read_bytes() for path in (each / "jsonl").iterdir()) for each in (output, expected)]
    assert lines[0] == lines[1]


def test_other_deduplication_takes_the_page_stages(kept: Path, tmp_path: Path) -> None:
    changes = ("deduplicate.threshold=0.5", "deduplicate.boilerplate=false")
    said, output = rerun(kept, tmp_path / "out", *changes)
    assert "reused: the results of all page stages" in said
    check_equal(output, curate(tmp_path / "fresh", *changes))


def test_reading_and_extraction_start_from_the_input(kept: Path, tmp_path: Path) -> None:
    plan = plan_rerun(str(kept), str(tmp_path / "out"), None, ("extract_text.min_characters=100",))
    assert "a setting of reading or extraction" in plan.describe()
    plan = plan_rerun(str(kept), str(tmp_path / "out"), None, ("identify_language.languages=en",))
    assert "quick_look.languages" in plan.describe(), "as in a fresh run, quick_look looks for them, too"


def test_a_rerun_that_keeps_nothing_fails_as_a_run_does(kept: Path, tmp_path: Path, gristmill: Command) -> None:
    words = ("--set", "filter_heuristics.gopher.min_words=90000", "--workers", 1)
    done = gristmill("rerun", kept, "--output", tmp_path / "out", *words, check=False)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].endswith(f"nothing was kept; {tmp_path}/out/report.html has the reasons")
    with pytest.raises(RunFailedError, match="nothing was kept, so there is nothing to publish"):
        push(str(tmp_path / "out"), str(tmp_path / "published"))
    assert not (tmp_path / "published").exists()


def test_a_rerun_needs_a_finished_run_and_a_folder_of_its_own(kept: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json"):
        plan_rerun(str(tmp_path), str(tmp_path / "out"), None, ())
    with pytest.raises(UserError, match="holds the input"):
        plan_rerun(str(kept), str(kept), None, ())
    with pytest.raises(UserError, match="no finished run; its work files are what"):
        clean_run(str(tmp_path))


def test_further_input_adds_its_units_only(tmp_path: Path) -> None:
    output = curate(tmp_path / "out", files=2)
    tallies = {path: path.stat().st_mtime_ns for path in output.glob("work/*/tally/*")}
    curate(output)
    now = {path: path.stat().st_mtime_ns for path in output.glob("work/*/tally/*")}
    assert tallies.items() < now.items(), "no unit was done again"
    check_equal(output, curate(tmp_path / "fresh"))


def test_further_input_without_work_files_is_refused_in_one_line(bare: Path, tmp_path: Path) -> None:
    output = curate(tmp_path / "out", files=2, keep_work=False)
    with pytest.raises(UserError, match=r"3 files to add; do that by --overwrite"):
        curate(output)
    check_equal(curate(output, overwrite=True), bare)
