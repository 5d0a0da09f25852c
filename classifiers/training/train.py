"""One function per shipped model: from the folder of real pages (or a sample of your own) to a finished artifact."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from classifiers.artifacts import TrainingData
from classifiers.data.cited_urls import Match
from classifiers.data.sampling import Example
from classifiers.domain import DomainModel
from classifiers.estimators.binary_scorer import YesNoModel
from classifiers.harm import HarmModel
from classifiers.quality import NAME
from classifiers.training import model_cards
from classifiers.training.recipe_domain import domain_data
from classifiers.training.recipe_harm import harm_rows, train_harm
from classifiers.training.recipe_quality import LABELS
from classifiers.training.recipe_quality import examples as quality_examples
from classifiers.training.train_binary_scorer import train_yes_no
from classifiers.training.train_domain import train_domain

KEEP = 0.5  # share of validation rows (half of them cited) above the quality threshold
_LICENCES = {"open-assistant": "Apache-2.0", "wikipedia-en": "CC BY-SA 4.0"}


def quality(data: Path, work: Path, folder: Path, weakest: Match, keep: float) -> YesNoModel:
    """The shipped quality model."""
    return quality_from(quality_examples(data, work, weakest), folder, keep, "gristmill classify train quality")


def quality_from(examples: Sequence[Example], folder: Path, keep: float, command: str) -> YesNoModel:
    """A quality model from any labeled examples."""
    license = "Apache-2.0 (weights); made from the data below"
    return train_yes_no(
        NAME,
        LABELS,
        examples,
        folder,
        keep,
        model_cards.QUALITY,
        sources_of(examples),
        license=license,
        command=command,
    )


def sources_of(examples: Sequence[Example]) -> tuple[TrainingData, ...]:
    """Every collection and label (with how a cited page was found) and their rows, for the manifest."""
    groups: dict[tuple[str, str], list[str]] = {}
    for example in examples:
        role = f"{example.label}, {example.match}" if example.match else example.label
        groups.setdefault((example.row.source, role), []).append(example.row.id)
    return tuple(
        TrainingData(
            name=source,
            role=role,
            rows=len(ids),
            sha256=sha256("\n".join(ids).encode()).hexdigest(),
            license=_LICENCES.get(source, "pages belong to their publishers and are not shipped"),
        )
        for (source, role), ids in sorted(groups.items())
    )


def domain(data: Path, work: Path, folder: Path) -> DomainModel:
    """The shipped domain model."""
    return train_domain(domain_data(data, work), folder, model_cards.DOMAIN, "gristmill classify train domain")


def harm(data: Path, work: Path, folder: Path) -> HarmModel:
    """The shipped harm model."""
    return train_harm(harm_rows(data, work), folder, model_cards.HARM, "gristmill classify train harm")


def counts_of(examples: Sequence[Example]) -> dict[str, int]:
    """Rows by split and label, for the terminal."""
    return {
        f"{split} {label}": n for (split, label), n in sorted(Counter((e.split, e.label) for e in examples).items())
    }
