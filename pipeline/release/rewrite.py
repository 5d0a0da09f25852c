"""Write the files of one part again, without the pages that are removed; every other row stays as it was.

The new files get a part number of their own. So an output is complete at every moment: the manifest names the old files
until it names the new ones, and what it does not name can be deleted.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import zstandard

from pipeline import storage
from pipeline.ledger import removed_row
from pipeline.publishing.content_hash import COLUMN_MODULUS, MODULUS, add_columns, row_digest
from pipeline.publishing.jsonl_writer import ENDINGS, compress
from pipeline.publishing.part_writer import ROW_GROUP_ROWS, HashingFile
from pipeline.publishing.weights import Cell, cell_of
from pipeline.storage.layout import JSONL, Layout

_COMPRESSION = {ending: name for name, ending in ENDINGS.items()}
Entry = dict[str, Any]  # of the manifest: path, rows, bytes, sha256


@dataclass(slots=True)
class Change:
    """What the removal changed in one part, or in all."""

    kept: int = 0  # documents taken from shards
    dropped: int = 0  # rows of drops/ emptied
    words: int = 0
    characters: int = 0
    fates: dict[str, int] = field(default_factory=dict)  # rows of drops/ that had this fate before
    cells: dict[Cell, int] = field(default_factory=dict)  # words taken, by domain and quality
    content: dict[str, int] = field(default_factory=dict)  # change of the digest sums, by kind
    columns: dict[str, dict[str, int]] = field(default_factory=dict)  # change of the sums of columns, by kind
    files: list[dict[str, Any]] = field(default_factory=list)  # the old and the new file

    def add(self, other: Change) -> None:
        """Adds the changes of another part."""
        for name in ("kept", "dropped", "words", "characters"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("fates", "cells", "content"):
            sums = getattr(self, name)
            for key, value in getattr(other, name).items():
                sums[key] = sums.get(key, 0) + value
        for kind, sums in other.columns.items():
            mine = self.columns.setdefault(kind, {})
            for name, value in sums.items():
                mine[name] = (mine.get(name, 0) + value) % COLUMN_MODULUS
        self.files += other.files

    def count_content(self, kind: str, row: Mapping[str, Any], sign: int) -> None:
        if kind in ("shards", "drops"):
            self.content[kind] = (self.content.get(kind, 0) + sign * row_digest(row)) % MODULUS
        add_columns(self.columns.setdefault(kind, {}), row, sign)


def rewrite_part(
    layout: Layout, files: Mapping[str, Entry], number: int, ids: set[str]
) -> tuple[dict[str, Entry], Change]:
    """Writes the files of a part under `number`, without the rows of these ids; returns their entries and the change.

    In drops/ the removed pages keep an empty row each: the ledger goes on counting every page.
    """
    change, removed, entries = Change(), [], {}
    for kind in ("shards", "sketches", "duplicates", "candidates"):
        if kind in files:
            entries[kind] = _write_parquet(layout, files[kind], kind, number, ids, [])
    for row in _rows_of(layout, files["shards"], ids):
        _count_kept(change, row)
        removed.append(removed_row(row))
    for row in _rows_of(layout, files["drops"], ids):
        fate = f"{row['stage']}:{row['reason']}"
        change.dropped += 1
        change.fates[fate] = change.fates.get(fate, 0) + 1
        change.count_content("drops", row, -1)
        removed.append(removed_row(row))
    if "duplicates" in files:
        for row in _rows_of(layout, files["duplicates"], ids):
            change.count_content("duplicates", row, -1)
    removed.sort(key=lambda row: (row["warc_file"] or "", row["warc_offset"] or 0, row["id"]))
    for row in removed:
        change.count_content("drops", row, 1)
    entries["drops"] = _write_parquet(layout, files["drops"], "drops", number, ids, removed)
    if JSONL in files:
        entries[JSONL] = _write_jsonl(layout, files[JSONL], number, ids)
    change.files = [{"before": files[kind], "after": entry} for kind, entry in entries.items()]
    return entries, change


def _count_kept(change: Change, row: Mapping[str, Any]) -> None:
    change.kept += 1
    change.words += row["words"]
    change.characters += row["characters"]
    cell = cell_of(row)
    change.cells[cell] = change.cells.get(cell, 0) + row["words"]
    change.count_content("shards", row, -1)


def _rows_of(layout: Layout, entry: Entry, ids: set[str]) -> Iterator[dict[str, Any]]:
    with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
        for group in range(parquet.num_row_groups):
            mask = _mask(parquet.read_row_group(group, columns=["id"]), ids)
            if pc.any(mask).as_py():
                yield from parquet.read_row_group(group).filter(mask).to_pylist()


def _mask(table: pa.Table, ids: set[str]) -> Any:
    return pc.is_in(table["id"], value_set=pa.array(sorted(ids), pa.string()))


def _write_parquet(
    layout: Layout, entry: Entry, kind: str, number: int, ids: set[str], added: list[dict[str, Any]]
) -> Entry:
    path = layout.part(kind, number)
    with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
        schema = parquet.schema_arrow
        groups = (parquet.read_row_group(group) for group in range(parquet.num_row_groups))
        tables = (table.filter(pc.invert(_mask(table, ids))) for table in groups)
        return write_tables(path, schema, [*tables, pa.Table.from_pylist(added, schema=schema)])


def write_tables(path: str, schema: pa.Schema, tables: list[pa.Table]) -> Entry:
    """Writes the rows of all tables as one file of a part; returns its entry in the manifest."""
    rows = sum(table.num_rows for table in tables)
    with storage.write_atomically(path) as file:
        hashing = HashingFile(file)
        writer = pq.ParquetWriter(hashing, schema, compression="zstd", compression_level=3)
        try:
            for table in tables:
                if table.num_rows:
                    writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
        except BaseException:
            hashing.file = None
            raise
        finally:
            writer.close()
    return hashing.manifest_entry(path, rows)


def _write_jsonl(layout: Layout, entry: Entry, number: int, ids: set[str]) -> Entry:
    return write_lines(layout, entry, number, lambda line: line if json.loads(line)["id"] not in ids else None)


def write_lines(layout: Layout, entry: Entry, number: int, change: Callable[[bytes], bytes | None]) -> Entry:
    """Writes a JSONL file again under another number; `change` gives the new line, None for one that is left out."""
    old = storage.join(layout.root, entry["path"])
    ending = entry["path"][entry["path"].index(".") :]
    path, rows = layout.part(JSONL, number, ending), 0
    with storage.write_atomically(path) as file:
        hashing = HashingFile(file)
        with compress(hashing, _COMPRESSION[ending]) as stream:
            for line in _lines(old, ending):
                if (changed := change(line)) is not None:
                    stream.write(changed)
                    rows += 1
    return hashing.manifest_entry(path, rows)


def _lines(path: str, ending: str) -> Iterator[bytes]:
    with storage.open_binary(path) as file, storage.explain_errors(path, "read"):
        if ending.endswith(".gz"):
            yield from gzip.GzipFile(fileobj=file)
        elif ending.endswith(".zst"):
            reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
            yield from io.BufferedReader(reader)
        else:
            yield from file
