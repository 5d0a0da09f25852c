"""The pages and documents of a run as tables: the view `pages` of all pages, and the candidates of deduplication."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline import storage
from pipeline.deduplication.sketch import SKETCH_FIELDS
from pipeline.errors import UserError
from pipeline.inspection.database import query_rows
from pipeline.inspection.stored_run import StoredRun
from pipeline.reading.units import cut_units
from pipeline.stages.order import STAGES
from pipeline.storage.layout import part_numbers, read_manifest

if TYPE_CHECKING:
    import duckdb

_IDENTITY = ("id", "url", "host", "registered_domain", "fetched_at", "warc_file", "warc_offset", "language")
_STATED = ("language_score", "quality_score", "education_score", "domain", "domain_score", "words", "characters")
_KEYS = tuple(field.name for field in SKETCH_FIELDS[:4])
_LINES = ("paragraphs", "paragraph_words", "line_words")
CANDIDATE_COLUMNS = (*_IDENTITY, *_STATED, *_KEYS, *_LINES)

# All pages with what limits are compared with. `place` is the row of a candidate in its file, null for other pages.
# Kept documents are the rows of the shard, in order; duplicates those of drops/ whose stage is deduplicate.
_STATEMENTS = f"""
CREATE TABLE numbered AS
  SELECT part, row AS place, kept, language_score, quality_score, education_score, domain, words,
         row_number() OVER (PARTITION BY part, kept ORDER BY row) - 1 AS n FROM candidates;
CREATE TABLE duplicate_rows AS
  SELECT part, row, row_number() OVER (PARTITION BY part ORDER BY row) - 1 AS n FROM dropped
  WHERE stage = 'deduplicate';
CREATE VIEW pages AS
SELECT 'kept' AS fate, {len(STAGES) - 1} AS reached, k.part, k.row, c.place, k.id, k.url, k.host, k.registered_domain,
       k.warc_file, k.warc_offset, k.language, k.signals, NULL::VARCHAR AS reason, NULL::DOUBLE AS value,
       NULL::DOUBLE AS threshold, NULL::VARCHAR AS detail, NULL::VARCHAR AS excerpt, k.language_score, k.quality_score,
       k.education_score, k.domain, k.words
FROM kept k JOIN numbered c ON c.kept AND c.part = k.part AND c.n = k.row
UNION ALL
SELECT d.stage || ':' || d.reason, list_position({list(STAGES)}, d.stage) - 1, d.part, d.row, c.place, d.id, d.url,
       d.host, d.registered_domain, d.warc_file, d.warc_offset, d.language, d.signals, d.reason, d.value, d.threshold,
       d.detail, d.excerpt,
       coalesce(c.language_score, CASE WHEN d.stage = 'identify_language' THEN d.value END),
       coalesce(c.quality_score, CASE WHEN d.reason = 'low_quality' THEN d.value END),
       coalesce(c.education_score, CASE WHEN d.reason = 'low_education' THEN d.value END),
       coalesce(c.domain, CASE WHEN d.reason = 'domain_not_wanted' THEN d.detail END), c.words
