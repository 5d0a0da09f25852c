"""The token files of a dataset: their format, the writer of one part, and the reader that maps them as a corpus.

    FOLDER/part-00000.tokens    token ids, flat uint16 or uint32; each document begins with a separator
           part-00000.parquet   the index: one row per document, with the place of its tokens and its provenance
           part-00000.json      the part's record, written last: SHA-256 of the shard and of both files
           tokens.json          the summary, written when all parts are finished
           index/*.npy          the numbers of all parts' indices, column by column, made when first opened

A part holds the tokens of one shard. Tokens and index are mapped into memory, not read: a run starts without reading
them, and the ranks of a machine share one copy. A file is hashed once on each machine (see `verified_files`).
`tokenize_dataset` makes the parts of a whole dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from trainer.data.corpus import Corpus, DocumentRef, Tokens
from trainer.data.curated_dataset import Dataset, DatasetError, Shard, fetch_shard, read_rows
from trainer.data.mapped_arrays import map_arrays
from trainer.data.tokenizer import Tokenizer
from trainer.data.verified_files import VerifiedFiles
from trainer.files import explain_writes, sha256_of_file, write_atomically

FORMAT = 1  # raised when the layout of the files changes
COPIED = ("id", "url", "warc_file", "warc_offset", "language", "quality_score", "domain", "weight")  # from the shard
NUMBERS: dict[str, tuple[str, Any]] = {  # column of index/ -> column of the parts, type
    "start": ("start", np.int64),
    "length": ("tokens", np.int64),
    "weight": ("weight", np.float64),
    "key": ("key", np.uint64),
    "bytes": ("bytes", np.int64),
    "quality": ("quality_score", np.float64),
}
NAMES = {"domain": "domains", "language": "languages"}  # columns of names, stored as codes and the sorted names
PROVENANCE = ("id", "url", "warc_file", "warc_offset", "domain", "language", "tokens")  # read for single documents
TRAINED, BLANKED = "trained_fingerprint", "blanked_parts"  # in the summary of a store that lost documents since
ROW_GROUP = 8192  # rows of the index that are read to describe one document


@dataclass(frozen=True, slots=True)
class Part:
    """The record of one part."""

    shard: str
    shard_sha256: str
    documents: int
    tokens: int
    bytes: int  # of text, UTF-8
    tokens_sha256: str
    index_sha256: str


@dataclass(frozen=True, slots=True)
class PartFiles:
    """Where a part's files are."""

    tokens: Path
    index: Path
    record: Path


@dataclass(frozen=True)
class TokenizedDataset:
    """The corpus of a dataset, with the columns that a source may select documents by."""

    corpus: Corpus
    quality: NDArray[np.float64]  # NaN where the pipeline gave none
    language: NDArray[np.int32]  # index into `languages`
    languages: tuple[str, ...]


def token_type(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds every id, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def part_files(folder: Path, number: int) -> PartFiles:
    """The paths of a part."""
    base = folder / f"part-{number:05d}"
    return PartFiles(base.with_suffix(".tokens"), base.with_suffix(".parquet"), base.with_suffix(".json"))


# Writer


def write_part(folder: Path, number: int, shard: Shard, tokenizer: Tokenizer, threads: int = 1) -> Part:
    """Tokenizes one shard. The record is written last: without it the part counts as unfinished."""
    files = part_files(folder, number)
    files.record.unlink(missing_ok=True)
    with fetch_shard(shard) as path, explain_writes(files.tokens), files.tokens.open("wb") as output:
        table = pa.concat_tables(_write_tokens(path, shard, tokenizer, threads, output))
    length = table.column("tokens").to_numpy()
    table = table.append_column("start", pa.array(np.cumsum(length) - length))
    if len(table) != shard.rows:
        raise DatasetError(f"{shard.path}: {len(table)} rows, the manifest says {shard.rows}; copy the dataset again")
    with explain_writes(files.index):
        pq.write_table(table, files.index, row_group_size=ROW_GROUP)
    part = Part(
        shard=shard.name,
        shard_sha256=shard.sha256,
        documents=len(table),
        tokens=int(length.sum()),
        bytes=int(table.column("bytes").to_numpy().sum()),
        tokens_sha256=sha256_of_file(files.tokens),
        index_sha256=sha256_of_file(files.index),
    )
    _write_json(files.record, asdict(part))
    return part


def _write_tokens(path: Path, shard: Shard, tokenizer: Tokenizer, threads: int, output: BinaryIO) -> list[pa.Table]:
    """Appends every document's tokens to the output; returns the rows of the index, without `start`."""
    tables = []
    for batch in read_rows(path, shard.path, ("text", *COPIED)):
        texts = batch.column("text").to_pylist()
        arrays = add_separators(tokenizer, tokenizer.encode_many(texts, threads))
        output.write(b"".join(array.tobytes() for array in arrays))
        table = pa.Table.from_batches([batch]).drop_columns(["text"])
        _check_weights(table, shard)
        keys = [xxhash.xxh3_64_intdigest(identifier.encode()) for identifier in table.column("id").to_pylist()]
        table = table.append_column("key", pa.array(keys, pa.uint64()))
        table = table.append_column("bytes", pa.array([len(text.encode()) for text in texts], pa.int64()))
        tables.append(table.append_column("tokens", pa.array([len(array) for array in arrays], pa.int64())))
    return tables


def add_separators(tokenizer: Tokenizer, encoded: list[list[int]]) -> list[Tokens]:
    """Token arrays of the stored type, each with the separator in front."""
    kind = token_type(tokenizer.vocab_size)
    return [np.array([tokenizer.separator, *ids], dtype=kind) for ids in encoded]


def _check_weights(table: pa.Table, shard: Shard) -> None:
    weights = table.column("weight").to_numpy().astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        document = table.column("id")[int(wrong[0])].as_py()
        raise DatasetError(f"{shard.path}: document {document} has weight {weights[wrong[0]]}; a weight is 0 or more")


def write_summary(folder: Path, dataset: Dataset, tokenizer: Tokenizer) -> None:
    """Writes tokens.json from the records of all parts."""
    parts = [read_record(folder, number) for number in range(len(dataset.shards))]
    summary = {
        "dataset": dataset.root,
        "content_hash": dataset.content_hash,
        "tokenizer_sha256": tokenizer.sha256,
        "type": token_type(tokenizer.vocab_size).str,
        "documents": sum(part.documents for part in parts),
        "tokens": sum(part.tokens for part in parts),
        "bytes": sum(part.bytes for part in parts),
        "parts": [asdict(part) for part in parts],
    }
    _write_json(folder / "tokens.json", summary)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(values, indent=1) + "\n")


