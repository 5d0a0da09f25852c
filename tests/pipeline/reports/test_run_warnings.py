"""Warnings about a run, in the console summary, in report.json and in report.html."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lxml.html
import pytest

from pipeline.reports.console_summary import funnel
from pipeline.reports.html_report import render
from pipeline.reports.run_warnings import run_warnings
from pipeline.reports.samples import Samples
from pipeline.storage.layout import Layout

FAULT = "NameError: name '<script>' is not defined"


@pytest.fixture
def numbers(curated_minicrawl: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((curated_minicrawl / "report.json").read_text())
    return found


def with_failures(numbers: dict[str, Any], pages: int, failed: int, alike: int) -> dict[str, Any]:
    lines = [
        {"message": FAULT, "pages": alike},
        *({"message": f"other {n}", "pages": 1} for n in range(failed - alike)),
    ]
    return {**numbers, "pages": pages, "dropped": {"extract_text": {"extraction_error": failed}}, "failures": lines}


def test_a_run_without_failures_has_no_warnings(numbers: dict[str, Any]) -> None:
    assert numbers["failures"] == numbers["warnings"] == run_warnings(numbers) == []


def test_more_than_half_a_percent_of_failed_pages_is_a_warning(numbers: dict[str, Any]) -> None:
    assert run_warnings(with_failures(numbers, 1000, 5, 1)) == []
    (line,) = run_warnings(with_failures(numbers, 1000, 6, 1))
    assert line.startswith("6 of 1,000 pages (0.6%) were dropped because a stage failed on them")


def test_the_same_message_on_many_pages_is_a_warning_in_a_run_of_any_size(numbers: dict[str, Any]) -> None:
    assert run_warnings(with_failures(numbers, 1_000_000, 9, 9)) == []
    found = run_warnings(with_failures(numbers, 1_000_000, 35, 34))
    assert found[1] == f"34 pages failed with one message, probably an internal error: {FAULT}"
    page = lxml.html.fromstring(render(with_failures(numbers, 1_000_000, 35, 34), Samples()))
    assert FAULT in page.xpath("//*[@class='warnings']")[0].text_content()


def test_personal_data_in_the_output_is_a_warning(numbers: dict[str, Any]) -> None:
    assert numbers["rescan"] == {"documents": numbers["kept"], "finds": {}}
    (line,) = run_warnings({**numbers, "rescan": {"documents": 2000, "finds": {"EMAIL": 3}}})
    assert "a second scan of 2,000 published texts found personal data (EMAIL 3)" in line


def test_duplicates_and_repetitions_are_among_the_warnings(numbers: dict[str, Any]) -> None:
    duplicates = {**numbers["duplicates"], "warnings": ["60% are duplicates"]}
    domains = [{**numbers["domains"][0], "domain": "poetry", "repetitions": 6.5}]
    found = run_warnings({**numbers, "duplicates": duplicates, "domains": domains})
    assert found[0] == "60% are duplicates"
    assert found[1].startswith("poetry: 6.5 effective repetitions")


def test_the_console_summary_shows_the_warnings(numbers: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps({**numbers, "warnings": ["look here"]}))
    assert "\nwarning: look here\n" in funnel(Layout(str(tmp_path)))


def test_an_internal_error_is_in_the_report_of_a_run(tmp_path: Path, gristmill) -> None:
    """A module of a stage calls an undefined name: every page of a run fails with the same message."""
    code = (
        "from pipeline.extraction import final_text\n"
        "def join_paragraphs(paragraphs): return no_such_name\n"
        "final_text.join_paragraphs = join_paragraphs\n"
    )
    (tmp_path / "sitecustomize.py").write_text(code)
    warc = Path(__file__).parents[2] / "minicrawl" / "warc" / "minicrawl-00002.warc.gz"
    limit = ("--set", "prepare.max_error_share=1")
    done = gristmill("curate", warc, "--output", tmp_path / "out", *limit, check=False, PYTHONPATH=str(tmp_path))
    assert done.returncode == 3  # nothing was kept
    assert "warning: nothing was kept of 26 pages; most were dropped by extract_text" in done.stdout
    assert "failed with one message, probably an internal error: NameError: name 'no_such_name'" in done.stdout
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["failures"][0]["pages"] == report["dropped"]["extract_text"]["extraction_error"] >= 10
    assert report["warnings"]
