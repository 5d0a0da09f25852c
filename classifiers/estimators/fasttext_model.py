"""fastText: load a model to score texts in batches.

The module `fasttext` must be fasttext-community, whose `predict` works with NumPy 2 (the original raises).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fasttext
import numpy as np
from numpy.typing import NDArray

from classifiers.errors import UserError, explain_disk

PREFIX = "__label__"
FASTTEXT_ENDINGS = (".bin", ".ftz")


class FastTextModel:
    """A loaded model; its probabilities are in the order of `labels`."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._model = fasttext.load_model(str(path))
        self.labels = tuple(labels)
        self._column = {PREFIX + label: number for number, label in enumerate(self.labels)}

    def probabilities(self, lines: Sequence[str]) -> NDArray[np.float64]:
        """Array of shape (lines, labels); an empty line gets equal shares."""
        table = np.zeros((len(lines), len(self.labels)))
        if lines:
            for row, (names, values) in enumerate(zip(*self._model.predict(list(lines), k=-1), strict=True)):
                for name, value in zip(names, values, strict=True):
                    table[row, self._column[name]] = min(float(value), 1.0)
        empty = table.sum(axis=1) == 0
        table[empty] = 1 / max(len(self.labels), 1)
        return table

    def most_probable(self, line: str, count: int) -> dict[str, float]:
        """The `count` most probable labels with their probabilities, best first; none for a line without a known word.

        fastText's own probabilities: quantized models give sums slightly above 1.
        """
        names, values = self._model.predict(line, k=count)
        return {name.removeprefix(PREFIX): float(value) for name, value in zip(names, values, strict=True)}


def load_fasttext(path: Path) -> Any:
    """A model of any labels. Raises UserError for another kind of file, FileError for what a disk does not give."""
    try:
        with explain_disk(path), path.open("rb"):  # fastText says only that it cannot open a file
            return fasttext.load_model(str(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"{path} is no fastText model ({error})") from None


def labels_of(path: Path) -> list[str]:
    """The labels of a model file, without fastText's prefix; raises as `load_fasttext`."""
    return [label.removeprefix(PREFIX) for label in load_fasttext(path).get_labels()]
