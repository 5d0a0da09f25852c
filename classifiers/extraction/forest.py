"""Oblivious decision trees in NumPy, with integer leaves: the same score on every machine.

Each level of an oblivious tree asks one question of all rows, so a tree is a few bits and a table. Questions that
several trees ask are asked once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int32]


class Forest:
    """Adds up the leaves that a row falls into."""

    def __init__(
        self, features: NDArray[np.int16], thresholds: Floats, leaves: NDArray[np.int16], bias: NDArray[np.int32]
    ) -> None:
        """`features` and `thresholds`: trees x levels; `leaves`: trees x 2**levels x outputs; `bias`: outputs."""
        self.features, self.thresholds, self.leaves, self.bias = features, thresholds, leaves, bias
        questions = np.stack([features.ravel().astype(np.float64), thresholds.ravel().astype(np.float64)], axis=1)
        asked, where = np.unique(questions, axis=0, return_inverse=True)
        self._features = asked[:, 0].astype(np.intp)
        self._thresholds = asked[:, 1].astype(np.float32)[:, None]
        self._where = np.ascontiguousarray(where.reshape(features.shape).T)  # levels x trees
        trees, size, outputs = leaves.shape
        self._offsets = (np.arange(trees, dtype=np.int32) * size)[:, None]
        self._tables = [np.ascontiguousarray(leaves[:, :, output]).ravel() for output in range(outputs)]

    @classmethod
    def load(cls, arrays: Mapping[str, NDArray[Any]]) -> Forest:
        return cls(arrays["features"], arrays["thresholds"], arrays["leaves"], arrays["bias"])

    def arrays(self) -> dict[str, NDArray[Any]]:
        return {"features": self.features, "thresholds": self.thresholds, "leaves": self.leaves, "bias": self.bias}

    def scores(self, columns: Floats) -> Integers:
        """Outputs x rows; `columns` has a row for each feature."""
        answers = (columns.take(self._features, axis=0) > self._thresholds).view(np.uint8)
        place = answers.take(self._where[0], axis=0)
        for level, questions in enumerate(self._where[1:], start=1):
            place |= np.left_shift(answers.take(questions, axis=0), np.uint8(level))
        leaf = place + self._offsets
        sums = [table.take(leaf).sum(axis=0, dtype=np.int32) for table in self._tables]
        return np.stack(sums) + self.bias[:, None]
