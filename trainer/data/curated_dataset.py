"""Read a curated dataset as the pipeline publishes it: manifest.json and Parquet shards, local or on s3, gs, http.

The manifest is written last and lists every shard with its SHA-256: a dataset that is incomplete or differs from what
was published is refused with a DatasetError.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from trainer.errors import UserError
from trainer.files import sha256_of_file

TYPES = {
    "id": "string",
    "url": "string",
    "warc_file": "string",
    "warc_offset": "integer",
    "title": "string",
    "text": "string",
    "language": "string",
    "quality_score": "number",
    "domain": "string",
    "kind": "string",
    "characters": "integer",
    "weight": "number",
}
SNAPSHOT = re.compile(r"CC-MAIN-\d{4}-\d{2}")  # Common Crawl's names; anything else could be a path
REQUIRED = {"id", "text", "weight", "characters"}  # never null; other columns may hold nulls


class DatasetError(UserError):
    """A dataset cannot be read: which file, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Shard:
    """One Parquet file as the manifest lists it."""

    name: str  # relative to the dataset: shards/part-00000.parquet
    path: str
    sha256: str
    rows: int
    bytes: int = 0  # compressed; 0 where the manifest has no size


@dataclass(frozen=True, slots=True)
class Dataset:
    """A complete dataset, without its empty shards."""

    root: str
    content_hash: str
    shards: tuple[Shard, ...]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)


def open_dataset(root: str) -> Dataset:
    """Reads the manifest of a dataset; `root` is its folder, or an s3://, gs:// or https:// address.

    For a folder of monthly snapshots the snapshot that its latest.json names is opened.
    """
    root = root.rstrip("/")
    manifest = _read_json(f"{root}/manifest.json")
    if manifest is None:
        root = _find_latest(root)
        manifest = _read_json(f"{root}/manifest.json")
    if not isinstance(manifest, dict):
        raise DatasetError(f"{root}/manifest.json: not a manifest of gristmill curate (a {type(manifest).__name__})")
    try:
        shards = tuple(
            Shard(
                entry["path"],
                f"{root}/{entry['path']}",
                entry["sha256"],
                int(entry["rows"]),
                int(entry.get("bytes", 0)),
            )
            for entry in manifest["shards"]
        )
        dataset = Dataset(root, str(manifest["content_hash"]), tuple(shard for shard in shards if shard.rows))
    except (KeyError, TypeError, ValueError) as error:
        raise DatasetError(
            f"{root}/manifest.json: not a manifest of gristmill curate ({type(error).__name__}: {error})"
        ) from error
    if not dataset.shards:
        raise DatasetError(f"{root}: the dataset is empty (its manifest lists no document); see its report.html")
    return dataset


def _find_latest(root: str) -> str:
    """The snapshot that `latest.json` names; `gristmill curate --snapshot` updates it."""
    pointer = _read_json(f"{root}/latest.json")
    if pointer is None:
        raise DatasetError(
            f"{root}: holds neither manifest.json nor latest.json; pass the output folder of a finished "
            "`gristmill curate` (the manifest is written last)"
        )
    name = pointer.get("snapshot") if isinstance(pointer, dict) else None
    if not isinstance(name, str) or not SNAPSHOT.fullmatch(name):
        raise DatasetError(f"{root}/latest.json: {name!r} is not the name of a snapshot; pass the folder of a snapshot")
    return f"{root}/{name}"


def _read_json(path: str) -> Any:
    """The content of a small JSON file; None where the file does not exist."""
    try:
        with fsspec.open(path, "rb") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DatasetError(f"{path}: not JSON ({error}); curate the dataset again") from error
    except Exception as error:
        raise DatasetError(f"{path}: cannot be read ({error})") from error


@contextmanager
def fetch_shard(shard: Shard) -> Iterator[Path]:
    """The shard as a local file, its SHA-256 checked; a remote one is downloaded for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        path = Path(shard.path.removeprefix("file://"))
        if "://" in str(shard.path) and not shard.path.startswith("file://"):
            path = Path(folder) / "shard.parquet"
            try:
                filesystem, inner = fsspec.core.url_to_fs(shard.path)
                filesystem.get_file(inner, str(path))
            except Exception as error:
                raise DatasetError(f"{shard.path}: cannot be downloaded ({error})") from error
        if not path.is_file():
            raise DatasetError(f"{shard.path}: the manifest lists this shard but it is missing; copy the dataset again")
        actual = sha256_of_file(path)
        if actual != shard.sha256:
            raise DatasetError(
                f"{shard.path}: its SHA-256 is {actual[:12]}..., the manifest says {shard.sha256[:12]}...: "
                "the file is damaged or was changed; copy the dataset again"
            )
        yield path


def read_rows(path: Path, name: str, columns: Sequence[str], rows: int = 1024) -> Iterator[pa.RecordBatch]:
    """The columns of a local shard, `rows` rows at a time; an optional column that is missing is read as nulls."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise DatasetError(f"{name}: not a Parquet file ({error})") from error
    with file:
        _check_schema(file.schema_arrow, name, columns)
        present = [column for column in columns if column in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=rows, columns=present):
            for column in REQUIRED & set(present):
                if batch.column(column).null_count:
                    raise DatasetError(
                        f"{name}: column {column} holds nulls, which curate never writes; curate the dataset again"
                    )
            yield _complete_columns(batch, columns)


def _check_schema(schema: pa.Schema, name: str, columns: Sequence[str]) -> None:
    missing = sorted(REQUIRED & set(columns) - set(schema.names))
    if missing:
        raise DatasetError(f"{name}: no column {', '.join(missing)}; its columns are {', '.join(schema.names[:12])}")
    tests = {"string": _is_string, "integer": pa.types.is_integer, "number": _is_number}
    for column in columns:
        if column in schema.names and not tests[TYPES[column]](schema.field(column).type):
            raise DatasetError(f"{name}: column {column} is {schema.field(column).type}, not {TYPES[column]}")


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _complete_columns(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """The columns in the given order; one that the shard lacks is all null."""
    arrow = {"string": pa.string(), "integer": pa.int64(), "number": pa.float64()}
    arrays = [
        batch.column(column) if column in batch.schema.names else pa.nulls(batch.num_rows, arrow[TYPES[column]])
        for column in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, names=list(columns))
