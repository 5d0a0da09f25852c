"""Stored sketches: what finished runs have published, for later runs and for the audit.

publish writes them (OUT/sketches/*.parquet, `pipeline.deduplication.sketch.PUBLISHED_SKETCH`), one row a kept document.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice

import numpy as np
import pyarrow.parquet as pq

from pipeline.deduplication.minhash import agreement_for, similarity
from pipeline.deduplication.near import agreeing_bytes, banded
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings
from pipeline.storage import in_threads, list_files, open_parquet

COLUMNS = ("id", "url_key", "text_key", "bands", "sketch")


def sketch_files(folder: str, settings: DeduplicateSettings) -> list[str]:
    """The files of one folder of `previous_sketches`, checked to be sketches that this run's can be compared with."""
    found = [path for path in list_files(folder) if path.endswith(".parquet")]
    if not found:
        raise ValueError(
            f"deduplicate.previous_sketches: no .parquet file in {folder}; "
            "name the folder OUT/sketches of a finished run"
        )
    in_threads(partial(_check, settings), found)
    return found


def _check(settings: DeduplicateSettings, path: str) -> None:
    with open_parquet(path) as file:
        parquet = pq.ParquetFile(file)
        missing = [name for name in COLUMNS if name not in parquet.schema_arrow.names]
        if missing:
            raise ValueError(
                f"{path}: no column {missing[0]}; deduplicate.previous_sketches needs OUT/sketches, not shards"
            )
        for batch in islice(parquet.iter_batches(batch_size=64, columns=["bands", "sketch"]), 1):
            for row in batch.to_pylist():
                if row["bands"]:
                    _check_sizes(path, len(row["bands"]) // 8, len(row["sketch"]), settings)


def _check_sizes(path: str, bands: int, rows: int, settings: DeduplicateSettings) -> None:
    if (bands, rows) != (settings.bands, settings.signature_rows):
        raise ValueError(
            f"{path}: made with {bands} bands of {rows / bands:g} rows, this run has {settings.bands} of "
            f"{settings.rows}; set deduplicate.bands and .rows alike, or leave the folder out of previous_sketches"
        )


def find_near_duplicates(
    paths: Sequence[str], settings: DeduplicateSettings, share: float = 1.0, limit: int = 1000
) -> Iterator[tuple[str, str, float]]:
    """Pairs of published documents at or above the threshold: (id, id, similarity), each once.

    `share` of all band keys is looked at, the same ones on every machine; documents of a bucket are compared with
    their `limit` nearest neighbors in the order of the files. Memory: 150 bytes times documents times bands times
    `share`. After a sound run nothing is found, unless buckets reached `bucket_limit`.
    """
    units = [StagedUnit(index, path, previous=True) for index, path in enumerate(paths)]
    keys, documents, sketches = _sample(units, settings, share)
    need = agreement_for(settings.threshold, settings.signature_rows)
    seen: set[tuple[int, int]] = set()
    for distance in range(1, limit + 1):
        first = np.flatnonzero(keys[distance:] == keys[:-distance])
        if not len(first):
            return
        agreeing = agreeing_bytes(sketches, first, first + distance)
        for place, count in zip(first[agreeing >= need].tolist(), agreeing[agreeing >= need].tolist(), strict=True):
            pair = (int(documents[place]), int(documents[place + distance]))
            if pair not in seen:
                seen.add(pair)
                value = float(similarity(count, settings.signature_rows))
                yield _id(units, pair[0]), _id(units, pair[1]), round(value, 4)


def _sample(
    units: Sequence[StagedUnit], settings: DeduplicateSettings, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled band keys in ascending order, with the documents and sketches they belong to."""
    parts = [(np.empty(0, "<u8"), np.empty(0, "<u8"), np.empty((0, settings.signature_rows), "u1"))]
    for unit in units:
        rows, keys, sketches = banded(unit, settings)
        places, bands = np.nonzero((keys >> np.uint64(32)) < np.uint64(round(share * (1 << 32))))
        parts.append((keys[places, bands], unit.documents(rows[places]), sketches[places]))
    keys, documents, sketches = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((documents, keys))
    return keys[order], documents[order], sketches[order]


def _id(units: Sequence[StagedUnit], document: int) -> str:
    ids = units[document >> 32].columns(["id"])["id"]
    return str(ids[document & 0xFFFFFFFF].as_py())
