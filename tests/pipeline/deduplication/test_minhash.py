"""Signatures compared with datasketch's and with exact Jaccard similarity."""

import random

import numpy as np
import pytest
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.deduplication import minhash

ROWS = 144


def reference(tokens: list[str], rows: int = ROWS, seed: int = 1) -> np.ndarray:
    """datasketch's own signature of the same shingles."""
    peer = MinHash(rows, seed=seed, hashfunc=minhash.shingle_hash)
    for start in range(len(tokens) - minhash.SHINGLE + 1):
        peer.update(" ".join(tokens[start : start + minhash.SHINGLE]).encode())
    return peer.hashvalues


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=("Cs", "Z", "Cc")), min_size=1, max_size=8), max_size=60))
def test_signatures_equal_datasketch_bit_for_bit(tokens):
    ours = minhash.signature(minhash.shingle_hashes(tokens), ROWS)
    assert ours.dtype == np.uint32
    assert ours.tolist() == reference(tokens).tolist()


@pytest.mark.parametrize("count", [4, 5, 6, 1023, 1024 + 4, 1025 + 4, 5000])
@pytest.mark.parametrize(("rows", "seed"), [(1, 1), (112, 1), (144, 7)])
def test_signatures_equal_datasketch_at_block_edges(count, rows, seed):
    tokens = [f"w{i * i % 971}" for i in range(count)]
    ours = minhash.signature(minhash.shingle_hashes(tokens), rows, seed)
    assert ours.tolist() == reference(tokens, rows, seed).tolist()


def test_fewer_tokens_than_a_shingle_have_no_hashes():
    assert len(minhash.shingle_hashes(["a", "b", "c", "d"])) == 0
    assert len(minhash.shingle_hashes(["a", "b", "c", "d", "e"])) == 1


def pair_of_known_similarity(jaccard: float, size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of random 32-bit values whose Jaccard similarity is exactly `jaccard` (as near as `size` allows)."""
    common = round(2 * size * jaccard / (1 + jaccard))
    values = random.Random(seed).sample(range(1 << 32), 2 * size - common)
    both = np.array(values[:common], np.uint32)
    one = np.array(values[common:size], np.uint32)
    other = np.array(values[size:], np.uint32)
    return np.concatenate([both, one]), np.concatenate([both, other])


@pytest.mark.parametrize("jaccard", [0.0, 0.3, 0.5, 0.7, 0.8, 0.95, 1.0])
def test_estimates_are_unbiased_for_this_hash_family(jaccard):
    estimates = []
    for seed in range(60):
        one, other = pair_of_known_similarity(jaccard, 400, seed)
        a, b = (minhash.sketch(minhash.signature(hashes, ROWS)) for hashes in (one, other))
        estimates.append(minhash.similarity((a == b).sum(), ROWS))
    spread = np.sqrt(max(jaccard * (1 - jaccard), 0.004) / ROWS / 60)
    assert np.mean(estimates) == pytest.approx(jaccard, abs=4 * spread + 0.003)


def test_bands_find_candidates_as_often_as_the_formula_says():
    bands, rows, jaccard, pairs = 24, 6, 0.6, 300
    hits = 0
    for seed in range(pairs):
        one, other = pair_of_known_similarity(jaccard, 300, seed)
        a, b = (minhash.band_keys(minhash.signature(hashes, ROWS), bands, rows) for hashes in (one, other))
        hits += bool((a == b).any())
    expected = 1 - (1 - jaccard**rows) ** bands
    assert hits / pairs == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / pairs))


def test_equal_rows_in_different_bands_get_different_keys():
    keys = minhash.band_keys(np.zeros(12, np.uint32), 6, 2)
    assert len(set(keys.tolist())) == 6


@given(st.floats(0.01, 1.0), st.integers(1, 400))
def test_agreement_is_the_smallest_number_that_reaches_the_threshold(threshold, rows):
    need = minhash.agreement_for(threshold, rows)
    assert minhash.similarity(need, rows) >= threshold - 1e-6
    assert minhash.similarity(need - 1, rows) < threshold
