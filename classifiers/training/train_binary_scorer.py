"""Train a binary scorer (two steps: fastText, then a logistic layer) and write its folder; deterministic.

1. fastText is trained on all training rows and quantized.
2. The logistic layer is trained on the statistics and on fastText's out-of-fold predictions (folds by registered
   domain); in-sample predictions are too good and would get too large a weight.
3. The score is calibrated and its threshold set on validation domains, which neither step was trained on.
4. Test domains are only used to measure the model.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.sampling import Example, Split, digest_of_examples, sample_order, unit_hash
from classifiers.errors import UserError
from classifiers.estimators.binary_scorer import FASTTEXT, LAYER, BinaryScorer, layer_input
from classifiers.estimators.fasttext_model import FastTextModel, train
from classifiers.estimators.features import FEATURE_VERSION, STATISTICS, style_line
from classifiers.estimators.logistic import Array, Logistic, fit_logistic, fit_platt
from classifiers.estimators.metrics import auc, reliability

FOLDS = 4
FASTTEXT_SETTINGS = {"epoch": 8, "lr": 0.2, "wordNgrams": 2, "dim": 32, "bucket": 200_000, "minCount": 3}
CUTOFF = 60_000  # words and n-grams that the quantized model keeps: about 1.5 MB
# Signs of the weights: running text has more (1) or less (-1) of this than menus, which little data must not reverse.
SIGNS = {
    "function_word_share": 1,
    "function_word_kinds": 1,
    "sentence_line_share": 1,
    "words_per_line": 1,
    "upper_share": -1,
    "mark_share": -1,
    "exclamation_share": -1,
}


Parts = Mapping[Split, Sequence[Example]]


@dataclass(frozen=True, slots=True)
class Description:
    """The content of the manifest and the model card that is not measured."""

    name: str
    labels: tuple[str, str]  # no, yes
    card: str
    sources: tuple[TrainingData, ...]
    license: str
    command: str


def train_binary_scorer(examples: Sequence[Example], about: Description, folder: Path, keep: float) -> BinaryScorer:
    """Train, calibrate, measure and write the model; `keep` is the share of validation rows above its threshold."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = _split(examples, about.labels)
    _fit(parts, about.labels, folder)
    draft = _manifest(examples, about, folder)
    save_manifest(folder, draft, about.card)
    fitted = BinaryScorer(load_artifact(folder, about.name, FEATURE_VERSION))
    save_manifest(folder, draft.model_copy(update=_measure(fitted, parts, about, keep)), about.card)
    return BinaryScorer(load_artifact(folder, about.name, FEATURE_VERSION))


def _split(examples: Sequence[Example], labels: tuple[str, str]) -> Parts:
    parts = {split: [example for example in examples if example.split == split] for split in Split}
    for split, rows in parts.items():
        if {example.label for example in rows} != set(labels):
            raise UserError(
                f"the {split} split holds {len(rows)} rows and not both labels {labels}: give more rows of more domains"
            )
    return parts


def _fit(parts: Parts, labels: tuple[str, str], folder: Path) -> None:
    """fastText and the logistic layer on the training rows, Platt's two numbers on the validation rows."""
    training, validation = parts[Split.TRAIN], parts[Split.VALIDATION]
    train_fasttext(training, folder / FASTTEXT)
    table = layer_input(_texts(training), predict_out_of_fold(training, labels))
    layer = fit_logistic(table, truth_of(training, labels), signs=_signs())
    answers = _predict(FastTextModel(folder / FASTTEXT, labels), validation)
    log_odds = layer.log_odds(layer_input(_texts(validation), answers))
    slope, offset = fit_platt(log_odds, truth_of(validation, labels))
    _write_layer(folder, layer, slope, offset)


def _manifest(examples: Sequence[Example], about: Description, folder: Path) -> Manifest:
    everything = TrainingData(
        name="all examples",
        role="as split",
        rows=len(examples),
        sha256=digest_of_examples(examples),
        license=about.license,
    )
    return Manifest(
        name=about.name,
        version=digest_of(folder / FASTTEXT)[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in (FASTTEXT, LAYER)},
        labels={about.name: about.labels},
        threshold={about.name: 0.5},
        calibration={},
        training_data=(*about.sources, everything),
        metrics={},
        license=about.license,
        command=about.command,
    )


def _measure(fitted: BinaryScorer, parts: Parts, about: Description, keep: float) -> dict[str, Any]:
    """Threshold, calibration and metrics, for the manifest."""
    truth = {split: truth_of(rows, about.labels) for split, rows in parts.items()}
    scores = {split: np.array(fitted.score(_texts(parts[split]))) for split in (Split.VALIDATION, Split.TEST)}
    threshold = float(np.quantile(scores[Split.VALIDATION], 1 - keep))
    return {
        "threshold": {about.name: round(threshold, 4)},
        "calibration": {
            "method": "Platt on unseen validation domains, balanced classes",
            "threshold_keeps": keep,
            "validation": reliability(truth[Split.VALIDATION], scores[Split.VALIDATION]),
            "test": reliability(truth[Split.TEST], scores[Split.TEST]),
        },
        "metrics": {
            "validation_auc": round(auc(truth[Split.VALIDATION], scores[Split.VALIDATION]), 4),
            "test_auc": round(auc(truth[Split.TEST], scores[Split.TEST]), 4),
        },
    }


def truth_of(examples: Sequence[Example], labels: tuple[str, str]) -> Array:
    return np.array([float(example.label == labels[1]) for example in examples])


def train_fasttext(examples: Sequence[Example], path: Path) -> None:
    """Train on rows in hash order: the last rows influence fastText most, and must not be of one class or site."""
    label = {example.row.id: example.label for example in examples}
    rows = sample_order(example.row for example in examples)
    train(((label[row.id], style_line(row.text)) for row in rows), path, cutoff=CUTOFF, **FASTTEXT_SETTINGS)


def predict_out_of_fold(examples: Sequence[Example], labels: tuple[str, str]) -> Array:
    """fastText's P(yes) for every training row from a model that saw nothing of the row's fold."""
    fold = np.array([int(FOLDS * unit_hash("fold", example.group)) for example in examples])
    answers = np.full(len(examples), 0.5)
    with TemporaryDirectory() as folder:
        path = Path(folder) / FASTTEXT
        for number in range(FOLDS):
            unseen = np.flatnonzero(fold == number)
            if len(unseen):
                train_fasttext([examples[int(i)] for i in np.flatnonzero(fold != number)], path)
                answers[unseen] = _predict(FastTextModel(path, labels), [examples[int(i)] for i in unseen])
    return answers


def _predict(model: FastTextModel, examples: Sequence[Example]) -> Array:
    return model.probabilities([style_line(example.row.text) for example in examples])[:, 1]


def _texts(examples: Sequence[Example]) -> list[str]:
    return [example.row.text for example in examples]


def _signs() -> list[int]:
    return [*(SIGNS.get(name, 0) for name in STATISTICS), 1]


def _write_layer(folder: Path, layer: Logistic, slope: float, offset: float) -> None:
    content = {
        "columns": [*STATISTICS, "fasttext_log_odds"],
        "mean": layer.mean,
        "scale": layer.scale,
        "weights": layer.weights,
        "bias": layer.bias,
        "slope": slope,
        "offset": offset,
    }
    (folder / LAYER).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
