"""Shards -> memory-mapped token files, once: every later run maps them and starts at once.

    CACHE/<dataset>-<tokenizer>/part-00000.tokens    flat uint16 or uint32, each document behind a separator
                                part-00000.parquet   a row a document: where its tokens lie, and where it came from
                                part-00000.json      written last: SHA-256 of the shard and of both files
                                tokens.json          written when all parts are there

The folder is named by the dataset's content hash and the tokenizer's SHA-256, so another dataset or tokenizer never
meets old tokens. A finished part is not made again; one whose files have changed since is. Processes that want the same
tokens at once take turns.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from tqdm import tqdm

from trainer.data import tokenizer as tokenizers
from trainer.data.corpus import Tokens
from trainer.data.dataset import Dataset, DatasetError, Shard, fetched, read_rows
from trainer.data.tokenizer import Tokenizer

FORMAT = 1  # raised when the files' layout changes
COPIED = ("id", "url", "warc_file", "warc_offset", "language", "quality_score", "domain", "weight")


@dataclass(frozen=True, slots=True)
class Part:
    """The tokens of one shard, as its .json describes them."""

    shard: str
    shard_sha256: str
    documents: int
    tokens: int
    bytes: int  # of text, UTF-8
    tokens_sha256: str
    index_sha256: str


def token_type(vocab_size: int) -> np.dtype[np.unsignedinteger[Any]]:
    """The smallest type that holds every id, little-endian."""
    return np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")


def store_path(dataset: Dataset, tokenizer: Tokenizer, cache: Path) -> Path:
    """The folder of a dataset's tokens."""
    return cache / f"{dataset.content_hash[:16]}-{tokenizer.sha256[:16]}-{FORMAT}"


