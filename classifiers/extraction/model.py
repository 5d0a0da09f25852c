"""The extraction model as it is applied: the blocks of a page that are its main content, and the page's type.

Everything after the walk is counts, integer weights and one division a ratio, so every machine chooses the same blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.artifacts import Artifact, ArtifactError, default_folder, load_artifact
from classifiers.extraction.blocks import PageBlocks
from classifiers.extraction.choose import (
    Choice,
    choose_blocks,
    drop_last_headings,
    drop_repeats,
    look_up,
    smooth_scores,
)
from classifiers.extraction.features import FEATURE_VERSION, FEATURES, PAGE_FEATURES, block_features
from classifiers.extraction.forest import Forest
from classifiers.extraction.names import NameWeights

NAME = "extraction"
PAGE_TYPES = ("article", "collection", "documentation", "forum", "listing", "product", "service")
# What recall counts for on pages of a type, 1 on others: scores promise a little too much of what stands around the
# text of articles, services and forums. Chosen on scores out of fold: 4-gram F1 on articles rises by .003.
# Services stay at 0.8: at 1.2 F1 on WCXB's in HTML rises from .858 to .861, but 50 pages gain, 52 lose, and two make
# most of it. A weight that the other folds choose gains .001, by the words of blocks, and costs own gold .003.
_RECALL = {"article": 0.7, "service": 0.8, "forum": 0.9}
_HEADINGS_STAND_ALONE = ("listing", "service")  # titles of other pages, and sentences of advertising


@dataclass(frozen=True, slots=True, eq=False)
class MainContent:
    """What the model says of a page."""

    choice: Choice
    page_type: str


class ExtractionModel:
    """Chooses the blocks of main content."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        if artifact.json("features.json") != {"blocks": list(FEATURES), "page": list(PAGE_FEATURES)}:
            raise ArtifactError(f"{artifact.folder} reads other features than this code computes: train it again")
        self.names = NameWeights(artifact.json("names.json"))
        with np.load(artifact.path("blocks.npz"), allow_pickle=False) as arrays:
            self._blocks, self._probabilities = Forest.load(arrays), arrays["probabilities"]
        with np.load(artifact.path("page_types.npz"), allow_pickle=False) as arrays:
            self._page_types = Forest.load(arrays)
        self._step = int(artifact.manifest.calibration["step"])

    def find_main_content(self, blocks: PageBlocks, url: str, recall_weight: float = 1.0) -> MainContent:
        """`recall_weight` below 1 prefers precision, above 1 recall."""
        columns, page, sizes = block_features(blocks, url, self.names)
        scores = smooth_scores(self._blocks.scores(columns)[0], blocks.paths[blocks.elements])
        page_type = PAGE_TYPES[int(self._page_types.scores(page[:, None])[:, 0].argmax())]
        choice = choose_blocks(self._to_probabilities(scores), sizes, recall_weight * _RECALL.get(page_type, 1.0))
        if page_type != "documentation":  # where steps and signatures are alike
            choice = drop_repeats(choice, blocks, sizes)
        if page_type not in _HEADINGS_STAND_ALONE:
            choice = drop_last_headings(choice, blocks, sizes)
        return MainContent(choice, page_type)

    def _to_probabilities(self, scores: NDArray[Any]) -> NDArray[np.int64]:
        return look_up(scores, self._probabilities, self._step)


@cache
def _load(folder: Path) -> ExtractionModel:
    return ExtractionModel(load_artifact(folder, NAME, FEATURE_VERSION))


def load_extraction_model(folder: Path | None = None) -> ExtractionModel:
    """The shipped model or the one in `folder`, verified; loaded once per process."""
    return _load(folder or default_folder(NAME))
