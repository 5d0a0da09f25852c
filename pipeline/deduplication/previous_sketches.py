"""Stored sketches of previous runs: which files hold them, and whether this run can compare with them.

publish writes them (OUT/sketches/*.parquet, `pipeline.deduplication.sketch.PUBLISHED_SKETCH`), one row per kept
document.
"""

from __future__ import annotations

from functools import partial
from itertools import islice

from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.errors import UserError
from pipeline.storage import in_threads, list_files, read_parquet

COLUMNS = ("id", "url_key", "text_key", "bands", "sketch")


def find_sketch_files(folder: str, settings: DeduplicateSettings) -> list[str]:
    """The files of one folder of `previous_sketches`. Raises UserError if this run cannot compare with them."""
    found = [path for path in list_files(folder) if path.endswith(".parquet")]
    if not found:
        raise UserError(
            f"deduplicate.previous_sketches: no .parquet file in {folder}; "
            "name the folder OUT/sketches of a finished run"
        )
    in_threads(partial(_check_file, settings), found)
    return found


def _check_file(settings: DeduplicateSettings, path: str) -> None:
    with read_parquet(path) as parquet:
        missing = [name for name in COLUMNS if name not in parquet.schema_arrow.names]
        if missing:
            raise UserError(
                f"{path}: no column {missing[0]}; deduplicate.previous_sketches needs OUT/sketches, not shards"
            )
        for batch in islice(parquet.iter_batches(batch_size=64, columns=["bands", "sketch"]), 1):
            for row in batch.to_pylist():
                if row["bands"]:
                    _check_sizes(path, len(row["bands"]) // 8, len(row["sketch"]), settings)


def _check_sizes(path: str, bands: int, rows: int, settings: DeduplicateSettings) -> None:
    if (bands, rows) != (settings.bands, settings.signature_rows):
        raise UserError(
            f"{path}: made with {bands} bands of {rows / bands:g} rows, this run has {settings.bands} of "
            f"{settings.rows}; set deduplicate.bands and .rows to those values, or remove the folder from "
            "deduplicate.previous_sketches"
        )