# Reader


def read_record(folder: Path, number: int) -> Part:
    """Raises OSError, ValueError or TypeError where the part is not finished."""
    try:
        return _part_of(json.loads(part_files(folder, number).record.read_text()))
    except RecursionError:
        raise ValueError("a part's record is nested too deeply") from None


def _part_of(values: Mapping[str, Any]) -> Part:
    """Raises ValueError or TypeError for what is no record."""
    part = Part(**values)
    counts = (part.documents, part.tokens, part.bytes)
    names = (part.shard, part.shard_sha256, part.tokens_sha256, part.index_sha256)
    if not all(type(count) is int and 0 <= count < 1 << 62 for count in counts) or not all(
        isinstance(x, str) for x in names
    ):
        raise ValueError("a part's record has wrong values")
    return part


def is_finished(folder: Path, number: int, shard: Shard, itemsize: int, verified: VerifiedFiles | None) -> bool:
    """Whether a part is complete and of this shard; its files' hashes are compared, or without `verified` sizes."""
    files = part_files(folder, number)
    try:
        part = read_record(folder, number)
        if part.shard_sha256 != shard.sha256 or files.tokens.stat().st_size != part.tokens * itemsize:
            return False
        return files.index.is_file() and (verified is None or not _find_damage(files, part, verified))
    except (OSError, ValueError, TypeError):
        return False


def _find_damage(files: PartFiles, part: Part, verified: VerifiedFiles) -> Path | None:
    """The first file of a part that is missing or whose SHA-256 is not that of the record."""
    for file, expected in ((files.tokens, part.tokens_sha256), (files.index, part.index_sha256)):
        if not verified.holds(file, expected):
            return file
    return None


def read_summary(folder: Path) -> dict[str, Any]:
    """tokens.json: documents, tokens, bytes and the records of all parts; the types of what is read are checked."""
    path = folder / "tokens.json"
    try:
        summary: dict[str, Any] = json.loads(path.read_text("utf-8"))
        summary["parts"] = [_part_of(part) for part in summary["parts"]]
        counts = [summary[name] for name in ("documents", "tokens", "bytes")] + [*summary.get(BLANKED, ())]
        names = [summary[name] for name in ("dataset", "content_hash", "type")] + [summary.get(TRAINED) or ""]
        if not all(type(count) is int for count in counts) or not all(isinstance(name, str) for name in names):
            raise ValueError("wrong values")
        if not summary["parts"] or summary["type"] not in {token_type(size).str for size in (1, 1 << 20)}:
            raise ValueError("no parts, or of another type")
    except FileNotFoundError as error:
        raise DatasetError(f"{folder}: no finished tokens here; run `gristmill train tokens`") from error
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f"{path}: damaged; delete {folder} and run `gristmill train tokens`") from error
    return summary


def fingerprint_of(parts: Iterable[Part]) -> str:
    """The fingerprint of the corpus of these parts."""
    hashes = "".join(part.tokens_sha256 + part.index_sha256 for part in parts)
    return hashlib.sha256(hashes.encode()).hexdigest()


def blanked(summary: dict[str, Any]) -> set[int]:
    """The parts of a store from which documents were removed."""
    return set(summary.get(BLANKED, ()))


