"""tag_domain: what the page is about (WebOrganizer's 24 topics, or `unknown`), for the mixture's weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from classifiers.domain import load_domain_model
from pydantic import Field

from classifiers.artefacts import default_folder
from pipeline.documents import Document, Dropped
from pipeline.settings import Settings as BaseSettings

SIGNALS: tuple[str, ...] = ()  # label and confidence have columns of their own


class Settings(BaseSettings):
    """Which model, and what this dataset does not want."""

    model: Path = Field(
        default_folder("domain"), description="folder of a model that `gristmill classify train domain` wrote"
    )
    drop: frozenset[str] = Field(frozenset(), description="domains to leave out, by their label")


class Reason(StrEnum):
    """Why a document is out."""

    DOMAIN_NOT_WANTED = "domain_not_wanted"


def files(settings: Settings) -> list[Path]:
    """The model's files."""
    if not settings.model.is_dir():
        raise ValueError(f"{settings.model}: no such model folder")
    return sorted(path for path in settings.model.iterdir() if path.is_file())


def build(settings: Settings) -> Callable[[Document], Document | Dropped]:
    """Loads the model. Raises ValueError for a label that it does not know."""
    model = load_domain_model(settings.model)
    unknown = settings.drop - {*model.labels, "unknown"}
    if unknown:
        raise ValueError(f"tag_domain.drop: no such domain {sorted(unknown)}; the model knows {sorted(model.labels)}")

    def tag_domain(document: Document) -> Document | Dropped:
        label, probability = model.tag([(document.url, document.title, document.text)])[0]
        tagged = replace(document, domain=label, domain_score=round(probability, 6))
        if label in settings.drop:
            return Dropped(tagged, "tag_domain", Reason.DOMAIN_NOT_WANTED, detail=label)
        return tagged

    return tag_domain
