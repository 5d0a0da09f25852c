"""score_quality: how much a careful reader would want to keep the text (0 to 1), and what a teacher could use of it (0
to 5).

Every document stores both scores, which decide its weight. Only documents below `min_score` or `min_education` are
dropped, and a share of them can be kept so that the filter does not exclude a kind of text completely (GPT-3 kept low
scorers at random too).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from pydantic import Field, field_validator

from classifiers.artifacts import default_folder, model_files
from classifiers.education import load_education_model
from classifiers.estimators.fasttext_model import FASTTEXT_ENDINGS
from classifiers.quality import load_quality_scorer
from pipeline.documents import Document, Dropped
from pipeline.markdown_signs import without_signs
from pipeline.settings import Settings

NAME = "score_quality"
SIGNALS: tuple[str, ...] = ()  # the score has a column of its own


class ScoreQualitySettings(Settings):
    """The model, and the score below which a document is dropped."""

    model: Path = Field(
        default_folder("quality"),
        description="folder of a model that `gristmill classify train quality` wrote, a fastText file (.bin, .ftz), or"
        " the folder of a Hugging Face sequence classifier (needs transformers and torch)",
    )
    education_model: Path = Field(
        default_folder("education"), description="folder of a model that `gristmill classify train education` wrote"
    )
    page_signals: bool = Field(
        False,
        description="scores read what the learned extraction says of the page (type, expected F1, structures): "
        "a little better, but a text and its mirror may have two scores, and either may survive deduplication",
    )
    label: str | None = Field(
        None, description="label whose probability is the score, of a fastText or Hugging Face model"
    )
    max_tokens: int = Field(512, ge=8, description="tokens of a text that a Hugging Face model reads, from its start")
    output_range: tuple[float, float] = Field(
        (0.0, 1.0),
        description="outputs of a Hugging Face model with one output that are the scores 0 and 1; FineWeb-Edu: [0, 5]",
    )
    min_score: float | None = Field(
        None, ge=0, le=1, description="lowest score that is kept; off keeps all: the weights follow the score"
    )
    min_education: float | None = Field(
        None,
        ge=0,
        le=5,
        description="lowest education score that is kept; FineWeb-Edu keeps 3 and more on its own scale",
    )
    low_keep_share: float = Field(
        0.0, ge=0, le=1, description="share of the documents below min_score or min_education that are kept anyway"
    )

    @field_validator("output_range")
    @classmethod
    def _check_order(cls, output_range: tuple[float, float]) -> tuple[float, float]:
        if output_range[0] >= output_range[1]:
            raise ValueError("the first number must be below the second")
        return output_range


class ScoreQualityReason(StrEnum):
    """Why a document is dropped."""

    LOW_QUALITY = "low_quality"
    LOW_EDUCATION = "low_education"


REASONS = ScoreQualityReason


def files(settings: ScoreQualitySettings) -> list[Path]:
    """The models' files."""
    quality = [settings.model] if settings.model.suffix in FASTTEXT_ENDINGS else model_files(settings.model)
    return sorted([*quality, *model_files(settings.education_model)])


def build(settings: ScoreQualitySettings) -> Callable[[Document], Document | Dropped]:
    """Load the models. Raises UserError if one is of no known kind, or its files are not those of its manifest."""
    model = load_quality_scorer(settings.model, settings.label, settings.max_tokens, settings.output_range)

    education_model = load_education_model(settings.education_model)

    def score_quality(document: Document) -> Document | Dropped:
        texts, signals = [without_signs(document.text)], [document.signals] if settings.page_signals else ()
        quality, education = round(model.score(texts, signals)[0], 6), education_model.score(texts, signals)[0]
        scored = replace(document, quality_score=quality, education_score=education)
        if _is_kept_by_chance(document.id, settings):
            return scored
        if settings.min_score is not None and quality < settings.min_score:
            return Dropped(scored, NAME, ScoreQualityReason.LOW_QUALITY, quality, settings.min_score)
        if settings.min_education is not None and education < settings.min_education:
            return Dropped(scored, NAME, ScoreQualityReason.LOW_EDUCATION, education, settings.min_education)
        return scored

    return score_quality


def _is_kept_by_chance(document_id: str, settings: ScoreQualitySettings) -> bool:
    """A random choice that depends on the id only (32 uniform hex digits): a repeated run makes the same choice."""
    return int(document_id[:8], 16) < settings.low_keep_share * 16**8
