"""Take documents out of token stores: their tokens become separators, their index rows lose URL and place.

Lengths, weights and keys stay, so that every batch of every run still falls on the same documents, and `train trace`
can say which steps read a removed document after its text is gone. The store is that of the dataset as it was; the
dataset without the documents has another content hash and gets a store of its own, with the parts that are the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trainer.data.curated_dataset import DatasetError
from trainer.data.mapped_arrays import take_lock
from trainer.data.token_files import (
    BLANKED,
    ROW_GROUP,
    TRAINED,
    Part,
    blanked,
    fingerprint_of,
    part_files,
    read_provenance,
    read_record,
    read_summary,
)
from trainer.errors import UserError
from trainer.files import cache_folder, explain_writes, flush_to_disk, sha256_of_file, write_atomically

ORIGIN = ("url", "warc_file", "warc_offset")  # columns of the index that say where a document came from


def remove_documents(cache: Path | None, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Blanks these documents in every store of a folder (None: the usual one); one line for each store concerned."""
    wanted = pa.array(sorted(set(ids)), pa.string())
    folder = cache or cache_folder()
    if not len(wanted) or not folder.is_dir():
        return []
    stores = sorted(path.parent for path in folder.glob("*/tokens.json"))
    if cache is not None and not stores:
        raise UserError(f"{folder}: holds no token store; name the folder of data.cache")
    found = [(store, _blank_store(store, wanted)) for store in stores]
    return [{"folder": str(store), "documents": documents} for store, documents in found if documents]


def _blank_store(folder: Path, wanted: pa.Array) -> int:
    """Documents of the store that are blank now. The summary is written last and names the files as they were."""
    with take_lock(folder / "lock") as failure:
        if failure is not None:
            raise DatasetError(f"{folder}: cannot be written; the documents are still in it") from failure
        summary = read_summary(folder)
        kind = np.dtype(summary["type"])
        found = [_blank_part(folder, number, kind, wanted) for number in range(len(summary["parts"]))]
        parts = [part for part, _ in found]
        if parts != summary["parts"]:
            trained = summary.get(TRAINED) or fingerprint_of(summary["parts"])
            numbers = {number for number, (_, count) in enumerate(found) if count} | blanked(summary)
            known = {TRAINED: trained, BLANKED: sorted(numbers)}
            text = {**summary, "parts": [asdict(part) for part in parts], **known}
            write_atomically(folder / "tokens.json", json.dumps(text, indent=1) + "\n")
    return sum(count for _, count in found)


def _blank_part(folder: Path, number: int, kind: np.dtype[Any], wanted: pa.Array) -> tuple[Part, int]:
    """The part's record after its tokens, its index and then its record were written without the documents."""
    files = part_files(folder, number)
    try:
        part = read_record(folder, number)
    except (OSError, ValueError, TypeError) as error:
        raise DatasetError(f"{files.record}: damaged or missing; delete {folder}, which holds the documents") from error
    index = pq.read_table(files.index)
    mask = pc.is_in(index["id"], value_set=wanted)
    rows = np.flatnonzero(mask.to_numpy(zero_copy_only=False))
    if not len(rows):
        return part, 0
    tokens = np.fromfile(files.tokens, kind)
    separator = tokens[0]
    for start, length in zip(
        index["start"].take(rows).to_pylist(), index["tokens"].take(rows).to_pylist(), strict=True
    ):
        tokens[start : start + length] = separator
    for name in ORIGIN:
        place = index.schema.get_field_index(name)
        blank = pc.if_else(mask, pa.scalar(None, index.schema.field(name).type), index[name])
        index = index.set_column(place, index.schema.field(name), blank)
    _replace(files.tokens, lambda path: path.write_bytes(tokens))
    _replace(files.index, lambda path: pq.write_table(index, path, row_group_size=ROW_GROUP))
    read_provenance.cache_clear()
    changed = replace(part, tokens_sha256=sha256_of_file(files.tokens), index_sha256=sha256_of_file(files.index))
    if changed != part:
        write_atomically(files.record, json.dumps(asdict(changed), indent=1) + "\n")
    return changed, len(rows)


def _replace(path: Path, write: Any) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with explain_writes(path):
            write(temporary)
        flush_to_disk(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
