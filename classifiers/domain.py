"""The domain model: what a page is about (24 topics) and what kind of source it is (14 kinds).

The input is title and text only: hosts and URLs were used to label the training pages, so a model that reads them would
learn the labeling rules. A prediction below the threshold becomes `unknown`, which the mixture weights treat as a
domain of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from classifiers.artifacts import Artifact, default_folder, load_artifact
from classifiers.estimators.features import FEATURE_VERSION, kind_line, topic_line
from classifiers.estimators.linear import LinearModel
from classifiers.estimators.logistic import Array, with_temperature

NAME = "domain"
UNKNOWN = "unknown"
HEADS = {"topic": topic_line, "kind": kind_line}

# After WebOrganizer's 24 topics (Wettig et al. 2025), as identifiers.
TOPICS = (
    "adult", "art_and_design", "crime_and_law", "education_and_jobs", "electronics_and_hardware", "entertainment",
    "fashion_and_beauty", "finance_and_business", "food_and_dining", "games", "health", "history_and_geography",
    "home_and_hobbies", "industrial", "literature", "politics", "religion", "science_and_math", "social_life",
    "software", "software_development", "sports_and_fitness", "transportation", "travel_and_tourism",
)  # fmt: skip
KINDS = (
    "academic", "blog", "books_and_literature", "code_and_documentation", "encyclopedia", "forum", "guide", "legal",
    "listing", "news", "organisation", "personal", "recipe", "shop",
)  # fmt: skip

Item = tuple[str, str, str]  # url, title, text


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
        """Topic of each (url, title, text)."""
        return self._best("topic", items)

    def kind(self, items: Sequence[Item]) -> list[tuple[str, float]]:
        """Kind of source of each (url, title, text)."""
        return self._best("kind", items)

    def probabilities(self, head: str, items: Sequence[Item]) -> Array:
        """Calibrated probabilities of one head, (items, labels)."""
        lines = [HEADS[head](title, text) for _, title, text in items]
        return with_temperature(self._models[head].probabilities(lines), self._exponent[head])

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
