"""Training of the two-step yes/no models: examples in, a finished artifact folder out, the same bytes every time.

1. fastText on all training rows, quantized. 2. Its out-of-fold answers (folds by registered domain) and the statistics
train the logistic layer: in-sample answers would make it trust fastText blindly. 3. Validation domains, which neither
has seen, calibrate the score and set the threshold. 4. Test domains are only measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.sampling import Example, Split, digest_of_examples, sample_order, unit_hash
from classifiers.estimators.binary_scorer import FASTTEXT, LAYER, YesNoModel, layer_input
from classifiers.estimators.fasttext_model import FastTextModel, train
from classifiers.estimators.features import FEATURE_VERSION, STATISTICS, style_line
from classifiers.estimators.logistic import Array, Logistic, fit_logistic, fit_platt
from classifiers.estimators.metrics import auc, reliability

FOLDS = 4
FASTTEXT_SETTINGS = {"epoch": 8, "lr": 0.2, "wordNgrams": 2, "dim": 32, "bucket": 200_000, "minCount": 3}
CUTOFF = 60_000  # words and n-grams that the quantized model keeps: about 1.5 MB
# What running text has more of than menus and shouting; a small collection must not teach the opposite.
SIGNS = {
    "function_word_share": 1,
    "function_word_kinds": 1,
    "sentence_line_share": 1,
    "words_per_line": 1,
    "upper_share": -1,
    "mark_share": -1,
    "exclamation_share": -1,
}


def train_yes_no(
    name: str, labels: tuple[str, str], examples: Sequence[Example], folder: Path, keep: float, card: str,
    data: tuple[TrainingData, ...], license: str, command: str,
) -> YesNoModel:  # fmt: skip
    """Train, calibrate, measure and write the model; `keep` is the share of validation rows above its threshold."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {split: [example for example in examples if example.split == split] for split in Split}
    for split, rows in parts.items():
        if {example.label for example in rows} != set(labels):
            raise ValueError(
                f"the {split} split holds {len(rows)} rows and not both labels {labels}: give more rows of more domains"
            )
    train_rows = parts[Split.TRAIN]
    fasttext_on(train_rows, folder / FASTTEXT)
    layer = fit_logistic(
        layer_input(_texts(train_rows), out_of_fold(train_rows, labels)), truth_of(train_rows, labels), signs=_signs()
    )
    validation = parts[Split.VALIDATION]
    model = FastTextModel(folder / FASTTEXT, labels)
    log_odds = layer.log_odds(layer_input(_texts(validation), _answers(model, validation)))
    slope, offset = fit_platt(log_odds, truth_of(validation, labels))
    _write_layer(folder, layer, slope, offset)
    manifest = Manifest(
        name=name,
        version=digest_of(folder / FASTTEXT)[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in (FASTTEXT, LAYER)},
        labels={name: labels},
        threshold={name: 0.5},
        calibration={},
        training_data=(
            *data,
            TrainingData(name="all examples", role="as split", rows=len(examples), sha256=digest_of_examples(examples),
                         license=license),
        ),
        metrics={},
        license=license,
        command=command,
    )  # fmt: skip
    save_manifest(folder, manifest, card)
    fitted = YesNoModel(load_artifact(folder, name, FEATURE_VERSION))
    truth = {split: truth_of(rows, labels) for split, rows in parts.items()}
    scores = {split: np.array(fitted.score(_texts(parts[split]))) for split in (Split.VALIDATION, Split.TEST)}
    kept = float(np.quantile(scores[Split.VALIDATION], 1 - keep))
    final = manifest.model_copy(
        update={
            "threshold": {name: round(kept, 4)},
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
    )
    save_manifest(folder, final, card)
    return YesNoModel(load_artifact(folder, name, FEATURE_VERSION))


def truth_of(examples: Sequence[Example], labels: tuple[str, str]) -> Array:
    return np.array([float(example.label == labels[1]) for example in examples])


def fasttext_on(examples: Sequence[Example], path: Path) -> None:
    """fastText sees rows in hash order: it learns most from the last ones, and no class or site may be last."""
    label = {example.row.id: example.label for example in examples}
    rows = sample_order(example.row for example in examples)
    train(((label[row.id], style_line(row.text)) for row in rows), path, cutoff=CUTOFF, **FASTTEXT_SETTINGS)


def out_of_fold(examples: Sequence[Example], labels: tuple[str, str]) -> Array:
    """fastText's P(yes) for every training row from a model that saw nothing of the row's fold."""
    fold = np.array([int(FOLDS * unit_hash("fold", example.group)) for example in examples])
    answers = np.full(len(examples), 0.5)
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / FASTTEXT
        for number in range(FOLDS):
            unseen = np.flatnonzero(fold == number)
            if len(unseen):
                fasttext_on([examples[int(i)] for i in np.flatnonzero(fold != number)], path)
                answers[unseen] = _answers(FastTextModel(path, labels), [examples[int(i)] for i in unseen])
    return answers


def _answers(model: FastTextModel, examples: Sequence[Example]) -> Array:
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
