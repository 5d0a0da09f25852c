"""How likely a text is harmful or for adults: a calibrated probability, for what lists of hosts and words miss."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from classifiers.artefacts import default_folder, load_artefact
from classifiers.features import FEATURE_VERSION
from classifiers.scorer import YesNoModel

NAME = "harm"


@cache
def _load(folder: Path) -> YesNoModel:
    return YesNoModel(load_artefact(folder, NAME, FEATURE_VERSION))


def load_harm_model(folder: Path | None = None) -> YesNoModel:
    """The shipped model or the one in `folder`, verified; loaded once per process. `model.score(texts)`."""
    return _load(folder or default_folder(NAME))
