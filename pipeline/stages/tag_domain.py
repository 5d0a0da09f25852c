"""tag_domain: the topic of a page (WebOrganizer's 24 topics, or `unknown`), its kind of source, and a harm score.

The topic decides the weight in the mixture. The harm score (harmful or adult text) is a measurement. It drops nothing
unless `max_harm` is set: on real pages its highest scores were jokes and gossip. block_urls and filter_heuristics drop
harmful pages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from classifiers.artifacts import default_folder, model_files
from classifiers.domain import Item, load_domain_model
from classifiers.harm import load_harm_model
from pipeline.documents import Document, Dropped
from pipeline.errors import UserError
from pipeline.markdown_signs import without_signs
from pipeline.settings import Settings

NAME = "tag_domain"
SIGNALS = ("harm_score",)  # labels and probabilities have columns of their own


class TagDomainSettings(Settings):
    """The models, and what is left out of the dataset."""

    model: Path = Field(
        default_folder("domain"), description="folder of a model that `gristmill classify train domain` wrote"
    )
    harm_model: Path = Field(
        default_folder("harm"), description="folder of a model that `gristmill classify train harm` wrote"
    )
    max_harm: float | None = Field(None, ge=0, le=1, description="highest harm score that is kept; off keeps all")
    drop: frozenset[str] = Field(frozenset(), description="labels of domains to leave out")


class TagDomainReason(StrEnum):
    """Why a document is dropped."""

    DOMAIN_NOT_WANTED = "domain_not_wanted"
    HARMFUL_TEXT = "harmful_text"


REASONS = TagDomainReason


def files(settings: TagDomainSettings) -> list[Path]:
    """The models' files."""
    return sorted([*model_files(settings.model), *model_files(settings.harm_model)])


def build(settings: TagDomainSettings) -> Callable[[Document], Document | Dropped]:
    """Load the models. Raises UserError for a label in `drop` that the model does not have."""
    model, harm = load_domain_model(settings.model), load_harm_model(settings.harm_model)
    unknown = settings.drop - {*model.labels, "unknown"}
    if unknown:
        raise UserError(f"tag_domain.drop: no such domain {sorted(unknown)}; the model has {sorted(model.labels)}")

    def tag_domain(document: Document) -> Document | Dropped:
        text = without_signs(document.text)
        item = Item(document.url, document.title, text, document.signals)
        (label, probability), (kind, certainty) = model.tag([item])[0], model.kind([item])[0]
        harm_score = round(harm.score([text])[0], 6)
        tagged = replace(
            document.with_signals(harm_score=harm_score),
            domain=label,
            domain_score=round(probability, 6),
            kind=kind,
            kind_score=round(certainty, 6),
        )
        if label in settings.drop:
            return Dropped(tagged, NAME, TagDomainReason.DOMAIN_NOT_WANTED, detail=label)
        if settings.max_harm is not None and harm_score > settings.max_harm:
            return Dropped(tagged, NAME, TagDomainReason.HARMFUL_TEXT, harm_score, settings.max_harm)
        return tagged

    return tag_domain