def tokenize(
    dataset: Dataset,
    tokenizer: Tokenizer,
    cache: Path,
    workers: int = 0,
    *,
    verify: bool = True,
    progress: bool = True,
) -> Path:
    """Makes what is missing of a dataset's token files, shards in parallel (0 = all cores); returns their folder.

    verify: compare the hashes of what is there, not only the sizes.
    """
    store, itemsize = store_path(dataset, tokenizer, cache), token_type(tokenizer.vocab_size).itemsize

    def missing() -> list[int]:
        shards = enumerate(dataset.shards)
        return [number for number, shard in shards if not _is_finished(store, number, shard, itemsize, verify)]

    if (store / "tokens.json").exists() and not missing():
        return store
    store.mkdir(parents=True, exist_ok=True)
    with (store / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the ranks of a run start together: the first makes it, the others find it
        tokenizer.save(store / "tokenizer.json")
        _write_parts(store, dataset, missing(), workers or len(os.sched_getaffinity(0)), progress)
        parts = [read_part(store, number) for number in range(len(dataset.shards))]
        _write_whole(store / "tokens.json", _facts(dataset, tokenizer, parts))
    return store


def _write_parts(store: Path, dataset: Dataset, numbers: list[int], workers: int, progress: bool) -> None:
    with tqdm(total=dataset.rows, unit=" documents", desc="tokenize", disable=None if progress else True) as bar:
        bar.update(dataset.rows - sum(dataset.shards[number].rows for number in numbers))
        for part in _parts(store, dataset, numbers, workers):
            bar.update(part.documents)


def _parts(store: Path, dataset: Dataset, numbers: list[int], workers: int) -> Iterator[Part]:
    """Each shard in a process of its own; where there are more workers than shards, they encode on several threads."""
    processes = max(1, min(workers, len(numbers)))
    threads = max(1, workers // processes)
    if processes == 1:
        yield from (write_part(store, number, dataset.shards[number], threads) for number in numbers)
        return
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(write_part, store, number, dataset.shards[number], threads) for number in numbers]
        try:
            yield from (job.result() for job in as_completed(jobs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def write_part(store: Path, number: int, shard: Shard, threads: int = 1) -> Part:
    """Tokenizes one shard; the part's .json, which makes it count, is written last."""
    tokenizer = _loaded(store)
    tokens, index, facts = part_files(store, number)
    facts.unlink(missing_ok=True)
    with fetched(shard) as path, tokens.open("wb") as file:
        table = pa.concat_tables(_encode_batches(path, shard, tokenizer, threads, file))
    length = table.column("tokens").to_numpy()
    table = table.append_column("start", pa.array(np.cumsum(length) - length))
    if len(table) != shard.rows:
        raise DatasetError(f"{shard.path}: {len(table)} rows, the manifest says {shard.rows}; copy the dataset again")
    pq.write_table(table, index)
    size = int(table.column("bytes").to_numpy().sum())
    part = Part(shard.name, shard.sha256, len(table), int(length.sum()), size, sha256(tokens), sha256(index))
    _write_whole(facts, asdict(part))
    return part


@lru_cache(maxsize=1)
def _loaded(store: Path) -> Tokenizer:
    return tokenizers.load(store)  # once in a process, not once a shard


def _encode_batches(path: Path, shard: Shard, tokenizer: Tokenizer, threads: int, file: BinaryIO) -> list[pa.Table]:
    """Appends every document's tokens to the file; returns the index's rows."""
    tables = []
    for batch in read_rows(path, shard.path, ("text", *COPIED)):
        texts = batch.column("text").to_pylist()
        arrays = with_separators(tokenizer, tokenizer.encode_many(texts, threads))
        file.write(b"".join(array.tobytes() for array in arrays))
        table = pa.Table.from_batches([batch]).drop_columns(["text"])
        _check_weights(table, shard)
        keys = [xxhash.xxh3_64_intdigest(identifier.encode()) for identifier in table.column("id").to_pylist()]
        table = table.append_column("key", pa.array(keys, pa.uint64()))
        table = table.append_column("bytes", pa.array([len(text.encode()) for text in texts], pa.int64()))
        tables.append(table.append_column("tokens", pa.array([len(array) for array in arrays], pa.int64())))
    return tables


def with_separators(tokenizer: Tokenizer, encoded: list[list[int]]) -> list[Tokens]:
    """Token arrays of the store's type, each with the separator in front."""
    kind = token_type(tokenizer.vocab_size)
    return [np.array([tokenizer.separator, *ids], dtype=kind) for ids in encoded]


def _check_weights(table: pa.Table, shard: Shard) -> None:
    weights = table.column("weight").to_numpy().astype(np.float64)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        document = table.column("id")[int(wrong[0])].as_py()
        raise DatasetError(f"{shard.path}: document {document} has weight {weights[wrong[0]]}; a weight is 0 or more")


def part_files(store: Path, number: int) -> tuple[Path, Path, Path]:
    """A part's tokens, index and facts."""
    base = store / f"part-{number:05d}"
    return base.with_suffix(".tokens"), base.with_suffix(".parquet"), base.with_suffix(".json")


def read_part(store: Path, number: int) -> Part:
    """Raises OSError, ValueError or TypeError where there is no finished part."""
    return Part(**json.loads(part_files(store, number)[2].read_text()))


def _is_finished(store: Path, number: int, shard: Shard, itemsize: int, verify: bool) -> bool:
    tokens, index, _ = part_files(store, number)
    try:
        part = read_part(store, number)
        whole = tokens.stat().st_size == part.tokens * itemsize and index.is_file()
        if part.shard_sha256 != shard.sha256 or not whole:
            return False
        return not verify or (sha256(tokens), sha256(index)) == (part.tokens_sha256, part.index_sha256)
    except (OSError, ValueError, TypeError):
        return False


def _facts(dataset: Dataset, tokenizer: Tokenizer, parts: list[Part]) -> dict[str, Any]:
    return {
        "dataset": dataset.root,
        "content_hash": dataset.content_hash,
        "tokenizer_sha256": tokenizer.sha256,
        "type": token_type(tokenizer.vocab_size).str,
        "documents": sum(part.documents for part in parts),
        "tokens": sum(part.tokens for part in parts),
        "bytes": sum(part.bytes for part in parts),
        "parts": [asdict(part) for part in parts],
    }


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_whole(path: Path, values: dict[str, Any]) -> None:
    """Written under another name first, so that the file is complete or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)
