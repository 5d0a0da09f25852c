"""score_quality: how much the text reads like a page that Wikipedia cites, as a calibrated probability.

Every document stores its score, which decides its weight. Only documents below `min_score` are dropped, and a share of
them can be kept so that the filter does not exclude a kind of text completely (GPT-3 kept low scorers at random too).
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

NAME = "score_quality"
SIGNALS: tuple[str, ...] = ()  # the score has a column of its own


class ScoreQualitySettings(Settings):
    """The model, and the score below which a document is dropped."""

    model: Path = Field(
        default_folder("quality"), description="folder of a model that `gristmill classify train quality` wrote"
    )
    min_score: float | None = Field(
        None, ge=0, le=1, description="lowest score that is kept; off keeps all: the weights follow the score"
    )
    low_keep_share: float = Field(
        0.0, ge=0, le=1, description="share of the documents below min_score that are kept anyway"
    )


class ScoreQualityReason(StrEnum):
    """Why a document is dropped."""

    LOW_QUALITY = "low_quality"


REASONS = ScoreQualityReason


def files(settings: ScoreQualitySettings) -> list[Path]:
    """The model's files."""
    return model_files(settings.model)


def build(settings: ScoreQualitySettings) -> Callable[[Document], Document | Dropped]:
    """Load the model. Raises ArtifactError if its files are not the ones that its manifest names."""
    model = load_quality_model(settings.model)

    def score_quality(document: Document) -> Document | Dropped:
        score = round(model.score([document.text])[0], 6)
        scored = replace(document, quality_score=score)
        if settings.min_score is None or score >= settings.min_score or _is_kept_by_chance(document.id, settings):
            return scored
        return Dropped(scored, NAME, ScoreQualityReason.LOW_QUALITY, score, settings.min_score)

    return score_quality


def _is_kept_by_chance(document_id: str, settings: ScoreQualitySettings) -> bool:
    """A random choice that depends on the id only (32 uniform hex digits): a repeated run makes the same choice."""
    return int(document_id[:8], 16) < settings.low_keep_share * 16**8
