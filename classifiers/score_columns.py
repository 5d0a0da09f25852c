"""The columns that each model adds to a batch of rows, for `gristmill classify score`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from classifiers.data.tables import Row, texts_of
from classifiers.domain import Item, load_domain_model
from classifiers.education import load_education_model
from classifiers.harm import load_harm_model
from classifiers.language import load_language_model
from classifiers.quality import load_quality_model

Columns = dict[str, list[Any]]
Scorer = Callable[[list[Row]], Columns]


def load_scorer(model: str, folder: Path | None, file: Path) -> Scorer:
    """The function from rows of `file` to the columns of `model`; without `folder` the shipped model."""
    return _LOADERS[model](folder, file)


def _load_quality(folder: Path | None, file: Path) -> Scorer:
    model = load_quality_model(folder)
    return lambda rows: {"quality_score": model.score(texts_of(rows, file))}


def _load_education(folder: Path | None, file: Path) -> Scorer:
    model = load_education_model(folder)
    return lambda rows: {"education_score": model.score(texts_of(rows, file))}


def _signals_of(rows: list[Row]) -> list[Row]:
    """What the extraction measured, in files that a run wrote."""
    return [{name: value or 0.0 for name, value in (row.get("signals") or {}).items()} for row in rows]


def _load_harm(folder: Path | None, file: Path) -> Scorer:
    model = load_harm_model(folder)
    return lambda rows: {"harm_score": model.score(texts_of(rows, file))}


def _load_language(folder: Path | None, file: Path) -> Scorer:
    model = load_language_model(folder)
    return lambda rows: _pair("language", model.score(texts_of(rows, file)))


def _load_domain(folder: Path | None, file: Path) -> Scorer:
    model = load_domain_model(folder)

    def score(rows: list[Row]) -> Columns:
        heads = [(str(row.get("url") or ""), str(row.get("title") or "")) for row in rows]
        texts = zip(heads, texts_of(rows, file), _signals_of(rows), strict=True)
        items = [Item(*head, text, signals) for head, text, signals in texts]
        return _pair("domain", model.tag(items)) | _pair("kind", model.kind(items))

    return score


def _pair(name: str, answers: list[tuple[str, float]]) -> Columns:
    """Columns `name` and `name_score`."""
    return {name: [label for label, _ in answers], f"{name}_score": [score for _, score in answers]}


_LOADERS: dict[str, Callable[[Path | None, Path], Scorer]] = {
    "quality": _load_quality,
    "education": _load_education,
    "domain": _load_domain,
    "language": _load_language,
    "harm": _load_harm,
}
