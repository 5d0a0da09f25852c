"""`gristmill sample` and `gristmill sql`: the views agree with pyarrow, and nothing but the run can be read."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from pipeline.errors import UserError
from pipeline.inspection.database import open_run, query, query_rows
from pipeline.inspection.sample import describe_pages, run_sql, sample_pages
from pipeline.stages.order import signal_names


def rows_of(output: Path, folder: str) -> list[dict]:
    return ds.dataset(output / folder).to_table().to_pylist()


def test_the_views_hold_the_rows_of_the_files(curated_minicrawl: Path) -> None:
    kept, dropped = rows_of(curated_minicrawl, "shards"), rows_of(curated_minicrawl, "drops")
    with open_run(str(curated_minicrawl)) as connection:
        found = query_rows(connection, "SELECT * FROM kept ORDER BY part, row")
        assert [{name: row[name] for name in kept[0]} for row in found] == kept
        reasons = dict(query(connection, "SELECT stage || ':' || reason, count(*) FROM dropped GROUP BY 1")[1])
        assert reasons == Counter(f"{row['stage']}:{row['reason']}" for row in dropped)
        pairs = set(query(connection, "SELECT id, survivor FROM duplicates")[1])
        assert pairs >= {(row["id"], row["duplicate_of"]) for row in dropped if row["duplicate_of"]}
        signals = query_rows(connection, "SELECT * FROM signals")
    assert set(signals[0]) == {"id", "url", "kept", "stage", "reason", *signal_names()}
    values = {(row["id"], row["url"]): row for row in signals}
    for row in (*kept, *dropped):
        one = values[row["id"], row["url"]]
        assert all(one[name] == value for name, value in (row["signals"] or {}).items())
    assert len(signals) == len(kept) + len(dropped)


def test_a_run_without_the_folder_of_duplicates_and_one_with_it(curated_minicrawl: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare [1]'"
    shutil.copytree(curated_minicrawl, bare, ignore=shutil.ignore_patterns("duplicates"))
    manifest = json.loads((bare / "manifest.json").read_text())
    (bare / "manifest.json").write_text(json.dumps({**manifest, "duplicates": []}))
    for output, column in ((bare, "duplicate_of"), (curated_minicrawl, "survivor")):
        assert f'"{column}"' in run_sql(str(output), "SELECT * FROM duplicates LIMIT 1", "json")


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY kept TO '/tmp/elsewhere.csv'",
        "INSTALL httpfs",
        "SET enable_external_access=true",
        "ATTACH '/tmp/elsewhere.db'",
    ],
)
def test_a_statement_reads_nothing_else_and_writes_nothing(curated_minicrawl: Path, statement: str) -> None:
    with pytest.raises(UserError, match=r"^sql: "):
        run_sql(str(curated_minicrawl), statement, "table")
    assert not Path("/tmp/elsewhere.csv").exists()


def test_sample_is_a_choice_by_seed_that_fits(curated_minicrawl: Path) -> None:
    output = str(curated_minicrawl)
    first = sample_pages(output, 4, None, "language = 'en' AND signals.gopher_words > 60", 0)
    assert first == sample_pages(output, 4, None, "language = 'en' AND signals.gopher_words > 60", 0)
    assert len(first) == 4
    assert all(row["language"] == "en" and row["signals"]["gopher_words"] > 60 for row in first)
    assert [row["id"] for row in first] != [row["id"] for row in sample_pages(output, 4, None, "language = 'en'", 1)]
    dropped = sample_pages(output, 99, "filter_heuristics:too_few_words", None, 0)
    assert {(row["stage"], row["reason"]) for row in dropped} == {("filter_heuristics", "too_few_words")}
    assert dropped == sample_pages(output, 99, "too_few_words", None, 0)


def test_what_cannot_be_sampled_is_said_in_one_line(curated_minicrawl: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pages were dropped for .*filter_heuristics:too_few_words"):
        sample_pages(str(curated_minicrawl), 1, "too_short_really", None, 0)
    with pytest.raises(UserError, match=r"sql: .*wrods"):
        sample_pages(str(curated_minicrawl), 1, None, "wrods > 3", 0)
    with pytest.raises(UserError, match=r"no manifest\.json"):
        sample_pages(str(tmp_path), 1, None, None, 0)


def test_the_terminal_gets_no_control_characters() -> None:
    row = {"url": "https://a.example/\x1b[2J", "id": "1", "fetched_at": None, "language": "en", "domain": "games",
           "quality_score": 0.5, "words": 2, "weight": 1.0, "duplicates": 0, "title": "\x1b]0;x\x07",
           "text": "a\x1b[31m", "excerpt": None}  # fmt: skip
    assert "\x1b" not in describe_pages([row], 100)


def test_the_commands(gristmill, curated_minicrawl: Path) -> None:
    printed = gristmill("sample", curated_minicrawl, "-n", 2, "--dropped", "deduplicate").stdout
    assert "duplicate of" in printed
    counted = gristmill("sql", curated_minicrawl, "SELECT count(*) AS n FROM kept", "--format", "json").stdout
    assert json.loads(counted) == {"n": len(rows_of(curated_minicrawl, "shards"))}
    failed = gristmill("sql", curated_minicrawl, "SELECT", check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (2, 1)
