"""Nearest neighbors by inner product: exact, a block of the database at a time, or by FAISS's graph (HNSW)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainer.errors import UserError
from trainer.files import explain_writes

BLOCK = 1 << 16  # vectors that are compared at once
LINKS = 32  # of a vector in the graph
BUILD_WIDTH, SEARCH_WIDTH = 200, 128  # candidates kept while the graph is built and searched


class Nearest(NamedTuple):
    """The nearest vectors of each query, nearest first; -1 with a score of -inf where there are fewer than k."""

    numbers: NDArray[np.int64]  # [queries, k]
    scores: NDArray[np.float32]  # [queries, k], inner products


class Searcher(Protocol):
    """Finds the nearest vectors of a database."""

    def search(self, queries: NDArray[np.float32], k: int) -> Nearest:
        """queries [Q, D]."""


class ExactSearcher:
    """Compares every vector."""

    def __init__(self, vectors: NDArray[np.float32]) -> None:
        self.vectors = vectors  # [N, D], may be mapped from disk

    def search(self, queries: NDArray[np.float32], k: int) -> Nearest:
        """Of equal scores the lower number comes first."""
        numbers = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for begin in range(0, len(self.vectors), BLOCK):
            block = queries @ np.asarray(self.vectors[begin : begin + BLOCK]).T  # [Q, block]
            if block.shape[1] > k:
                part = np.argpartition(-block, k - 1, axis=1)[:, :k]
                edge = np.take_along_axis(block, part, axis=1).min(axis=1, keepdims=True)
                if (np.count_nonzero(block >= edge, axis=1) > k).any():  # ties at the edge: keep the lowest numbers
                    part = np.argsort(-block, axis=1, kind="stable")[:, :k]
            else:
                part = np.broadcast_to(np.arange(block.shape[1]), block.shape)
            found = np.concatenate([scores, np.take_along_axis(block, part, axis=1)], axis=1)
            places = np.concatenate([numbers, part + begin], axis=1)
            order = np.lexsort((np.where(places < 0, np.iinfo(np.int64).max, places), -found), axis=1)[:, :k]
            scores, numbers = np.take_along_axis(found, order, axis=1), np.take_along_axis(places, order, axis=1)
        return Nearest(numbers, scores)


class FaissSearcher:
    """Walks a graph of near vectors: fast in large databases, and not exact."""

    def __init__(self, index: Any) -> None:
        self.index = index

    def search(self, queries: NDArray[np.float32], k: int) -> Nearest:
        """See `Searcher`."""
        faiss = import_faiss()
        width = faiss.SearchParametersHNSW(efSearch=max(SEARCH_WIDTH, 2 * k))
        scores, numbers = self.index.search(np.ascontiguousarray(queries, np.float32), k, params=width)
        return Nearest(numbers, np.where(numbers < 0, -np.inf, scores).astype(np.float32))


def import_faiss() -> Any:
    """FAISS, which is an extra."""
    try:
        import faiss
    except ImportError:
        raise UserError(
            'this needs FAISS: pip install "gristmill[retrieval]"; the exact search needs nothing more'
        ) from None
    return faiss


def build_faiss_index(vectors: NDArray[np.float32], path: Path) -> None:
    """Write the graph of all vectors [N, D]."""
    faiss = import_faiss()
    index = faiss.IndexHNSWFlat(vectors.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = BUILD_WIDTH
    for begin in range(0, len(vectors), BLOCK):
        index.add(np.ascontiguousarray(vectors[begin : begin + BLOCK]))
    with explain_writes(path), path.open("wb") as file:  # faiss's own writer raises a RuntimeError for a full disk
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


def open_faiss_index(path: Path) -> FaissSearcher:
    """A graph that `build_faiss_index` wrote, mapped from disk. Its hash is to be compared before."""
    faiss = import_faiss()
    return FaissSearcher(faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC))
