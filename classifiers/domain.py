"""The domain model: what a page is about (24 topics) and what kind of source it is (14 kinds).

The input is title and text, and for the kind the URL and what the extraction says of the page, where it is known. A
prediction below the threshold becomes `unknown`, which the mixture weights treat as a domain of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from classifiers.artifacts import Artifact, default_folder, load_artifact
from classifiers.domain_labels import UNKNOWN
from classifiers.estimators.features import kind_parts, topic_parts
from classifiers.estimators.linear import LinearModel
from classifiers.estimators.logistic import Array, with_temperature
from classifiers.estimators.word_counts import Parts

NAME = "domain"
FEATURE_VERSION = 3  # of the words below: to be raised when `words_for` returns others
HEADS = ("topic", "kind")

_NOTHING: Mapping[str, float] = {}


class Item(NamedTuple):
    """A page as the model reads it."""

    url: str
    title: str
    text: str
    signals: Mapping[str, float] = _NOTHING  # of the extraction, where they are known


def words_for(head: str, item: Item) -> Parts:
    """The words that one head reads."""
    if head == "topic":
        return topic_parts(item.title, item.text)
    return kind_parts(item.title, item.text, item.url, item.signals)


class DomainModel:
    """Predicts the topic (`tag`) and the kind of source (`kind`), each as (label, calibrated probability)."""

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact
        manifest = artifact.manifest
        self.labels = (*manifest.labels["topic"], UNKNOWN)
        self.kinds = (*manifest.labels["kind"], UNKNOWN)
        self._threshold = manifest.threshold
        self._exponent = {head: float(manifest.calibration[head]["exponent"]) for head in HEADS}
        self._models = {
            head: LinearModel.load(
                artifact.path(f"{head}.words.txt"), artifact.path(f"{head}.weights.npy"), manifest.labels[head]
            )
            for head in HEADS
        }

    def tag(self, items: Sequence[Item]) -> list[tuple[str, float]]:
        """Topic of each page."""
        return self._best("topic", items)

    def kind(self, items: Sequence[Item]) -> list[tuple[str, float]]:
        """Kind of source of each page."""
        return self._best("kind", items)

    def probabilities(self, head: str, items: Sequence[Item]) -> Array:
        """Calibrated probabilities of one head, (items, labels)."""
        words = [words_for(head, item) for item in items]
        return with_temperature(self._models[head].probabilities(words), self._exponent[head])

    def _best(self, head: str, items: Sequence[Item]) -> list[tuple[str, float]]:
        labels, threshold = self._models[head].labels, self._threshold[head]
        answers = []
        for row in self.probabilities(head, items) if items else ():
            place = int(row.argmax())
            probability = round(float(row[place]), 6)
            answers.append((labels[place] if probability >= threshold else UNKNOWN, probability))
        return answers


@cache
def _load(folder: Path) -> DomainModel:
    return DomainModel(load_artifact(folder, NAME, FEATURE_VERSION))


def load_domain_model(folder: Path | None = None) -> DomainModel:
    """The shipped model or the one in `folder`, verified; loaded once per process."""
    return _load(folder or default_folder(NAME))