def open_tokens(folder: Path, name: str, *, verify: bool = True) -> TokenizedDataset:
    """Maps the token files of a folder.

    name: the data source's. verify: compare the hashes of all files, not only their sizes.
    """
    summary = read_summary(folder)
    parts: list[Part] = summary["parts"]
    if verify:
        verified = VerifiedFiles(folder)
        for number, part in enumerate(parts):
            if damaged := _find_damage(part_files(folder, number), part, verified):
                raise DatasetError(f"{damaged}: damaged or missing; `gristmill train tokens` makes it again")
        verified.save()
    files = tuple(
        _map_tokens(part_files(folder, number).tokens, part, summary["type"]) for number, part in enumerate(parts)
    )
    documents = np.array([part.documents for part in parts], dtype=np.int64)
    fingerprint = summary.get(TRAINED) or fingerprint_of(parts)  # what runs were trained on, if it was blanked since
    index = map_arrays(folder / "index", fingerprint, partial(_read_index, folder, documents), verify=verify)
    if len(index["start"]) != documents.sum():
        raise DatasetError(f"{folder}: tokens.json and index/ differ; delete it and run `gristmill train tokens`")
    corpus = Corpus(
        files=files,
        **{column: index[column] for column in ("file", "start", "length", "weight", "key", "bytes", "domain")},
        source=np.broadcast_to(np.int32(0), documents.sum()),
        names=(name,),
        domains=tuple(index["domains"].tolist()),
        describe=partial(_describe_document, folder, parts, np.cumsum(documents) - documents, name),
        fingerprint=fingerprint,
    )
    return TokenizedDataset(corpus, index["quality"], index["language"], tuple(index["languages"].tolist()))


def _map_tokens(file: Path, part: Part, kind: str) -> Tokens:
    expected = part.tokens * np.dtype(kind).itemsize
    if not file.is_file() or file.stat().st_size != expected:
        raise DatasetError(f"{file}: not {expected:,} bytes long; `gristmill train tokens` makes it again")
    # Views of np.memmap itself cost a microsecond each: a batch of 65,536 tokens took 2.9 CPU-ms, as an array 1.7.
    mapped: Tokens = np.asarray(np.memmap(file, dtype=kind, mode="r"))
    return mapped


def _read_index(folder: Path, documents: NDArray[np.int64]) -> Iterator[tuple[str, NDArray[Any]]]:
    """The columns of `index/`: one row per document of all parts, one column in memory at a time."""
    paths = [part_files(folder, number).index for number in range(len(documents))]
    for path, count in zip(paths, documents.tolist(), strict=True):
        if (rows := pq.read_metadata(path).num_rows) != count:
            raise DatasetError(
                f"{path}: {rows} rows, tokens.json says {count}; `gristmill train tokens` makes it again"
            )

    def read(column: str) -> pa.ChunkedArray:
        return pa.concat_tables([pq.read_table(path, columns=[column]) for path in paths]).column(0)

    yield "file", np.repeat(np.arange(len(documents), dtype=np.int32), documents)
    for name, (column, kind) in NUMBERS.items():
        yield name, read(column).to_numpy().astype(kind)
    for column, plural in NAMES.items():
        names, codes = _encode_names(read(column))
        yield column, codes
        yield plural, names


def _encode_names(column: pa.ChunkedArray) -> tuple[NDArray[np.str_], NDArray[np.int32]]:
    """The sorted distinct names of a column, and each row's index into them; null is the empty name."""
    encoded = column.fill_null("").dictionary_encode().unify_dictionaries()
    names = np.array(encoded.chunk(0).dictionary.to_pylist(), dtype=np.str_)
    codes = np.concatenate([chunk.indices.to_numpy() for chunk in encoded.chunks])
    order = np.argsort(names)
    return names[order], np.argsort(order)[codes].astype(np.int32)


def _describe_document(
    folder: Path, parts: list[Part], first: NDArray[np.int64], name: str, document: int
) -> DocumentRef:
    """Where a document came from; `first` holds the number of each part's first document."""
    number = int(np.searchsorted(first, document, side="right")) - 1
    row = document - int(first[number])
    path = part_files(folder, number).index
    starts = _row_group_starts(path)
    group = int(np.searchsorted(starts, row, side="right")) - 1
    values = read_provenance(path, group).slice(row - int(starts[group]), 1).to_pylist()[0]
    known = {key: value for key, value in values.items() if value is not None}
    return DocumentRef(**known, source=name, shard=parts[number].shard, row=row)


@lru_cache(maxsize=64)
def _row_group_starts(path: Path) -> NDArray[np.int64]:
    """The first row of each row group."""
    metadata = pq.read_metadata(path)
    rows = np.array([metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)], dtype=np.int64)
    starts: NDArray[np.int64] = np.cumsum(rows) - rows
    return starts


@lru_cache(maxsize=16)
def read_provenance(path: Path, group: int) -> pa.Table:
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=list(PROVENANCE))
