"""`gristmill audit`: passes on an unchanged output; each check fails on damage of its kind."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import storage
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.deduplication.sketch import PUBLISHED_SKETCH, sketch_columns
from pipeline.documents import Document
from pipeline.errors import UserError
from pipeline.inspection.audit import audit_output
from pipeline.publishing.content_hash import MODULUS, content_hash, row_digest
from pipeline.publishing.schema import DROP, DUPLICATE, SHARD
from pipeline.storage import digests, parquet
from tests.conftest import Command

SCHEMAS = {"shards": SHARD, "drops": DROP, "sketches": PUBLISHED_SKETCH, "duplicates": DUPLICATE}
Rows = list[dict[str, Any]]


@pytest.fixture
def output(curated_minicrawl: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "out"
    shutil.copytree(curated_minicrawl, copy)
    return copy


def rewrite(output: Path, change: Callable[[dict[str, Rows]], None]) -> None:
    """Changes rows, then updates sizes, hashes and counts, so that only the change itself is wrong."""
    rows = {kind: pq.read_table(next((output / kind).glob("*.parquet"))).to_pylist() for kind in SCHEMAS}
    change(rows)
    manifest = json.loads((output / "manifest.json").read_text())
    sums = {}
    for kind, schema in SCHEMAS.items():
        path = next((output / kind).glob("*.parquet"))
        pq.write_table(pa.Table.from_pylist(rows[kind], schema=schema), path)
        data = path.read_bytes()
        manifest[kind][0].update(rows=len(rows[kind]), bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
        total = sum(map(row_digest, pq.read_table(path).to_pylist())) % MODULUS if kind in ("shards", "drops") else 0
        sums[kind] = [{"content": f"{total:064x}"}]
    manifest["content_hash"] = content_hash(sums)
    (output / "manifest.json").write_text(json.dumps(manifest))


def list_failures(output: Path) -> dict[str, str]:
    return {check.name: check.detail for check in audit_output(str(output)) if not check.ok}


def test_an_unchanged_output_passes_every_check(curated_minicrawl: Path) -> None:
    checks = audit_output(str(curated_minicrawl))
    assert [check.name for check in checks if not check.ok] == []
    assert [check.name for check in checks] == [
        "files", "schema", "content hash", "ledger", "fates", "survivors", "copies", "counts", "personal data",
        "weights", "near-duplicates", "buckets",
    ]  # fmt: skip
    assert all(check.detail for check in checks)


def test_rewriting_without_a_change_passes(output: Path) -> None:
    rewrite(output, lambda rows: None)
    assert list_failures(output) == {}


def test_the_command_prints_one_line_per_check(output: Path, gristmill: Command) -> None:
    good = gristmill("audit", output)
    assert len(good.stdout.splitlines()) == 12
    next((output / "shards").glob("*.parquet")).unlink()
    bad = gristmill("audit", output, check=False)
    assert bad.returncode == 3
    assert "FAIL  files: shards/part-00000.parquet is missing" in bad.stdout


def test_a_flipped_byte_fails(output: Path) -> None:
    path = next((output / "drops").glob("*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert "drops/part-00000.parquet has other bytes" in list_failures(output)["files"]


def test_an_extra_file_fails(output: Path) -> None:
    shutil.copy(output / "shards" / "part-00000.parquet", output / "shards" / "part-00001.parquet")
    assert list_failures(output)["files"] == "shards/part-00001.parquet is not in the manifest"


def test_a_file_of_another_format_fails(output: Path) -> None:
    next((output / "sketches").glob("*.parquet")).write_bytes(b"PAR1")
    assert "not a readable Parquet file" in list_failures(output)["schema"]


def test_another_schema_fails(output: Path) -> None:
    path = next((output / "shards").glob("*.parquet"))
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["weight"]), path)
    assert "weight" in list_failures(output)["schema"]


def test_changed_rows_change_the_content_hash(output: Path) -> None:
    manifest = json.loads((output / "manifest.json").read_text())
    wanted = manifest["content_hash"]
    rewrite(output, lambda rows: rows["shards"][0].update(title="another"))
    found = json.loads((output / "manifest.json").read_text())
    (output / "manifest.json").write_text(json.dumps({**found, "content_hash": wanted}))
    assert set(list_failures(output)) == {"content hash"}


def test_a_missing_row_fails(output: Path) -> None:
    rewrite(
        output, lambda rows: rows["drops"].remove(next(row for row in rows["drops"] if row["stage"] == "block_urls"))
    )
    found = list_failures(output)
    assert set(found) == {"ledger"}
    assert "pages, the rows are" in found["ledger"]


def test_a_wrong_count_of_a_reason_fails(output: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        next(row for row in rows["drops"] if row["reason"] == "http_status")["reason"] = "not_html"

    rewrite(output, change)
    assert "read_warc:http_status" in list_failures(output)["ledger"]


def test_two_rows_of_one_capture_fail(output: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        rows["drops"][0] = {
            **rows["drops"][0],
            **{name: rows["shards"][0][name] for name in ("id", "warc_file", "warc_offset")},
        }

    rewrite(output, change)
    assert "1 captures have more than one row" in list_failures(output)["fates"]


def test_an_unknown_reason_fails(output: Path) -> None:
    rewrite(output, lambda rows: rows["drops"][0].update(reason="bad_karma"))
    assert "unknown fate" in list_failures(output)["fates"]


def test_a_missing_survivor_fails(output: Path) -> None:
    rewrite(
        output, lambda rows: next(row for row in rows["drops"] if row["duplicate_of"]).update(duplicate_of="f" * 32)
    )
    assert "1 dropped pages name it, but no kept document of this id counts them" in list_failures(output)["survivors"]


def test_a_wrong_number_of_duplicates_fails(output: Path) -> None:
    rewrite(output, lambda rows: rows["shards"][0].update(duplicates=41))
    assert "counts 41 duplicates, 1 dropped pages name it" in list_failures(output)["survivors"]


def test_wrong_word_counts_fail(output: Path) -> None:
    rewrite(output, lambda rows: rows["shards"][3].update(characters=1))
    assert set(list_failures(output)) == {"counts"}


@pytest.mark.parametrize(
    ("kind", "column"), [("shards", "text"), ("shards", "title"), ("drops", "excerpt"), ("drops", "detail")]
)
def test_personal_data_in_any_column_fails(output: Path, kind: str, column: str) -> None:
    def change(rows: dict[str, Rows]) -> None:
        row = rows[kind][0]
        row[column] = (row[column] or "") + " Write to lydia.bennet@longbourn-house.org today."
        if column == "text":
            row.update(words=len(row["text"].split()), characters=len(row["text"]))

    rewrite(output, change)
    assert f"EMAIL in its {column}" in list_failures(output)["personal data"]


@pytest.mark.parametrize("weight", [float("inf"), float("nan"), -1.0, 17.0, 1.234567])
def test_invalid_weights_fail(output: Path, weight: float) -> None:
    rewrite(output, lambda rows: rows["shards"][5].update(weight=weight))
    assert "weight" in list_failures(output)["weights"]


def test_two_similar_kept_documents_fail(output: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        first, second = rows["shards"][0], rows["shards"][1]
        second.update({name: first[name] for name in ("text", "words", "characters")})

    rewrite(output, change)
    assert "similarity 1.000" in list_failures(output)["near-duplicates"]


def test_two_similar_sketches_fail(output: Path) -> None:
    def change(rows: dict[str, Rows]) -> None:
        text = next(row["text"] for row in rows["shards"] if row["language"] == "en")
        words = text.split()
        twin = Document(
            "0" * 32, "https://twin.example/", "", "", 0, "", "", "", " ".join([*words[:-2], "other", "end"])
        )
        source = next(row for row in rows["shards"] if row["text"] == text)
        for row in rows["sketches"]:
            if row["id"] == source["id"]:
                columns = sketch_columns(
                    Document("1" * 32, row["id"], "", "", 0, "", "", "", text), DeduplicateSettings()
                )
                row.update({name: columns[name] for name in ("text_key", "bands", "sketch")})
        columns = sketch_columns(twin, DeduplicateSettings())
        other = next(row for row in rows["sketches"] if row["id"] != source["id"])
        other.update({name: columns[name] for name in ("url_key", "text_key", "bands", "sketch")})

    rewrite(output, change)
    assert "in one bucket" in list_failures(output)["buckets"]


@pytest.mark.parametrize(("key", "what"), [("url_key", "URL"), ("text_key", "text")])
def test_two_kept_documents_with_one_key_fail(output: Path, key: str, what: str) -> None:
    rewrite(output, lambda rows: rows["sketches"][0].update({key: rows["sketches"][1][key]}))
    assert f"share their {what} with another" in list_failures(output)["buckets"]


def test_an_output_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no manifest\.json, so"):
        audit_output(str(tmp_path))


def test_every_file_is_read_a_constant_number_of_times(output: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each folder is listed once."""
    opened: Counter[str] = Counter()
    listed: Counter[str] = Counter()
    for module, name, counter in (
        (parquet, "open_parquet", opened),
        (digests, "open_binary", opened),
        (storage, "list_names", listed),
    ):
        monkeypatch.setattr(module, name, count_calls(getattr(module, name), counter))
    assert list_failures(output) == {}
    assert {path: count for path, count in opened.items() if not 2 <= count <= 3} == {}
    assert set(listed.values()) == {1}


def count_calls(function: Callable[[str], Any], counter: Counter[str]) -> Callable[[str], Any]:
    def call(path: str) -> Any:
        counter[path] += 1
        return function(path)

    return call
