"""Neighbors of the chunks of a sequence, for a model that reads them (trainer/model/retro.py).

The query is the text of a chunk that belongs to the document of its last token; nothing behind the chunk has a say. Its
own document, every document that the neighbors would be read in, documents of the same URL, and chunks that share too
many 8-grams with the query (copies of its text elsewhere) are never among its neighbors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainer.data.batches import PADDING
from trainer.data.corpus import Corpus
from trainer.errors import UserError
from trainer.model.retro import RetroSettings
from trainer.retrieval.chunk_database import ChunkDatabase, hash_url, open_database
from trainer.retrieval.embedders import TokenList
from trainer.settings import Settings

GRAM = 8  # tokens; of fewer nothing is said to be copied (Borgeaud et al. 2022, section 2.6)
SPARE = 16  # candidates beside those that are needed, which may be refused
MOST = 4096  # candidates of a query; behind them it has fewer neighbors


class NeighborSettings(Settings):
    """Where neighbors come from."""

    database: Path = Field(description="chunk database of `gristmill train retrieve build`")
    digest: str = Field(default="", description="taken from the database: a run does not resume with another one")
    max_overlap: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="largest share of a neighbor's 8-grams that its query may have, 0 to 1",
    )


class ChunkQuery(NamedTuple):
    """A chunk that neighbors are wanted for."""

    tokens: TokenList
    keys: frozenset[int]  # of the documents that must not be found
    urls: frozenset[int]  # hashes of their URLs


@dataclass(frozen=True)
class NeighborFinder:
    """Finds the neighbors that a model reads."""

    database: ChunkDatabase
    settings: RetroSettings
    max_overlap: float = 0.5

    def find(self, queries: Sequence[ChunkQuery]) -> NDArray[np.int64]:
        """[queries, K, R] tokens of the nearest chunks with those that follow them, PADDING where there is none."""
        found = np.full((len(queries), self.settings.neighbors, self.settings.neighbor_tokens), PADDING, np.int64)
        waiting = [number for number, query in enumerate(queries) if len(query.tokens)]
        vectors = self.database.embedder.embed([queries[number].tokens for number in waiting])
        most = min(len(self.database), MOST)
        wanted = min(self.settings.neighbors + SPARE, most)
        while waiting:
            nearest = self.database.searcher.search(vectors, wanted)
            short = []
            for place, number in enumerate(waiting):
                chosen = self._choose(queries[number], nearest.numbers[place])
                for rank, chunk in enumerate(chosen):
                    text = self._read(chunk)
                    found[number, rank, : len(text)] = text
                if len(chosen) < self.settings.neighbors and wanted < most:
                    short.append(place)
            waiting, vectors = [waiting[place] for place in short], vectors[short]
            wanted = min(4 * wanted, most)
        return found

    def _choose(self, query: ChunkQuery, candidates: NDArray[np.int64]) -> list[int]:
        grams = set(list_grams(query.tokens))
        chosen: list[int] = []
        for chunk in candidates.tolist():
            if len(chosen) == self.settings.neighbors or chunk < 0:
                break
            document = int(self.database.document[chunk])
            own = int(self.database.key[document]) in query.keys or int(self.database.url_key[document]) in query.urls
            if not own and share_of_grams(self.database.chunk(chunk), grams) <= self.max_overlap:
                chosen.append(chunk)
        return chosen

    def _read(self, chunk: int) -> NDArray[np.int64]:
        """A chunk and, if it is full, the next one of its document."""
        database = self.database
        parts = [database.chunk(chunk)]
        full = len(parts[0]) == database.chunk_tokens and chunk + 1 < len(database)
        if full and database.document[chunk + 1] == database.document[chunk]:
            parts.append(database.chunk(chunk + 1))
        return np.concatenate(parts).astype(np.int64)

    def find_for_rows(self, inputs: Tensor, documents: NDArray[np.int64], corpus: Corpus) -> Tensor:
        """inputs int64 [B, S] and the corpus's document of each token -> int64 [B, U, K, R]."""
        tokens, size = inputs.numpy(), self.settings.chunk_tokens
        rows, chunks = len(tokens), tokens.shape[1] // size
        queries = [
            query_chunk(tokens[row], documents[row], chunk, size, corpus)
            for row in range(rows)
            for chunk in range(chunks)
        ]
        return torch.from_numpy(self.find(queries)).view(rows, chunks, self.settings.neighbors, -1)

    def find_for_prompts(self, chunks: Sequence[Sequence[int]]) -> Tensor:
        """Whole chunks of texts that are in no document -> int64 [chunks, K, R]."""
        nobody: frozenset[int] = frozenset()
        separator = self.database.tokenizer.separator
        texts = [[token for token in chunk if token != separator] for chunk in chunks]
        return torch.from_numpy(self.find([ChunkQuery(text, nobody, nobody) for text in texts]))


def query_chunk(
    tokens: NDArray[np.int64], documents: NDArray[np.int64], chunk: int, size: int, corpus: Corpus
) -> ChunkQuery:
    """The query of a chunk of a sequence [S]: what of it belongs to the document of its last token."""
    begin, end = chunk * size, (chunk + 1) * size
    last = documents[end - 1]
    if last == PADDING:
        return ChunkQuery([], frozenset(), frozenset())
    part = tokens[begin:end][documents[begin:end] == last]
    readers = {int(document) for document in np.unique(documents[begin : end + size])} - {PADDING}
    urls = {hash_url(describe_url(corpus, document)) for document in readers} - {0}
    keys = frozenset(int(corpus.key[document]) for document in readers)
    return ChunkQuery(part[part != corpus.separator], keys, frozenset(urls))


@lru_cache(maxsize=1 << 16)
def _describe_url(describe: Any, document: int) -> str:
    return str(describe(document).url)


def describe_url(corpus: Corpus, document: int) -> str:
    """The URL of a document; looked up once."""
    return _describe_url(corpus.describe, document)


def list_grams(tokens: TokenList, size: int = GRAM) -> list[tuple[int, ...]]:
    """All runs of `size` tokens; the whole text if it is shorter."""
    values = [int(token) for token in tokens]
    size = min(size, len(values))
    return [tuple(values[at : at + size]) for at in range(len(values) - size + 1)] if size else []


def share_of_grams(tokens: TokenList, known: set[tuple[int, ...]]) -> float:
    """How many of a text's 8-grams are among the known ones, 0 to 1.

    >>> share_of_grams(range(9), set(list_grams(range(8))))
    0.5
    """
    grams = list_grams(tokens)
    return sum(gram in known for gram in grams) / len(grams) if grams else 0.0


def open_finder(settings: NeighborSettings | None, retro: RetroSettings, tokenizer_sha256: str) -> NeighborFinder:
    """The finder of a run. Raises UserError for a database that does not fit the model or its tokenizer."""
    if settings is None:
        raise UserError("model.retro reads neighbors: name their chunk database by retrieval.database")
    database = open_database(settings.database)
    if database.chunk_tokens != retro.chunk_tokens:
        raise UserError(
            f"{settings.database}: has chunks of {database.chunk_tokens} tokens and model.retro.chunk_tokens is "
            f"{retro.chunk_tokens}; make them equal"
        )
    if database.tokenizer.sha256 != tokenizer_sha256:
        raise UserError(f"{settings.database}: has tokens of another tokenizer; build it with the run's")
    if settings.digest and settings.digest != database.digest:
        raise UserError(f"{settings.database}: is another database than the run began with; restore it")
    return NeighborFinder(database, retro, settings.max_overlap)
