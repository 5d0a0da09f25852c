"""Train the harm model: one linear model; its calibration and threshold are computed on validation rows."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.sampling import Split
from classifiers.estimators.features import FEATURE_VERSION, topic_words
from classifiers.estimators.linear import Row, train_linear
from classifiers.estimators.logistic import Array, fit_platt, log_odds_of
from classifiers.estimators.metrics import auc, reliability
from classifiers.estimators.word_counts import sum_parts
from classifiers.harm import HARM_LABELS, NAME, HarmModel
from classifiers.training.recipe_harm import HarmRow, shares_above

FALSE_POSITIVES = 0.005  # highest share of the validation domains' web pages above the threshold
WORDS, WEIGHTS = "words.txt", "weights.npy"


def train_harm(rows: Sequence[HarmRow], folder: Path, card: str, command: str) -> HarmModel:
    """Train, calibrate, set the threshold, measure on test rows, and write the model."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {split: [row for row in rows if row.split == split] for split in Split}
    slope, offset = _fit(parts[Split.TRAIN], parts[Split.VALIDATION], folder)
    draft = _manifest(rows, folder, {"slope": slope, "offset": offset}, command)
    save_manifest(folder, draft, card)
    fitted = HarmModel(load_artifact(folder, NAME, FEATURE_VERSION))
    threshold = _choose_threshold(fitted, parts[Split.VALIDATION])
    final = draft.model_copy(update=_measure(fitted, parts[Split.TEST], threshold, draft.calibration))
    save_manifest(folder, final, card)
    return HarmModel(load_artifact(folder, NAME, FEATURE_VERSION))


def _fit(training: Sequence[HarmRow], validation: Sequence[HarmRow], folder: Path) -> tuple[float, float]:
    """Writes the linear model; returns Platt's slope and offset."""
    model = train_linear([Row(row.label, sum_parts(topic_words(row.text))) for row in training], HARM_LABELS)
    model.save(folder / WORDS, folder / WEIGHTS)
    log_odds = log_odds_of(model.probabilities([topic_words(row.text) for row in validation])[:, 1])
    return fit_platt(log_odds, _truth(validation))


def _truth(rows: Sequence[HarmRow]) -> Array:
    return np.array([float(row.label == HARM_LABELS[1]) for row in rows])


def _manifest(rows: Sequence[HarmRow], folder: Path, platt: dict[str, float], command: str) -> Manifest:
    everything = TrainingData(
        name="HH-RLHF harmless dev, LDNOOBW, Open-Assistant, web pages",
        role="as split",
        rows=len(rows),
        sha256=sha256("".join(f"{row.id}\t{row.label}\t{row.split}\n" for row in rows).encode()).hexdigest(),
        license="MIT, CC BY 4.0, Apache-2.0, not shipped",
    )
    return Manifest(
        name=NAME,
        version=digest_of(folder / WEIGHTS)[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in (WORDS, WEIGHTS)},
        labels={NAME: HARM_LABELS},
        threshold={NAME: 1.0},
        calibration={"method": "Platt on validation rows, balanced classes", **platt},
        training_data=(everything,),
        metrics={},
        license="Apache-2.0 (weights); made from the data above",
        command=command,
    )


def _choose_threshold(fitted: HarmModel, validation: Sequence[HarmRow]) -> float:
    scores = fitted.score([row.text for row in validation if row.source == "web pages"])
    return round(max(0.5, float(np.quantile(scores, 1 - FALSE_POSITIVES))), 4)


def _measure(
    fitted: HarmModel, test: Sequence[HarmRow], threshold: float, calibration: dict[str, Any]
) -> dict[str, Any]:
    """Threshold, calibration and metrics, for the manifest."""
    scores = fitted.score([row.text for row in test])
    above = shares_above(test, scores, threshold)
    truth = _truth(test) == 1
    return {
        "threshold": {NAME: threshold},
        "calibration": calibration | {"test": reliability(truth, scores)},
        "metrics": {"test_auc": round(auc(truth, scores), 4)}
        | {f"above_threshold, {group}": share for group, (_, share) in above.items()}
        | {f"rows, {group}": float(count) for group, (count, _) in above.items()},
    }
