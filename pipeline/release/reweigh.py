"""`gristmill remove --reweigh`: the weights of an output anew, as a publish of its present rows would compute them.

A removal leaves all other weights as they were, so the shares of the mixture drift by what was removed. Here the
weights are computed from the words that are left. A part in which one changes is written again under a new number,
because the files of one part have one number: shards and JSONL with the new weights, its other files as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline import storage
from pipeline.publishing.jsonl_writer import format_line
from pipeline.publishing.part_writer import HashingFile
from pipeline.publishing.weights import Cell, cell_of
from pipeline.release.rewrite import Change, Entry, write_lines, write_tables
from pipeline.storage.layout import JSONL, Layout

_PIECE = 8 << 20  # bytes that are copied at once


def reweigh_part(
    layout: Layout, files: Mapping[str, Entry], number: int, table: Mapping[Cell, float]
) -> tuple[dict[str, Entry], Change]:
    """Writes the files of a part under `number` with the weights of `table`; no entries where no weight changes."""
    weights = _new_weights(layout, files["shards"], table)
    if not weights:
        return {}, Change()
    change, entries = Change(), {}
    for kind, entry in files.items():
        if kind == "shards":
            tables = list(_reweigh_rows(layout, entry, weights, change))
            entries[kind] = write_tables(layout.part(kind, number), tables[0].schema, tables)
        elif kind == JSONL:
            entries[kind] = write_lines(layout, entry, number, lambda line: _reweigh_line(line, weights))
        else:
            entries[kind] = _copy(layout, entry, layout.part(kind, number))
    change.files = [{"before": files[kind], "after": entry} for kind, entry in entries.items()]
    return entries, change


def _new_weights(layout: Layout, entry: Entry, table: Mapping[Cell, float]) -> dict[str, float]:
    """The ids of the documents whose weight changes, each with its new weight; texts are not read."""
    columns = ["id", "domain", "quality_score", "education_score", "weight"]
    with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
        batches = parquet.iter_batches(batch_size=1024, columns=columns)
        rows = (row for batch in batches for row in batch.to_pylist())
        return {row["id"]: weight for row in rows if (weight := table[cell_of(row)]) != row["weight"]}


def _reweigh_rows(layout: Layout, entry: Entry, weights: Mapping[str, float], change: Change) -> Iterator[pa.Table]:
    with storage.read_parquet(storage.join(layout.root, entry["path"])) as parquet:
        for group in range(parquet.num_row_groups):
            found = parquet.read_row_group(group)
            for row in found.to_pylist():
                if row["id"] in weights:
                    change.count_content("shards", row, -1)
                    change.count_content("shards", {**row, "weight": weights[row["id"]]}, 1)
            ids, old = found["id"].to_pylist(), found["weight"].to_pylist()
            new = [weights.get(key, weight) for key, weight in zip(ids, old, strict=True)]
            place = found.schema.get_field_index("weight")
            yield found.set_column(place, found.schema.field(place), pa.array(new, pa.float64()))


def _reweigh_line(line: bytes, weights: Mapping[str, float]) -> bytes:
    row: dict[str, Any] = json.loads(line)
    return format_line({**row, "weight": weights[row["id"]]}) if row["id"] in weights else line


def _copy(layout: Layout, entry: Entry, path: str) -> Entry:
    with (
        storage.open_binary(storage.join(layout.root, entry["path"])) as source,
        storage.write_atomically(path) as file,
        storage.explain_errors(entry["path"], "read"),
    ):
        hashing = HashingFile(file)
        while piece := source.read(_PIECE):
            hashing.write(piece)
    return hashing.manifest_entry(path, entry["rows"])
