"""A second audit of an output, in DuckDB's SQL by FORMAT.md alone: it shares no code with the writer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb

MODULUS = 1 << 64
SUMMED = ("shards", "drops", "duplicates")
OF_DUPLICATES = ("same_url", "same_text", "near_duplicate", "already_published", "has_duplicates")


def audit(output: Path) -> list[str]:
    """Everything that is wrong, one line each."""
    manifest = json.loads((output / "manifest.json").read_text())
    report = json.loads((output / "report.json").read_text())
    connection = duckdb.connect()
    for kind in ("shards", "drops", "sketches", "duplicates"):
        connection.execute(f"CREATE VIEW {kind} AS SELECT * FROM '{output}/{kind}/*.parquet'")
    checks = (_files, _ledger, _fates, _columns, _duplicates, _sketches, _texts)
    return [problem for check in checks for problem in check(connection, output, manifest, report)]


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]


def _files(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    for kind in ("shards", "drops", "sketches", "duplicates"):
        found = connection.execute(
            f"SELECT filename, sha256(content), size FROM read_blob('{output}/{kind}/*.parquet')"
        )
        actual = {f"{kind}/{Path(name).name}": (digest, size) for name, digest, size in found.fetchall()}
        stated = {entry["path"]: (entry["sha256"], entry["bytes"]) for entry in manifest[kind]}
        if actual != stated:
            yield f"files: {kind}"


def _ledger(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    kept, dropped = (_one(connection, f"SELECT count(*) FROM {kind}") for kind in ("shards", "drops"))
    for name, totals in (("manifest", manifest), ("report", report)):
        if (totals["pages"], totals["kept"]) != (kept + dropped, kept):
            yield f"ledger: {name}"
    counts = connection.execute("SELECT stage, reason, count(*) FROM drops GROUP BY ALL").fetchall()
    reported = {(s, reason): n for s, reasons in report["dropped"].items() for reason, n in reasons.items()}
    if {(stage, reason): n for stage, reason, n in counts} != reported:
        yield "ledger: fates"
    words, characters = connection.execute("SELECT sum(words), sum(characters) FROM shards").fetchone()
    if (manifest["words"], manifest["characters"]) != (words or 0, characters or 0):
        yield "ledger: words"


def _fates(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    captures = " UNION ALL ".join(f"SELECT warc_file, warc_offset, id FROM {kind}" for kind in ("shards", "drops"))
    twice = (
        f"SELECT count(*) FROM (SELECT count(*) AS n FROM ({captures}) GROUP BY warc_file, warc_offset, id) WHERE n > 1"
    )
    if _one(connection, twice):
        yield "fates: a capture has two"


def _columns(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    for kind in SUMMED:
        described = connection.execute(f"DESCRIBE {kind}").fetchall()
        for name, kind_of_column, *_ in described:
            if kind_of_column == "BLOB" or kind_of_column.startswith("STRUCT"):
                continue
            text = f"array_to_string({name}, ',')" if kind_of_column.endswith("[]") else f"{name}::VARCHAR"
            term = f"('0x' || sha256(id || ':' || {text})[1:15])::UBIGINT"
            total = _one(connection, f'SELECT coalesce(sum({term}::HUGEINT), 0) FROM {kind} WHERE "{name}" IS NOT NULL')
            if total % MODULUS != int(manifest["column_sums"][kind].get(name, "0"), 16):
                yield f"columns: {kind}.{name}"


def _duplicates(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    reasons = ", ".join(f"'{reason}'" for reason in OF_DUPLICATES)
    named = f"SELECT duplicate_of, id, reason FROM drops WHERE stage = 'deduplicate' AND reason IN ({reasons})"
    listed = "SELECT survivor, id, reason FROM duplicates WHERE NOT kept"
    if _one(connection, f"SELECT count(*) FROM (({named}) EXCEPT ({listed}) UNION ALL ({listed}) EXCEPT ({named}))"):
        yield "duplicates: drops/ and duplicates/ differ"
    orphans = """SELECT count(*) FROM drops WHERE duplicate_of IS NOT NULL AND reason != 'already_published'
        AND duplicate_of NOT IN (SELECT id FROM shards)
        AND duplicate_of NOT IN (SELECT id FROM drops WHERE stage = 'suppress')"""
    if _one(connection, orphans):
        yield "duplicates: a survivor is not kept"
    counted = """WITH named AS (SELECT duplicate_of AS id, count(*) AS n FROM drops
            WHERE duplicate_of IS NOT NULL AND reason != 'already_published' GROUP BY 1)
        SELECT count(*) FROM shards LEFT JOIN named USING (id) WHERE duplicates != coalesce(n, 0)"""
    if _one(connection, counted):
        yield "duplicates: counted wrongly"


def _sketches(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    if _one(connection, "SELECT count(*) FROM ((SELECT id FROM shards) EXCEPT (SELECT id FROM sketches))"):
        yield "sketches: a kept document has none"
    if _one(connection, "SELECT count(*) FROM ((SELECT id FROM sketches) EXCEPT (SELECT id FROM shards))"):
        yield "sketches: one of a document that is not kept"


def _texts(connection: Any, output: Path, manifest: Any, report: Any) -> Iterator[str]:
    if _one(connection, "SELECT count(*) FROM shards WHERE length(text) != characters OR trim(text) = ''"):
        yield "texts: characters"
    if _one(connection, "SELECT count(*) FROM shards WHERE weight IS NULL OR NOT isfinite(weight) OR weight < 0"):
        yield "texts: weight"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
