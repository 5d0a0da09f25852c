"""The written format: golden outputs of every version are read, and DuckDB's own audit agrees and finds frauds."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.inspection.audit import audit_output
from pipeline.publishing.manifest import FORMAT
from pipeline.publishing.schema import DROP, DUPLICATE, SHARD
from pipeline.storage.layout import Layout, read_manifest
from tests.conftest import ROOT
from tests.pipeline.independent_audit import audit, sha256
from trainer.data.curated_dataset import fetch_shard, open_dataset, read_rows

GOLDEN = sorted((ROOT / "tests" / "golden").glob("format-*"))
Rows = dict[str, list[dict[str, Any]]]


def test_this_version_of_the_format_has_a_golden_output_and_a_description() -> None:
    assert [path.name for path in GOLDEN][-1] == f"format-{FORMAT}"
    assert f"version {FORMAT}" in (ROOT / "FORMAT.md").read_text()


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda path: path.name)
def test_golden_outputs_are_read_and_pass_both_audits(golden: Path, tmp_path: Path) -> None:
    output = tmp_path / golden.name
    shutil.copytree(golden, output)
    assert [check for check in audit_output(str(output)) if not check.ok] == []
    assert audit(output) == []
    expected = json.loads((golden / "expected.json").read_text())
    manifest = read_manifest(Layout(str(output)))
    assert {name: manifest[name] for name in expected["manifest"]} == expected["manifest"]
    dataset = open_dataset(str(output))
    rows = []
    for shard in dataset.shards:
        with fetch_shard(shard) as path:
            rows += [
                row for batch in read_rows(path, shard.name, ("id", "text", "weight")) for row in batch.to_pylist()
            ]
    assert rows == expected["rows"]


@pytest.mark.parametrize("schema", [SHARD, DROP, DUPLICATE])
def test_every_column_is_described(schema: pa.Schema) -> None:
    text = (ROOT / "FORMAT.md").read_text()
    assert [name for name in schema.names if f"`{name}`" not in text] == []


def test_the_independent_audit_agrees_on_the_mini_crawl(curated_minicrawl: Path) -> None:
    assert audit(curated_minicrawl) == []


def missing_row(rows: Rows) -> None:
    del rows["shards"][3]


def missing_drop(rows: Rows) -> None:
    del rows["drops"][3]


def double_fate(rows: Rows) -> None:
    kept = rows["shards"][0]
    rows["drops"].append({**rows["drops"][0], **{name: kept[name] for name in ("id", "warc_file", "warc_offset")}})


def changed_weight(rows: Rows) -> None:
    rows["shards"][5]["weight"] += 0.000001


def changed_text(rows: Rows) -> None:
    rows["shards"][5]["text"] = rows["shards"][5]["text"].swapcase()


def changed_reason(rows: Rows) -> None:
    next(row for row in rows["drops"] if row["stage"] == "filter_heuristics")["reason"] = "too_few_words"


def changed_url(rows: Rows) -> None:
    rows["shards"][7]["url"] += "?"


def invented_row(rows: Rows) -> None:
    rows["shards"].append({**rows["shards"][0], "id": "0" * 32, "warc_offset": 1})


def wrong_survivor(rows: Rows) -> None:
    dropped = next(row for row in rows["drops"] if row["duplicate_of"])
    dropped["duplicate_of"] = next(row["id"] for row in rows["shards"] if row["id"] != dropped["duplicate_of"])


def hidden_opt_out(rows: Rows) -> None:
    next(row for row in rows["shards"] if row["opt_outs"])["opt_outs"] = []


def claimed_license(rows: Rows) -> None:
    rows["shards"][2].update(license="CC0-1.0", license_place="link", license_disagrees=False)


def forgotten_copy(rows: Rows) -> None:
    rows["duplicates"].remove(next(row for row in rows["duplicates"] if not row["kept"]))


FRAUDS = [
    missing_row, missing_drop, double_fate, changed_weight, changed_text, changed_reason, changed_url, invented_row,
    wrong_survivor, hidden_opt_out, claimed_license, forgotten_copy,
]  # fmt: skip


@pytest.mark.parametrize("fraud", FRAUDS, ids=lambda fraud: fraud.__name__)
def test_the_independent_audit_finds_each_fraud(
    fraud: Callable[[Rows], None], curated_minicrawl: Path, tmp_path: Path
) -> None:
    """The fraud mends the hashes and sizes of the files, so that only the rows themselves are wrong."""
    output = tmp_path / "out"
    shutil.copytree(curated_minicrawl, output)
    kinds = ("shards", "drops", "duplicates")
    tables = {kind: pq.read_table(next((output / kind).glob("*.parquet"))) for kind in kinds}
    rows = {kind: table.to_pylist() for kind, table in tables.items()}
    fraud(rows)
    manifest = json.loads((output / "manifest.json").read_text())
    for kind, table in tables.items():
        path = next((output / kind).glob("*.parquet"))
        pq.write_table(pa.Table.from_pylist(rows[kind], schema=table.schema), path)
        manifest[kind][0].update(rows=len(rows[kind]), bytes=path.stat().st_size, sha256=sha256(path))
    (output / "manifest.json").write_text(json.dumps(manifest))
    found = audit(output)
    assert found
    assert not any(problem.startswith("files") for problem in found)
