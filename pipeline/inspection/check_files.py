"""Checks of an output's files: names, sizes and hashes as in the manifest, columns and types as in the schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.deduplication.sketch import PUBLISHED_SKETCH
from pipeline.inspection.check import Check, Problems
from pipeline.publishing.candidates import CANDIDATE
from pipeline.publishing.schema import DROP, DUPLICATE, SHARD
from pipeline.storage.digests import sha256_of_file
from pipeline.storage.layout import JSONL, PUBLISHED, Layout

SCHEMAS: Mapping[str, pa.Schema] = {
    "shards": SHARD,
    "drops": DROP,
    "sketches": PUBLISHED_SKETCH,
    "duplicates": DUPLICATE,
    "candidates": CANDIDATE,
}
Paths = Mapping[str, Sequence[str]]  # the files by kind; jsonl only if the run wrote it


def check_files(layout: Layout, paths: Paths, manifest: Mapping[str, Any]) -> Check:
    """Every file of the manifest exists with its hash, there is no other file of its kind, and there is a report."""
    kinds = [kind for kind in (*PUBLISHED, JSONL) if kind in manifest]
    problems = Problems(problem for kind in kinds for problem in _file_problems(kind, paths[kind], manifest[kind]))
    if not storage.exists(layout.report):
        problems.add("report.json is missing")
    entries = [entry for kind in kinds for entry in manifest[kind]]
    size = sum(entry["bytes"] for entry in entries)
    return problems.check("files", f"{len(entries)} files, {size:,} bytes, hashes as in the manifest")


def _file_problems(kind: str, paths: Sequence[str], entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    expected = {entry["path"]: entry for entry in entries}
    actual = {_name(kind, path): path for path in paths}
    yield from (f"{name} is missing" for name in expected if name not in actual)
    yield from (f"{name} is not in the manifest" for name in actual if name not in expected)
    for name in sorted(expected.keys() & actual.keys()):
        if sha256_of_file(actual[name]) != expected[name]["sha256"]:
            yield f"{name} has other bytes than in the manifest"


def check_schema(paths: Paths) -> Check:
    """Columns and types of every file."""
    problems = Problems(
        problem
        for kind, schema in SCHEMAS.items()
        for path in paths[kind]
        for problem in _schema_problems(kind, path, schema)
    )
    return problems.check("schema", ", ".join(f"{kind} {len(schema)} columns" for kind, schema in SCHEMAS.items()))


def _schema_problems(kind: str, path: str, expected: pa.Schema) -> Iterator[str]:
    try:
        with storage.read_parquet(path) as parquet:
            actual = parquet.schema_arrow
    except storage.StorageError as error:
        yield f"{_name(kind, path)} cannot be read ({error})"
        return
    names = {**dict.fromkeys(expected.names), **dict.fromkeys(actual.names)}
    different = [name for name in names if not _is_same(actual, expected, name)]
    if different:
        yield f"{_name(kind, path)}: {', '.join(different[:5])}"


def _is_same(actual: pa.Schema, expected: pa.Schema, column: str) -> bool:
    if column not in actual.names or column not in expected.names:
        return False
    field = actual.field(column)
    if column == "signals":  # another version of the code may measure other signals
        return pa.types.is_struct(field.type) and all(pa.types.is_float64(signal.type) for signal in field.type)
    return bool(expected.field(column).equals(field))


def _name(kind: str, path: str) -> str:
    return f"{kind}/{path.rsplit('/', 1)[-1]}"
