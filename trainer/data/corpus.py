"""A corpus: tokenized documents side by side, as flat token arrays with one index entry a document.

It is what batches are drawn from. `tokens.py` makes one from shards (memory-mapped files); `in_memory` makes one from
lists, for tests and small experiments. Every document begins with the separator token, which so is both the start
token (it predicts the first word) and, as the target of the document before, the end token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class DocumentRef:
    """Where a document came from: enough to find the page again."""

    id: str
    url: str = ""
    warc_file: str = ""
    warc_offset: int = 0
    source: str = ""  # the name of the mixture's source
    domain: str = ""
    language: str = ""
    shard: str = ""
    row: int = 0  # of the shard
    tokens: int = 0  # with the separator


@dataclass(frozen=True)
class Corpus:
    """Parallel arrays, one entry a document; `files[file[i]][start[i] : start[i] + length[i]]` are its tokens."""

    files: tuple[Tokens, ...]
    file: NDArray[np.int32]
    start: NDArray[np.int64]
    length: NDArray[np.int64]  # tokens, the separator included
    weight: NDArray[np.float64]  # expected repetitions in one pass
    key: NDArray[np.uint64]  # a hash of the document's id: every random choice about the document comes from it
    source: NDArray[np.int32]  # index into `names`
    names: tuple[str, ...]
    bytes: NDArray[np.int64]  # of the document's text in UTF-8
    domain: NDArray[np.int32]  # index into `domains`
    domains: tuple[str, ...]
    describe: Callable[[int], DocumentRef]
    fingerprint: str  # changes when any token, weight or document does

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

    def select(self, keep: NDArray[np.bool_]) -> Corpus:
        """The documents where `keep` is true, in the same order."""
        indices = np.flatnonzero(keep)
        describe = self.describe
        chosen = sha256(self.fingerprint.encode() + indices.tobytes()).hexdigest()
        arrays = {name: getattr(self, name)[indices] for name in PER_DOCUMENT}
        return replace(self, **arrays, describe=lambda index: describe(int(indices[index])), fingerprint=chosen)


PER_DOCUMENT = ("file", "start", "length", "weight", "key", "source", "bytes", "domain")


def joined(corpora: Sequence[Corpus]) -> Corpus:
    """Several corpora as one, in their order; each keeps its source name."""
    if not corpora:
        raise ValueError("no data source is given; name at least one under [data.sources]")
    names = [name for corpus in corpora for name in corpus.names]
    if len(set(names)) < len(names):
        raise ValueError(f"two sources have the same name: {', '.join(names)}")
    domains = sorted({domain for corpus in corpora for domain in corpus.domains})
    shifts = np.cumsum([0, *(len(corpus.files) for corpus in corpora)])
    sources = np.cumsum([0, *(len(corpus.names) for corpus in corpora)])
    first = np.cumsum([0, *(len(corpus) for corpus in corpora)])
    arrays = {name: np.concatenate([getattr(corpus, name) for corpus in corpora]) for name in PER_DOCUMENT}
    arrays["file"] = np.concatenate([corpus.file + shifts[n] for n, corpus in enumerate(corpora)]).astype(np.int32)
    arrays["source"] = np.concatenate([corpus.source + sources[n] for n, corpus in enumerate(corpora)]).astype(np.int32)
    codes = [np.array([domains.index(domain) for domain in corpus.domains], dtype=np.int32) for corpus in corpora]
    arrays["domain"] = np.concatenate([code[corpus.domain] for code, corpus in zip(codes, corpora, strict=True)])

    def describe(index: int) -> DocumentRef:
        number = int(np.searchsorted(first, index, side="right")) - 1
        return corpora[number].describe(index - int(first[number]))

    return Corpus(
        files=tuple(file for corpus in corpora for file in corpus.files),
        names=tuple(names),
        domains=tuple(domains),
        describe=describe,
        fingerprint=sha256("\n".join(corpus.fingerprint for corpus in corpora).encode()).hexdigest(),
        **arrays,
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


def in_memory(
    documents: Sequence[Sequence[int]], weights: Sequence[float] | None = None, separator: int = 0, name: str = "memory"
) -> Corpus:
    """A corpus of token lists (without separators, which are put in front)."""
    rows = [[separator, *document] for document in documents]
    length = np.array([len(row) for row in rows], dtype=np.int64)
    flat = np.array([token for row in rows for token in row], dtype=np.uint32)
    count = len(rows)
    return Corpus(
        files=(flat,),
        file=np.zeros(count, dtype=np.int32),
        start=np.cumsum(length) - length,
        length=length,
        weight=np.ones(count) if weights is None else np.asarray(weights, dtype=np.float64),
        key=np.arange(count, dtype=np.uint64),
        source=np.zeros(count, dtype=np.int32),
        names=(name,),
        bytes=length - 1,
        domain=np.zeros(count, dtype=np.int32),
        domains=("",),
        describe=lambda index: DocumentRef(id=str(index), source=name, row=index, tokens=int(length[index])),
        fingerprint=sha256(flat.tobytes() + length.tobytes()).hexdigest(),
    )
