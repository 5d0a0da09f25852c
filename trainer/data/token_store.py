"""Token files as a corpus: mapped, not read, so that a run starts at once whatever the size."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from trainer.data.corpus import Corpus, DocumentRef, Tokens
from trainer.data.dataset import DatasetError
from trainer.data.token_files import Part, part_files, sha256

NUMBERS = ("start", "tokens", "bytes", "key", "weight", "quality_score", "domain", "language")
PROVENANCE = ("id", "url", "warc_file", "warc_offset", "domain", "language", "tokens")


@dataclass(frozen=True)
class Store:
    """The corpus of a tokenized dataset, with what a mixture may choose documents by."""

    corpus: Corpus
    quality: NDArray[np.float64]  # NaN where the pipeline gave none
    language: NDArray[np.str_]


def open_store(path: Path, name: str, *, verify: bool = True) -> Store:
    """Maps the token files below `path`. `verify` compares every hash; without it only sizes are compared."""
    try:
        facts = json.loads((path / "tokens.json").read_text())
        parts = [Part(**part) for part in facts["parts"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{path}: no finished tokens here; run `gristmill train tokens`") from error
    if verify:
        for number, part in enumerate(parts):
            _check(path, number, part)
    files = tuple(_map(path, number, part, facts["type"]) for number, part in enumerate(parts))
    tables = [pq.read_table(part_files(path, number)[1], columns=list(NUMBERS)) for number in range(len(parts))]
    index = pa.concat_tables(tables)
    documents = np.array([part.documents for part in parts], dtype=np.int64)
    domains, domain = np.unique(_strings(index, "domain"), return_inverse=True)
    first = np.cumsum(documents) - documents
    corpus = Corpus(
        files=files,
        file=np.repeat(np.arange(len(parts), dtype=np.int32), documents),
        start=_numbers(index, "start", np.int64),
        length=_numbers(index, "tokens", np.int64),
        weight=_numbers(index, "weight", np.float64),
        key=_numbers(index, "key", np.uint64),
        source=np.zeros(len(index), dtype=np.int32),
        names=(name,),
        bytes=_numbers(index, "bytes", np.int64),
        domain=domain.astype(np.int32),
        domains=tuple(domains.tolist()),
        describe=lambda document: _describe(path, parts, first, name, document),
        fingerprint=hashlib.sha256(
            "".join(part.tokens_sha256 + part.index_sha256 for part in parts).encode()
        ).hexdigest(),
    )
    return Store(corpus, _numbers(index, "quality_score", np.float64), _strings(index, "language"))


def _check(path: Path, number: int, part: Part) -> None:
    tokens, index, _ = part_files(path, number)
    for file, expected in ((tokens, part.tokens_sha256), (index, part.index_sha256)):
        if not file.is_file() or sha256(file) != expected:
            raise DatasetError(f"{file}: damaged or missing; `gristmill train tokens` makes it again")


def _map(path: Path, number: int, part: Part, kind: str) -> Tokens:
    file = part_files(path, number)[0]
    expected = part.tokens * np.dtype(kind).itemsize
    if not file.is_file() or file.stat().st_size != expected:
        raise DatasetError(f"{file}: not {expected:,} bytes long; `gristmill train tokens` makes it again")
    mapped: Tokens = np.memmap(file, dtype=kind, mode="r")
    return mapped


def _numbers(index: pa.Table, column: str, kind: Any) -> NDArray[Any]:
    numbers: NDArray[Any] = index.column(column).to_numpy().astype(kind)
    return numbers


def _strings(index: pa.Table, column: str) -> NDArray[np.str_]:
    return np.array(index.column(column).fill_null("").to_pylist(), dtype=np.str_)


def _describe(path: Path, parts: list[Part], first: NDArray[np.int64], name: str, document: int) -> DocumentRef:
    number = int(np.searchsorted(first, document, side="right")) - 1
    row = document - int(first[number])
    values = _provenance(part_files(path, number)[1]).slice(row, 1).to_pylist()[0]
    known = {key: value for key, value in values.items() if value is not None}
    return DocumentRef(**known, source=name, shard=parts[number].shard, row=row)


@lru_cache(maxsize=4)
def _provenance(path: Path) -> pa.Table:
    return pq.read_table(path, columns=list(PROVENANCE))
