"""Nearest neighbors: the exact search equals sorting everything, and FAISS finds nearly all of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.full_disk import fail_at_all_sizes
from trainer.retrieval import nearest
from trainer.retrieval.embedders import to_unit_length
from trainer.retrieval.nearest import ExactSearcher, build_faiss_index, open_faiss_index


def vectors(count: int, seed: int, dimensions: int = 16) -> np.ndarray:
    return to_unit_length(np.random.default_rng(seed).standard_normal((count, dimensions)).astype(np.float32))


@pytest.mark.parametrize("block", [3, 7, 1000])
def test_the_exact_search_is_a_sort(block, monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK", block)
    stored, queries = vectors(50, 0), vectors(9, 1)
    found = ExactSearcher(stored).search(queries, 5)
    scores = queries @ stored.T
    assert (found.numbers == np.argsort(-scores, axis=1, kind="stable")[:, :5]).all()
    np.testing.assert_allclose(found.scores, -np.sort(-scores, axis=1)[:, :5], rtol=1e-5)


@pytest.mark.parametrize("block", [2, 5, 1000])
def test_of_equal_vectors_the_first_come_first(block, monkeypatch):
    monkeypatch.setattr(nearest, "BLOCK", block)
    stored = np.eye(4, dtype=np.float32)[[1, 0, 1, 0, 0, 0, 2]]
    found = ExactSearcher(stored).search(np.eye(4, dtype=np.float32)[:1], 3)
    assert found.numbers.tolist() == [[1, 3, 4]]


def test_fewer_vectors_than_neighbors():
    found = ExactSearcher(vectors(2, 0)).search(vectors(1, 1), 4)
    assert sorted(found.numbers[0].tolist()) == [-1, -1, 0, 1]
    assert found.scores[0, 2:].tolist() == [-np.inf, -np.inf]


def test_the_graph_finds_nearly_all(tmp_path):
    stored, queries = vectors(4000, 0, 32), vectors(100, 1, 32)
    build_faiss_index(stored, tmp_path / "index.faiss")
    found = open_faiss_index(tmp_path / "index.faiss").search(queries, 10)
    exact = ExactSearcher(stored).search(queries, 10)
    pairs = zip(found.numbers, exact.numbers, strict=True)
    recall = np.mean([len(set(a.tolist()) & set(b.tolist())) / 10 for a, b in pairs])
    assert recall >= 0.95
    np.testing.assert_allclose(found.scores[:, 0], exact.scores[:, 0], rtol=1e-4)


def test_a_full_disk_is_named_with_the_file(tmp_path: Path) -> None:
    pytest.importorskip("faiss")
    stored = vectors(500, 0)
    failures = fail_at_all_sizes(lambda: build_faiss_index(stored, tmp_path / "index.faiss"))
    assert len(failures) > 3
    assert {(each.exit_code, str(tmp_path / "index.faiss") in each.message) for each in failures} == {(4, True)}
