"""Alarms over snapshots: steps beyond the usual are found, named with pages, and drawn; the usual ones are not."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.inspection.status import read_status
from pipeline.reports.html_report import render
from pipeline.reports.run_warnings import run_warnings
from pipeline.reports.samples import Samples
from pipeline.reports.trends import compare_with_former
from pipeline.storage.layout import Layout

NAMES = [f"CC-MAIN-2026-{week:02d}" for week in (5, 10, 15, 20, 25)]


@pytest.fixture
def base(curated_minicrawl: Path, tmp_path: Path) -> Path:
    """Four snapshots with 100,000 pages each, whose numbers differ by chance, and the fifth without a report."""
    numbers = json.loads((curated_minicrawl / "report.json").read_text())
    random.seed(3)
    for name in NAMES:
        output = tmp_path / name
        shutil.copytree(curated_minicrawl, output)
        (output / "report.json").write_text(json.dumps(scale(numbers, random.gauss(1, 0.01))))
    return tmp_path


def scale(numbers: dict, factor: float) -> dict:
    """A report of 100,000 pages; what was kept is changed by a factor, and dropped pages balance it."""
    pages = 100_000
    kept = round(60_000 * factor)
    dropped = {"filter_heuristics": {"too_few_words": 25_000}, "deduplicate": {"same_url": pages - 25_000 - kept}}
    languages = [
        {"language": "en", "documents": kept - 10_000, "words": 9},
        {"language": "de", "documents": 10_000, "words": 9},
    ]
    return {**numbers, "pages": pages, "kept": kept, "words": 300 * kept, "dropped": dropped, "languages": languages}


def report_of(base: Path, **changes) -> dict:
    return {**json.loads((base / NAMES[-1] / "report.json").read_text()), **changes}


def trends(base: Path, report: dict) -> dict:
    return compare_with_former(report, Layout(str(base / NAMES[-1])))


def test_usual_steps_are_no_alarm(base: Path) -> None:
    found = trends(base, report_of(base))
    assert found["snapshots"] == NAMES
    assert found["alarms"] == []
    assert len(found["series"]["pages kept"]) == 5


def test_a_shift_is_an_alarm_with_its_pages(base: Path) -> None:
    report = report_of(base)
    half = report["kept"] // 2
    languages = [{"language": "en", "documents": half, "words": 9}, {"language": "de", "documents": half, "words": 9}]
    changed = report_of(base, languages=languages, words=report["words"] // 2)
    alarms = trends(base, changed)["alarms"]
    names = {alarm.partition(":")[0] for alarm in alarms}
    assert names == {"language en", "language de", "words of a page"}
    german = next(alarm for alarm in alarms if alarm.startswith("language de"))
    assert "in CC-MAIN-2026-20, former steps were at most" in german
    assert "(see http" in german


def test_a_language_that_appears_or_vanishes_is_an_alarm(base: Path) -> None:
    report = report_of(base)
    changed = report_of(base, languages=[{"language": "fr", "documents": report["kept"], "words": 9}])
    names = {alarm.partition(":")[0] for alarm in trends(base, changed)["alarms"]}
    assert {"language fr", "language en", "language de"} <= names


def test_pages_that_show_a_shift_are_named(base: Path) -> None:
    """The kept pages with the most words, with the charset step that became frequent, with the most personal data."""
    report = report_of(base)
    signals = {**report["signals"], "pii_finds": {**report["signals"]["pii_finds"], "sum": 5.0 * report["kept"]}}
    changed = {**report, "words": 3 * report["words"], "charset_steps": {"bom": 100_000}, "signals": signals}
    alarms = {alarm.partition(":")[0]: alarm for alarm in trends(base, changed)["alarms"]}
    rows = ds.dataset(base / NAMES[-1] / "shards").to_table().to_pylist()
    longest = sorted((row["words"], row["url"]) for row in rows)[-3:]
    assert f"(see {', '.join(url for _, url in reversed(longest))})" in alarms["words of a page"]
    found = sorted((row["signals"]["pii_finds"], row["url"]) for row in rows)[-3:]
    assert f"(see {', '.join(url for _, url in reversed(found))})" in alarms["personal data of a page"]
    by_header = [row["url"] for row in rows if row["signals"]["charset_step"] == 1.0]
    assert f"(see {', '.join(by_header[:3])})" in alarms["charset by http header"]
    few = trends(base, {**report, "words": report["words"] // 3})["alarms"]
    assert min(rows, key=lambda row: (row["words"], row["url"]))["url"] in next(a for a in few if "words of" in a)


def test_few_pages_differ_by_chance(base: Path) -> None:
    """40 pages: a share of 10% more is within five standard errors."""
    for name in NAMES[:-1]:
        path = base / name / "report.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "pages": 40, "kept": 20, "words": 6_000,
                                    "dropped": {"deduplicate": {"same_url": 20}}, "languages": []}))  # fmt: skip
    few = report_of(base, pages=40, kept=24, words=7_200, dropped={"deduplicate": {"same_url": 16}}, languages=[])
    assert not [alarm for alarm in trends(base, few)["alarms"] if alarm.startswith(("pages", "dropped"))]


def test_an_output_that_is_no_snapshot_has_no_trends(curated_minicrawl: Path, base: Path) -> None:
    report = json.loads((curated_minicrawl / "report.json").read_text())
    assert report["trends"] == {}
    assert compare_with_former(report, Layout(str(base / NAMES[0]))) == {}, "the first snapshot"


def test_alarms_reach_warnings_status_and_report(base: Path) -> None:
    report = report_of(base, words=1_000_000)
    report["trends"] = trends(base, report)
    report["warnings"] = run_warnings(report)
    assert any(line.startswith("words of a page") for line in report["warnings"])
    (base / NAMES[-1] / "report.json").write_text(json.dumps(report))
    assert "warning: words of a page" in read_status(str(base / NAMES[-1])).describe()
    html = render(report, Samples())
    assert 'id="trends"' in html
    assert html.count('class="series"') > 5
