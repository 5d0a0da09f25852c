"""Train each shipped model: from the folder of real pages (or a sample of your own) to a model folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np

from classifiers import education, quality
from classifiers.artifacts import TrainingData
from classifiers.data.cited_urls import Match
from classifiers.data.sampling import Example
from classifiers.data.source_pages import Sources
from classifiers.domain import DomainModel
from classifiers.education import EducationModel
from classifiers.errors import UserError
from classifiers.estimators.metrics import auc, spearman
from classifiers.estimators.page_scorer import PageScorer
from classifiers.extraction.model import ExtractionModel
from classifiers.harm import HarmModel
from classifiers.training import model_cards
from classifiers.training.recipe_domain import read_domain_data
from classifiers.training.recipe_harm import read_harm_rows
from classifiers.training.recipe_quality import QUALITY_LABELS, quality_examples, quality_views, read_targets
from classifiers.training.train_domain import train_domain
from classifiers.training.train_harm import train_harm
from classifiers.training.train_page_scorer import Description, Target, train_page_scorer

_LICENSE = "Apache-2.0 (weights); made from the data below"
_LICENSES = {"open-assistant": "Apache-2.0", "wikipedia-en": "CC BY-SA 4.0"}


def train_quality(sources: Sources, folder: Path, weakest: Match, keep: float) -> PageScorer:
    """The shipped quality model."""
    views = quality_views(sources, weakest)
    about = Description(
        name=quality.NAME,
        labels=("careful readers leave it out", "careful readers keep it"),
        card=model_cards.QUALITY,
        sources=(*list_sources(quality_examples(sources, weakest)), _labels_of(views["read"])),
        license=_LICENSE,
        command="gristmill classify train quality",
    )
    return train_page_scorer(views, views["read"], about, folder, keep, measure_quality)


def train_quality_on(examples: Sequence[Example], folder: Path, keep: float, command: str) -> PageScorer:
    """A quality model from any labeled examples."""
    about = Description(
        name=quality.NAME,
        labels=QUALITY_LABELS,
        card=model_cards.OWN_QUALITY,
        sources=list_sources(examples),
        license=_LICENSE,
        command=command,
    )
    targets = [Target.of(example, QUALITY_LABELS[1]) for example in examples]
    return train_page_scorer({"cited": targets}, targets, about, folder, keep)


def train_education_model(sources: Sources, folder: Path) -> EducationModel:
    """The shipped education model."""
    targets = read_targets(sources, education.NAME)
    about = Description(
        name=education.NAME,
        labels=("nothing to learn", "made to teach"),
        card=model_cards.EDUCATION,
        sources=(_labels_of(targets),),
        license=_LICENSE,
        command="gristmill classify train education",
    )
    return EducationModel(train_page_scorer({"read": targets}, targets, about, folder, measure=measure_education))


def measure_quality(targets: Sequence[Target], scores: Sequence[float]) -> dict[str, float]:
    """AUC of "keep" (2) against the rest, and of "usable" (1, 2) against the rest."""
    truth = [target.value for target in targets]
    keep, usable = ([value >= limit for value in truth] for limit in (1.0, 0.5))
    return {"auc_keep": round(auc(keep, scores), 4), "auc_usable": round(auc(usable, scores), 4)}


def measure_education(targets: Sequence[Target], scores: Sequence[float]) -> dict[str, float]:
    """Spearman's correlation with the labels, and the mean distance from them (0 to 5)."""
    truth = np.array([target.value for target in targets])
    distance = float(np.abs(truth - np.array(scores)).mean()) * education.HIGHEST
    return {"spearman": round(spearman(truth, scores), 4), "mean_distance": round(distance, 4)}


def _labels_of(targets: Sequence[Target]) -> TrainingData:
    lines = "".join(f"{target.row.id}\t{target.value}\n" for target in targets)
    return TrainingData(
        name="pages labeled by reading",
        role="training; a third, by registered domain, measures only",
        rows=len(targets),
        sha256=sha256(lines.encode()).hexdigest(),
        license="labels Apache-2.0; pages belong to their publishers and are not shipped",
    )


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


def train_domain_model(sources: Sources, folder: Path) -> DomainModel:
    """The shipped domain model."""
    return train_domain(read_domain_data(sources), folder, model_cards.DOMAIN, "gristmill classify train domain")


def train_harm_model(sources: Sources, folder: Path) -> HarmModel:
    """The shipped harm model."""
    return train_harm(read_harm_rows(sources), folder, model_cards.HARM, "gristmill classify train harm")


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
