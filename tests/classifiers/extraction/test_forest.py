"""The forest gives what walking each tree row by row gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from classifiers.extraction.forest import Forest


def random_forest(generator: np.random.Generator, trees: int, levels: int, outputs: int) -> Forest:
    return Forest(
        features=generator.integers(0, 5, (trees, levels)).astype(np.int16),
        thresholds=generator.choice([-1.0, 0.0, 0.5, 2.0, np.inf], (trees, levels)).astype(np.float32),
        leaves=generator.integers(-30_000, 30_000, (trees, 2**levels, outputs)).astype(np.int16),
        bias=generator.integers(-100, 100, outputs).astype(np.int32),
    )


def walk_trees(forest: Forest, row: list[float], output: int) -> int:
    total = int(forest.bias[output])
    for features, thresholds, leaves in zip(forest.features, forest.thresholds, forest.leaves, strict=True):
        leaf = 0
        for level, (feature, threshold) in enumerate(zip(features, thresholds, strict=True)):
            leaf += (row[feature] > threshold) << level
        total += int(leaves[leaf, output])
    return total


@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(1, 8), st.integers(1, 3), st.integers(0, 6))
def test_scores_are_those_of_the_trees(seed: int, trees: int, levels: int, outputs: int, rows: int) -> None:
    generator = np.random.default_rng(seed)
    forest = random_forest(generator, trees, levels, outputs)
    columns = generator.choice([-2.0, 0.0, 0.5, 1.0, 3.0], (5, rows)).astype(np.float32)
    scores = forest.scores(columns)
    assert scores.shape == (outputs, rows)
    for output in range(outputs):
        for row in range(rows):
            assert scores[output, row] == walk_trees(forest, columns[:, row].tolist(), output)


def test_a_forest_survives_its_file(tmp_path) -> None:
    forest = random_forest(np.random.default_rng(3), 10, 6, 1)
    np.savez(tmp_path / "forest.npz", **forest.arrays())
    columns = np.random.default_rng(4).normal(size=(5, 20)).astype(np.float32)
    with np.load(tmp_path / "forest.npz") as arrays:
        assert np.array_equal(Forest.load(arrays).scores(columns), forest.scores(columns))
