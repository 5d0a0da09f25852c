"""Train each shipped model: from the folder of real pages (or a sample of your own) to a model folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from classifiers.artifacts import TrainingData
from classifiers.data.cited_urls import Match
from classifiers.data.sampling import Example
from classifiers.domain import DomainModel
from classifiers.errors import UserError
from classifiers.estimators.binary_scorer import BinaryScorer
from classifiers.extraction.model import ExtractionModel
from classifiers.harm import HarmModel
from classifiers.quality import NAME
from classifiers.training import model_cards
from classifiers.training.recipe_domain import read_domain_data
from classifiers.training.recipe_harm import read_harm_rows
from classifiers.training.recipe_quality import QUALITY_LABELS, quality_examples
from classifiers.training.train_binary_scorer import Description, train_binary_scorer
from classifiers.training.train_domain import train_domain
from classifiers.training.train_harm import train_harm

_LICENSES = {"open-assistant": "Apache-2.0", "wikipedia-en": "CC BY-SA 4.0"}


def train_quality(data: Path, work: Path, folder: Path, weakest: Match, keep: float) -> BinaryScorer:
    """The shipped quality model."""
    return train_quality_on(quality_examples(data, work, weakest), folder, keep, "gristmill classify train quality")


def train_quality_on(examples: Sequence[Example], folder: Path, keep: float, command: str) -> BinaryScorer:
    """A quality model from any labeled examples."""
    about = Description(
        name=NAME,
        labels=QUALITY_LABELS,
        card=model_cards.QUALITY,
        sources=list_sources(examples),
        license="Apache-2.0 (weights); made from the data below",
        command=command,
    )
    return train_binary_scorer(examples, about, folder, keep)


def list_sources(examples: Sequence[Example]) -> tuple[TrainingData, ...]:
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
            license=_LICENSES.get(source, "pages belong to their publishers and are not shipped"),
        )
        for (source, role), ids in sorted(groups.items())
    )


def train_domain_model(data: Path, work: Path, folder: Path) -> DomainModel:
    """The shipped domain model."""
    return train_domain(read_domain_data(data, work), folder, model_cards.DOMAIN, "gristmill classify train domain")


def train_harm_model(data: Path, work: Path, folder: Path) -> HarmModel:
    """The shipped harm model."""
    return train_harm(read_harm_rows(data, work), folder, model_cards.HARM, "gristmill classify train harm")


def train_extraction_model(data: Path, folder: Path) -> ExtractionModel:
    """The shipped extraction model."""
    try:
        from classifiers.training.recipe_extraction import read_training_samples
        from classifiers.training.train_extraction import train_extraction
    except ModuleNotFoundError as error:
        raise UserError(f"training extraction needs {error.name}: install gristmill[extraction-training]") from error
    samples = read_training_samples(data)
    return train_extraction(samples, folder, model_cards.EXTRACTION, "gristmill classify train extraction")


def count_by_label(examples: Sequence[Example]) -> dict[str, int]:
    """Number of rows by split and label."""
    return {
        f"{split} {label}": n for (split, label), n in sorted(Counter((e.split, e.label) for e in examples).items())
    }