FROM dropped d
LEFT JOIN duplicate_rows r ON r.part = d.part AND r.row = d.row
LEFT JOIN numbered c ON NOT c.kept AND c.part = r.part AND c.n = r.n
"""  # noqa: S608 - names of stages


def add_pages(connection: duckdb.DuckDBPyConnection) -> None:
    """Creates the view `pages`: all pages with what limits are compared with."""
    for statement in _STATEMENTS.split(";"):
        connection.execute(statement)


def read_fates(connection: duckdb.DuckDBPyConnection, expression: str, where: str) -> list[dict[str, Any]]:
    """Pages with their fate before and after (an SQL expression), in a fixed order."""
    columns = "id, url, host, registered_domain, domain, language, words, warc_file, warc_offset, place, part, row"
    inner = f"SELECT *, {expression} AS after FROM pages"  # noqa: S608
    order = "part, fate = 'kept' DESC, row"
    sql = f"SELECT fate AS before, after, {columns} FROM ({inner}) WHERE {where} ORDER BY {order}"  # noqa: S608
    return query_rows(connection, sql)


def read_candidates(run: StoredRun) -> pa.Table:
    """All documents that reached deduplication, in the order in which it saw them (columns: CANDIDATE_COLUMNS).

    Also `part`, `place`, `kept`, and `kept_words`: those of the shard, 0 for duplicates.
    """
    numbers = part_numbers(read_manifest(run.layout), "candidates")
    return pa.concat_tables([_read_part(run, number) for number in numbers])


def _read_part(run: StoredRun, number: int) -> pa.Table:
    candidates = _read(run, "candidates", number)
    kept = candidates["kept"].to_numpy(zero_copy_only=False)
    shard = _read(run, "shards", number, [*_IDENTITY, "words"])
    drops = _read(run, "drops", number, [*_IDENTITY, "stage"])
    drops = drops.filter(pc.equal(drops["stage"], "deduplicate"))
    if (shard.num_rows, drops.num_rows) != (kept.sum(), (~kept).sum()):
        raise UserError(
            f"{run.layout.part('candidates', number)}: not of these shards and drops; run `gristmill audit`"
        )
    order = np.where(kept, np.cumsum(kept) - 1, shard.num_rows + np.cumsum(~kept) - 1)
    identity = pa.concat_tables([shard.select(_IDENTITY), drops.select(_IDENTITY)]).take(order)
    words = np.concatenate([shard["words"].to_numpy(), np.zeros(drops.num_rows, np.int64)])[order]
    keys = _merge_keys(candidates, _read(run, "sketches", number, list(_KEYS)), kept)
    columns = {
        **{name: identity[name] for name in _IDENTITY},
        **{name: candidates[name] for name in (*_STATED, *_LINES)},
        **keys,
        "part": pa.array(np.full(len(kept), number)),
        "place": pa.array(np.arange(len(kept))),
        "kept": candidates["kept"],
        "kept_words": pa.array(words),
    }
    return pa.table(columns)


def _merge_keys(candidates: pa.Table, sketches: pa.Table, kept: np.typing.NDArray[np.bool_]) -> dict[str, pa.Array]:
    """The keys of kept documents are in sketches/."""
    stored = candidates.filter(pa.array(~kept))
    order = np.where(kept, np.cumsum(kept) - 1, sketches.num_rows + np.cumsum(~kept) - 1)
    return {
        name: pa.chunked_array([*sketches[name].cast(pa.binary()).chunks, *stored[name].chunks], pa.binary()).take(
            order
        )
        for name in _KEYS
    }


def _read(run: StoredRun, kind: str, number: int, columns: Sequence[str] | None = None) -> pa.Table:
    with storage.read_parquet(run.layout.part(kind, number)) as parquet:
        return parquet.read(columns=list(columns) if columns else None)


class PlaceOrder:
    """Where a page of the input comes among the candidates: units in the order of their keys, then by offset."""

    def __init__(self, run: StoredRun) -> None:
        units = sorted(cut_units(run.inputs, run.config.prepare.unit_bytes), key=lambda unit: unit.key)
        self._starts: dict[str, list[tuple[int, int]]] = {}
        rank = 0
        for unit in units:
            for name in [file.name for file in unit.files] or [unit.name]:
                self._starts.setdefault(name, []).append((0 if unit.files else unit.start, rank))
                rank += 1
        for starts in self._starts.values():
            starts.sort()

    def rank(self, name: str, offset: int) -> tuple[int, int]:
        """Sort key of the page at this offset of the input file."""
        starts = self._starts.get(name, [(0, 0)])
        return starts[max(bisect_right(starts, (offset, 1 << 62)) - 1, 0)][1], offset

    def sort(self, documents: pa.Table) -> Any:
        """Indices that sort the documents."""
        pairs = zip(documents["warc_file"].to_pylist(), documents["warc_offset"].to_pylist(), strict=True)
        ranks = np.array([self.rank(name, offset) for name, offset in pairs], np.int64).reshape(-1, 2)
        return np.lexsort((ranks[:, 1], ranks[:, 0]))


def make_table(rows: Iterable[Mapping[str, Any]], like: pa.Table) -> pa.Table:
    """Rows as a table with the columns of another one; values that a row lacks are null."""
    return pa.Table.from_pylist([{name: row.get(name) for name in like.schema.names} for row in rows], like.schema)
