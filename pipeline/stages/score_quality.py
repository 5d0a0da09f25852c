"""score_quality: how much the text reads like a page that Wikipedia cites, as a calibrated probability.

The score is stored for every document and weighs it; only what is below `min_score` is dropped, and of that a share can
be kept so that the filter never becomes a wall (GPT-3 kept low scorers at random for the same reason).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field

from classifiers.artifacts import default_folder, model_files
from classifiers.quality import load_quality_model
from pipeline.documents import Document, Dropped
from pipeline.settings import Settings

SIGNALS: tuple[str, ...] = ()  # the score has a column of its own


class ScoreQualitySettings(Settings):
    """Which model, and what is too poor to keep."""

    model: Path = Field(
        default_folder("quality"), description="folder of a model that `gristmill classify train quality` wrote"
    )
    min_score: float | None = Field(
        None, ge=0, le=1, description="drop below it; None keeps all and lets weights speak"
    )
    low_keep_share: float = Field(0.0, ge=0, le=1, description="share of the low scorers kept all the same, by id")


class Reason(StrEnum):
    """Why a document is out."""

    LOW_QUALITY = "low_quality"


def files(settings: ScoreQualitySettings) -> list[Path]:
    """The model's files."""
    return model_files(settings.model)


def build(settings: ScoreQualitySettings) -> Callable[[Document], Document | Dropped]:
    """Loads the model. Raises ValueError when its files are not the ones that its manifest names."""
    model = load_quality_model(settings.model)

    def score_quality(document: Document) -> Document | Dropped:
        score = round(model.score([document.text])[0], 6)
        scored = replace(document, quality_score=score)
        if settings.min_score is None or score >= settings.min_score or _spared(document.id, settings.low_keep_share):
            return scored
        return Dropped(scored, "score_quality", Reason.LOW_QUALITY, score, settings.min_score)

    return score_quality


def _spared(document_id: str, share: float) -> bool:
    """A choice that depends on nothing but the id (32 hex digits, uniform)."""
    return int(document_id[:8], 16) < share * 16**8
