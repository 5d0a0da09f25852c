"""A corpus: tokenized documents in flat token arrays, with one index entry per document. Batches are drawn from it.

`token_files.py` maps one from disk. Every document begins with the separator token, which therefore is both the start
token (it predicts the first word) and, as the last target of the document before, the end token.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.data.mapped_arrays import Columns, map_arrays
from trainer.errors import UserError

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """Where a document came from: its URL and its place in a WARC file."""

    id: str
    url: str = ""
    warc_file: str = ""
    warc_offset: int = 0
    source: str = ""  # name of the data source
    domain: str = ""
    language: str = ""
    shard: str = ""
    row: int = 0  # in the shard
    tokens: int = 0  # separator included


@dataclass(frozen=True)
class Corpus:
    """Parallel arrays, one entry per document; `files[file[i]][start[i] : start[i] + length[i]]` are its tokens.

    Only loading and the beginning of a pass read whole arrays: a batch must not (they may hold billions of entries).
    """

    files: tuple[Tokens, ...]
    file: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int64]  # tokens, separator included
    weight: NDArray[np.float64]  # expected reads in one pass
    key: NDArray[np.uint64]  # hash of the document's id: every random choice about the document follows from it
    source: NDArray[np.int32]  # index into `names`
    names: tuple[str, ...]
    bytes: NDArray[np.int64]  # of the text in UTF-8
    domain: NDArray[np.int32]  # index into `domains`
    domains: tuple[str, ...]
    describe: Callable[[int], DocumentRef]
    fingerprint: str  # changes with any token, weight or document

    def __len__(self) -> int:
        return len(self.length)

    @property
    def tokens(self) -> int:
        return int(self.length.sum())

    @property
    def separator(self) -> int:
        """The token that every document begins with."""
        return int(self.document(0)[0])

    def document(self, index: int) -> Tokens:
        """The tokens of one document, the separator first."""
        start = self.start[index]
        tokens: Tokens = self.files[self.file[index]][start : start + self.length[index]]
        return tokens

    def select(self, keep: NDArray[np.bool_], folder: Path | None = None) -> Corpus:
        """The documents where `keep` is true, in the same order.

        folder: where the arrays of selections are stored and mapped from; in this process's memory if None.
        """
        chosen = np.flatnonzero(keep)
        fingerprint = sha256(self.fingerprint.encode() + chosen.tobytes()).hexdigest()

        def columns() -> Iterator[tuple[str, NDArray[Any]]]:
            yield from ((name, getattr(self, name)[chosen]) for name in PER_DOCUMENT)
            yield "index", chosen

        arrays: dict[str, Any] = _store(folder, fingerprint, columns)
        index, describe = arrays.pop("index"), self.describe
        return replace(self, **arrays, describe=lambda number: describe(int(index[number])), fingerprint=fingerprint)


PER_DOCUMENT = ("file", "start", "length", "weight", "key", "source", "bytes", "domain")


def _store(folder: Path | None, fingerprint: str, columns: Columns) -> dict[str, NDArray[Any]]:
    return dict(columns()) if folder is None else map_arrays(folder / fingerprint[:32], fingerprint, columns)


def join_corpora(corpora: Sequence[Corpus], folder: Path | None = None) -> Corpus:
    """Several corpora as one, in this order; each keeps its source name. folder: as in `Corpus.select`."""
    if not corpora:
        raise UserError("no data source is given; name at least one under [data.sources]")
    names = [name for corpus in corpora for name in corpus.names]
    if len(set(names)) < len(names):
        raise ValueError(f"two sources have the same name: {', '.join(names)}")
    fingerprint = sha256("\n".join(corpus.fingerprint for corpus in corpora).encode()).hexdigest()
    if len(corpora) == 1:
        return replace(corpora[0], fingerprint=fingerprint)
    domains = sorted({domain for corpus in corpora for domain in corpus.domains})
    shifts = np.cumsum([0, *(len(corpus.files) for corpus in corpora)])
    sources = np.cumsum([0, *(len(corpus.names) for corpus in corpora)])
    first = np.cumsum([0, *(len(corpus) for corpus in corpora)])
    code_of = {domain: code for code, domain in enumerate(domains)}
    codes = [np.array([code_of[domain] for domain in corpus.domains], dtype=np.int32) for corpus in corpora]

    def columns() -> Iterator[tuple[str, NDArray[Any]]]:
        numbered = list(enumerate(corpora))
        for name in ("start", "length", "weight", "key", "bytes"):
            yield name, np.concatenate([getattr(corpus, name) for corpus in corpora])
        yield "file", np.concatenate([corpus.file + shifts[n] for n, corpus in numbered]).astype(np.int32)
        yield "source", np.concatenate([corpus.source + sources[n] for n, corpus in numbered]).astype(np.int32)
        yield "domain", np.concatenate([codes[n][corpus.domain] for n, corpus in numbered])

    describers = [corpus.describe for corpus in corpora]  # not the corpora: their arrays were copied

    def describe(index: int) -> DocumentRef:
        number = int(np.searchsorted(first, index, side="right")) - 1
        return describers[number](index - int(first[number]))

    return Corpus(
        files=tuple(file for corpus in corpora for file in corpus.files),
        names=tuple(names),
        domains=tuple(domains),
        describe=describe,
        fingerprint=fingerprint,
        **_store(folder, fingerprint, columns),
    )


def mix64(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A uniform 64-bit hash of each value under a seed (the finalizer of splitmix64)."""
    z = values + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(values: NDArray[np.uint64], seed: int) -> NDArray[np.float64]:
    """A number in [0, 1) for each value: the top 53 bits of its hash."""
    return (mix64(values, seed) >> np.uint64(11)).astype(np.float64) * 2.0**-53
