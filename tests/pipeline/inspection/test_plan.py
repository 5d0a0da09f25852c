"""`gristmill plan`: the estimates agree with what curating the whole input takes and gives."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import Config, load_config
from pipeline.errors import RunFailedError
from pipeline.inspection.plan import Plan, Sample, make_plan
from pipeline.reading.inputs import resolve_inputs
from tests.conftest import MINICRAWL

FILES = sorted(str(path) for path in MINICRAWL.iterdir())


@pytest.fixture(scope="module")
def whole() -> Plan:
    """A plan whose sample is the whole input: it has no sampling error."""
    return make_plan(resolve_inputs(FILES), Config(), 10_000, workers=2)


@pytest.fixture(scope="module")
def report(curated_minicrawl: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((curated_minicrawl / "report.json").read_text())
    return found


def test_pages_and_words_before_deduplication_agree_with_the_run(
    whole: Plan, report: dict[str, Any], curated_minicrawl: Path
) -> None:
    duplicates = sum(report["dropped"]["deduplicate"].values())
    assert whole.scale == 1
    assert whole.sample.pages == report["pages"]
    assert whole.sample.kept == report["kept"] + duplicates
    # Duplicates and repeated lines are removed after the sampled stages.
    assert 0 <= whole.sample.words - report["words"] < 0.2 * report["words"]
    assert whole.sample.characters > report["characters"]
    assert whole.kept_share[1] < whole.kept_share[0] == whole.sample.kept / report["pages"] < whole.kept_share[2]


def test_time_memory_and_disk_agree_with_the_run(whole: Plan, report: dict[str, Any], curated_minicrawl: Path) -> None:
    """Within a factor, because the machine is shared; a wrong unit or a forgotten stage would exceed it."""
    stages = sum(report["cpu_seconds"].values())
    assert 0.3 < whole.sample.cpu_seconds / stages < 3
    assert whole.hours * 3600 * 2 == pytest.approx(whole.sample.wall_seconds)
    assert 100e6 < whole.sample.peak_memory < 2e9
    shards = sum(path.stat().st_size for path in (curated_minicrawl / "shards").iterdir())
    assert 0.3 < whole.disk_bytes / shards < 3


def test_a_small_sample_estimates_the_whole_input(whole: Plan) -> None:
    some = make_plan(resolve_inputs(FILES), load_config(None, ["prepare.unit_bytes=20000"]), 60, workers=2)
    assert 60 <= some.sample.pages < 150
    assert some.bytes == whole.bytes
    assert some.sample.bytes < 0.6 * some.bytes
    assert 0.6 < some.sample.pages * some.scale / whole.sample.pages < 1.6
    low, high = some.kept_share[1:]
    assert low < whole.kept_share[0] < high


def test_the_interval_is_that_of_wilson() -> None:
    def share(pages: int, kept: int) -> tuple[float, float, float]:
        return Plan(Sample(pages=pages, kept=kept), 1, 1, 1, 1, 0).kept_share

    assert share(10, 5) == pytest.approx((0.5, 0.2366, 0.7634), abs=1e-4)  # as statsmodels has it
    assert share(20, 0)[1:] == pytest.approx((0.0, 0.1611), abs=1e-4)
    assert share(0, 0) == (0.0, 0.0, 1.0)


def test_the_plan_scales_with_bytes_and_workers() -> None:
    sample = Sample(
        bytes=10_000_000, pages=300, kept=60, words=30_000, characters=200_000, wall_seconds=36.0, cpu_seconds=30.0,
        peak_memory=500_000_000,
    )  # fmt: skip
    text = Plan(sample, 90_000, 1_400_000, 100 * 10**12, 1000, 1000).describe()
    for part in (
        "90,000 files, 100 TB, 1,400,000 units", "about 3.0 billion", "about 600 million pages (20.0%",
        "about 300 billion", "100.0 h with 1000 workers", "83,333.3 hours, 100.0 s per 1,000 pages",
        "500 GB with 1000 workers of 500 MB", "600 GB of keys", "900 GB of shards",
    ):  # fmt: skip
        assert part in re.sub(r" +", " ", text), text


@pytest.mark.parametrize("name", ["noise.warc.gz", "noise.warc"])
def test_no_plan_is_made_of_damaged_records_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0noise\n" * 300)
    with pytest.raises(RunFailedError, match=rf"{name}: no page was read in the sample of 1 units"):
        make_plan(resolve_inputs([str(tmp_path / name)]), Config(), 10, workers=1)


def test_command(gristmill, tmp_path: Path) -> None:
    done = gristmill("plan", *FILES[-1:], "--sample-pages", 5, "--workers", 3)
    names = [line.split()[0] for line in done.stdout.splitlines()]
    assert names == ["input", "sample", "pages", "kept", "words", "time", "CPU", "memory", "disk"]
    assert list(tmp_path.iterdir()) == []
    assert "--sample-pages" in gristmill("plan", *FILES[-1:], "--sample-pages", 0, check=False).stderr
    failed = gristmill("plan", tmp_path / "missing.warc.gz", check=False)
    assert failed.returncode == 2
    assert len(failed.stderr.strip().splitlines()) == 1
