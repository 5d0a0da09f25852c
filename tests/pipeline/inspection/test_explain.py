"""`gristmill explain`: the replay gives the fate in the ledger; texts, measurements and limits are shown."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest

from pipeline.config import Config
from pipeline.documents import Document
from pipeline.errors import UserError
from pipeline.inspection import explain_text, limits
from pipeline.inspection.explain import explain_page, jaccard
from pipeline.inspection.find_pages import find_pages, suggest_urls
from pipeline.reports.formatting import measure
from pipeline.stages.order import PAGE_STAGES
from pipeline.storage.layout import Layout
from tests.conftest import Command
from tests.minicrawl.captures import Capture, Warc

MAIL = "https://choir-noticeboard.example/notice/mail"


@pytest.fixture(scope="module")
def drops(curated_minicrawl: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ds.dataset(curated_minicrawl / "drops").to_table().to_pylist()
    return found


def replay(wanted: str, output: Path) -> list[dict[str, Any]]:
    return [asdict(capture) for capture in explain_page(wanted, str(output))]


def explain_as_text(wanted: str, output: Path) -> str:
    return explain_text.describe(explain_page(wanted, str(output)))


def test_the_replay_gives_every_fate_of_the_ledger(curated_minicrawl: Path, drops: list[dict[str, Any]]) -> None:
    one_each = {(row["stage"], row["reason"]): row for row in drops if row["url"]}
    assert len(one_each) > 10
    for (stage, reason), row in one_each.items():
        found = [item for item in replay(row["id"], curated_minicrawl) if item["url"] == row["url"]]
        assert found, row["url"]
        assert found[0]["ledger"] == found[0]["replayed"] == f"{stage}: {reason}"
        assert found[0]["agrees"]
        assert found[0]["stages"][-1]["value"] == row["value"]


def test_kept_page_with_texts_measurements_and_changes(curated_minicrawl: Path) -> None:
    found = replay(MAIL, curated_minicrawl)[0]
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert next(iter(stages)) == "read_warc"
    assert list(stages)[-1] == "deduplicate"
    assert "margaret.hollis@" in stages["extract_text"]["after"]
    assert "<EMAIL_1>" in stages["scrub_pii"]["after"]
    assert "margaret" not in stages["scrub_pii"]["after"]
    score = next(item for item in stages["identify_language"]["measurements"] if item["name"] == "score")
    assert score["low"] == Config().identify_language.min_score
    assert score["value"] > score["low"]
    kept = ds.dataset(curated_minicrawl / "shards").to_table(filter=ds.field("url") == MAIL).to_pylist()[0]
    assert found["kept"]["weight"] == kept["weight"]
    assert stages["deduplicate"]["after"] == kept["text"]


def test_a_duplicate_names_its_survivor(curated_minicrawl: Path, drops: list[dict[str, Any]]) -> None:
    row = next(row for row in drops if row["reason"] == "near_duplicate")
    survivor = replay(row["url"], curated_minicrawl)[0]["survivor"]
    assert survivor["id"] == row["duplicate_of"]
    assert survivor["similarity"] == row["value"]
    assert abs(survivor["jaccard"] - row["value"]) < 0.1  # the sketches' estimate beside the truth
    back = replay(survivor["id"], curated_minicrawl)[0]
    assert row["url"] in [duplicate["url"] for duplicate in back["duplicates"]]


def test_both_captures_of_one_url_are_shown(curated_minicrawl: Path) -> None:
    url = "https://www.wendvalley-history.example/town/1.html"
    found = replay(url, curated_minicrawl)
    assert [item["ledger"] for item in found] == ["kept", "deduplicate: same_url"]
    assert found[0]["fetched_at"] < found[1]["fetched_at"]
    assert found[1]["survivor"]["url"] == url


def test_other_spellings_of_a_url_find_the_page(curated_minicrawl: Path) -> None:
    for url in ("choir-noticeboard.example/notice/mail", "http://www.choir-noticeboard.example/notice/mail/"):
        assert replay(url, curated_minicrawl)[0]["url"] == MAIL


def test_similar_urls_are_suggested_for_an_unknown_one(curated_minicrawl: Path) -> None:
    with pytest.raises(UserError, match=r"no page of this URL or id.*did you mean .*notice/mail"):
        explain_page("https://choir-noticeboard.example/notice/mial", str(curated_minicrawl))
    with pytest.raises(UserError, match=r"did you mean .*choir-noticeboard"):
        explain_page("https://choir-notice-board.example/", str(curated_minicrawl))
    assert suggest_urls(Layout(str(curated_minicrawl)), "https://nothing-like-it.test/") == []
    assert find_pages(Layout(str(curated_minicrawl)), "0" * 32) == []


def test_the_text_fits_a_hundred_columns(curated_minicrawl: Path, drops: list[dict[str, Any]]) -> None:
    wanted = [
        MAIL,
        *(next(row["id"] for row in drops if row["stage"] == stage) for stage in ("scrub_pii", "deduplicate")),
    ]
    for page in wanted:
        text = explain_as_text(page, curated_minicrawl)
        assert max(map(len, text.splitlines())) <= explain_text.WIDTH
    assert re.search(r"scrub_pii +passed, text changed", explain_as_text(MAIL, curated_minicrawl))
    assert "fate in the ledger   kept" in explain_as_text(MAIL, curated_minicrawl)


def test_command(curated_minicrawl: Path, gristmill: Command) -> None:
    assert "fate in the ledger   kept" in gristmill("explain", MAIL, "--run", curated_minicrawl).stdout
    printed = gristmill("explain", MAIL, "--run", curated_minicrawl, "--json").stdout
    assert [capture["url"] for capture in json.loads(printed)] == [MAIL]
    failed = gristmill("explain", "https://nowhere.test/", "--run", curated_minicrawl, check=False)
    assert failed.returncode == 2
    assert len(failed.stderr.strip().splitlines()) == 1


def test_a_changed_list_or_version_is_named(curated_minicrawl: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(curated_minicrawl, output)
    run = json.loads((output / "run.json").read_text())
    run["identity"]["versions"]["trafilatura"] = "0.0.1"
    (output / "run.json").write_text(json.dumps(run))
    assert re.search(r"changed since the run: .*trafilatura", explain_as_text(MAIL, output))


def test_a_moved_input_is_named(curated_minicrawl: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(curated_minicrawl, output)
    run = json.loads((output / "run.json").read_text())
    run["paths"] = {name: "/gone/" + name for name in run["paths"]}
    (output / "run.json").write_text(json.dumps(run))
    with pytest.raises(UserError, match=r"is no longer at /gone/"):
        explain_page(MAIL, str(output))


def test_an_output_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json;"):
        explain_page(MAIL, str(tmp_path))


def test_a_different_fate_is_reported(curated_minicrawl: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    shutil.copytree(curated_minicrawl, output)
    run = json.loads((output / "run.json").read_text())
    run["settings"]["identify_language"]["languages"] = ["de"]
    (output / "run.json").write_text(json.dumps(run))
    text = explain_as_text(MAIL, output)
    assert "identify_language: language_not_wanted: NOT the same" in text


def test_control_characters_are_replaced() -> None:
    assert explain_text.printable("a\x1b[31mb\u202ec\r") == "a�[31mb�c�"


def test_jaccard_of_word_5_grams() -> None:
    left = "a b c d e f g"  # 3 shingles
    right = "a b c d e f h"  # 3, of which 2 are shared
    assert jaccard(left, right) == 0.5
    assert jaccard(left, left) == 1.0
    assert jaccard(left, "") == 0.0


def test_measurements_that_dropped_a_document_are_shown_with_limit_and_margin(
    curated_minicrawl: Path, drops: list[dict[str, Any]]
) -> None:
    measured = {
        row["reason"]: row
        for row in drops
        if row["threshold"] is not None and row["language"] and row["stage"] != "deduplicate"
    }
    assert len(measured) > 10
    for row in measured.values():
        stage = next(found for found in replay(row["id"], curated_minicrawl) if found["url"] == row["url"])["stages"][
            -1
        ]
        broken = [item for item in stage["measurements"] if row["threshold"] in (item["low"], item["high"])]
        assert [item["value"] for item in broken if item["value"] == row["value"]], row
        text = explain_as_text(row["id"], curated_minicrawl)
        assert re.search(rf"{measure(row['value'])} .*-[\d.e,-]+  ← broken", text), row


def test_every_threshold_of_a_document_stage_is_known_to_explain() -> None:
    for stage in ("extract_text", "identify_language", "scrub_pii", "score_quality", "tag_domain"):
        fields, shown = type(getattr(Config(), stage)).model_fields, limits._LIMITS[stage]
        named = {limit for pair in shown.values() for limit in pair if limit}
        # max_tokens is how much of a text a model reads: it drops nothing.
        limiting = {name for name in fields if name.startswith(("min_", "max_"))} - {"max_tokens"}
        assert limiting <= named <= set(fields)
        assert set(shown) - {"score", "education"} <= set(PAGE_STAGES[stage].SIGNALS)


def test_measurements_are_shown_with_their_limits_by_margin() -> None:
    document = Document("0" * 32, "", "", "", 0, "", "", "", "", language="en", language_score=0.7)
    found = limits.list_measurements("identify_language", {"unlimited": 3.0}, document, Config().identify_language)
    assert [item.name for item in found] == ["score", "unlimited"]
    assert found[0].margin == pytest.approx(0.05)
    assert found[1].margin is None


def test_a_page_over_its_cpu_budget_is_replayed_in_a_page_process(tmp_path: Path, gristmill: Command) -> None:
    html = b"<html><title>Long</title><body>" + b"<p>Many paragraphs of much the same kind.</p>" * 60_000
    url = "https://endless.example/list"
    Warc("endless.warc.gz", [Capture(url, html, "page_process:cpu_budget")]).write(tmp_path)
    tight = ["page_process.cpu_seconds=0.05", "page_process.cpu_seconds_per_mb=0"]
    output = tmp_path / "out"
    settings = [part for value in tight for part in ("--set", value)]
    done = gristmill("curate", tmp_path / "endless.warc.gz", "--output", output, "--workers", 1, *settings, check=False)
    assert done.returncode == 3  # nothing was kept
    found = replay(url, output)[0]
    assert found["ledger"] == found["replayed"] == "page_process: cpu_budget"
    assert found["stages"][-1]["threshold"] == pytest.approx(0.05)
