"""A search for near duplicates among published sketches, independent of the pipeline's own comparison."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from pipeline.deduplication.minhash import agreement_for, similarity
from pipeline.deduplication.near import count_agreeing, read_bands, read_sketches
from pipeline.deduplication.records import StagedUnit
from pipeline.deduplication.settings import DeduplicateSettings


def find_near_duplicates(
    paths: Sequence[str], settings: DeduplicateSettings, share: float = 1.0, limit: int = 1000
) -> Iterator[tuple[str, str, float]]:
    """Pairs of published documents at or above the threshold: (id, id, similarity), each once.

    Of all band keys a `share` is examined, the same ones on every machine; documents of a bucket are compared with
    their `limit` nearest neighbors in the order of the files. Memory: 150 bytes times documents times bands times
    `share`. After a correct run nothing is found, unless buckets reached `bucket_limit`.
    """
    units = [StagedUnit(index, path, previous=True) for index, path in enumerate(paths)]
    ids = [unit.columns(["id"])["id"].to_pylist() for unit in units]
    keys, documents, sketches = _sample(units, settings, share)
    need = agreement_for(settings.threshold, settings.signature_rows)
    seen: set[tuple[int, int]] = set()
    for distance in range(1, limit + 1):
        first = np.flatnonzero(keys[distance:] == keys[:-distance])
        if not len(first):
            return
        agreeing = count_agreeing(sketches, first, first + distance)
        for place, count in zip(first[agreeing >= need].tolist(), agreeing[agreeing >= need].tolist(), strict=True):
            pair = (int(documents[place]), int(documents[place + distance]))
            if pair not in seen:
                seen.add(pair)
                one, other = (ids[document >> 32][document & 0xFFFFFFFF] for document in pair)
                yield one, other, round(float(similarity(count, settings.signature_rows)), 4)


def _sample(
    units: Sequence[StagedUnit], settings: DeduplicateSettings, share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sampled band keys in ascending order, with the documents and sketches they belong to."""
    parts = [(np.empty(0, "<u8"), np.empty(0, "<u8"), np.empty((0, settings.signature_rows), "u1"))]
    for unit in units:
        rows, keys = read_bands(unit, settings)
        sketches = read_sketches(unit, settings, len(rows))
        places, bands = np.nonzero((keys >> np.uint64(32)) < np.uint64(round(share * (1 << 32))))
        parts.append((keys[places, bands], unit.documents(rows[places]), sketches[places]))
    keys, documents, sketches = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.lexsort((documents, keys))
    return keys[order], documents[order], sketches[order]
