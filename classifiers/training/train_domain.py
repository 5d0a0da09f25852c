"""Train the domain model: two linear heads, calibrated on out-of-fold predictions (folds by registered domain)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import unit_hash
from classifiers.domain import HEADS, NAME, UNKNOWN, DomainModel
from classifiers.estimators.features import FEATURE_VERSION
from classifiers.estimators.linear import LinearModel, train_linear
from classifiers.estimators.logistic import Array, fit_temperature, with_temperature
from classifiers.estimators.metrics import confusion, macro_f1, reliability
from classifiers.training.recipe_domain import DOMAIN_LABELS, DomainData, read_rows

FOLDS = 4
TARGET_PRECISION = 0.75  # of the answers above the threshold; the others become `unknown`


def train_domain(data: DomainData, folder: Path, card: str, command: str) -> DomainModel:
    """Train, calibrate, measure and write the model."""
    folder.mkdir(parents=True, exist_ok=True)
    calibration: dict[str, Any] = {}
    for head in HEADS:
        model = train_linear(read_rows(data.read, data.labels, head) + data.train[head], DOMAIN_LABELS[head])
        model.save(folder / f"{head}.words.txt", folder / f"{head}.weights.npy")
        calibration[head] = _calibrate(data, head)
    calibration["method"] = "one exponent per head, fitted on pages of domains that each of the folds had not seen"
    calibration["witnesses"] = {" / ".join(key): asdict(trust) for key, trust in data.trust.items()}
    calibration["conflicts"] = dict(data.conflicts)
    files = [f"{head}.{part}" for head in HEADS for part in ("words.txt", "weights.npy")]
    manifest = Manifest(
        name=NAME,
        version=sha256("".join(digest_of(folder / file) for file in files).encode()).hexdigest()[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in files},
        labels=dict(DOMAIN_LABELS),
        threshold={head: calibration[head]["threshold"] for head in HEADS},
        calibration=calibration,
        training_data=training_data(data),
        metrics={},
        license="Apache-2.0 (weights); made from the data below",
        command=command,
    )
    save_manifest(folder, manifest, card)
    metrics = measure(DomainModel(load_artifact(folder, NAME, FEATURE_VERSION)), data.test, data.labels)
    save_manifest(folder, manifest.model_copy(update={"metrics": metrics}), card)
    return DomainModel(load_artifact(folder, NAME, FEATURE_VERSION))


def _calibrate(data: DomainData, head: str) -> dict[str, Any]:
    pages = [page for page in data.read if head in data.labels[page.id]]
    truth = np.array([DOMAIN_LABELS[head].index(data.labels[page.id][head]) for page in pages])
    answers = _out_of_fold(data, head, pages)
    exponent = fit_temperature(answers, truth)
    scaled = with_temperature(answers, exponent)
    best, right = scaled.max(axis=1), scaled.argmax(axis=1) == truth
    return {
        "exponent": exponent,
        "threshold": threshold_for(best, right, TARGET_PRECISION),
        "precision_at_threshold": TARGET_PRECISION,
        "reliability": reliability(right, best),
    }


def threshold_for(best: Array, right: Array, precision: float) -> float:
    """The lowest score above which the share of right answers reaches `precision`; 1 where it never does."""
    order = np.argsort(-best, kind="stable")
    shares = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(shares >= precision)
    return round(float(best[order[enough[-1]]]), 4) if len(enough) else 1.0


def _out_of_fold(data: DomainData, head: str, pages: Sequence[TextRow]) -> Array:
    fold = np.array([int(FOLDS * unit_hash("fold", page.registered_domain)) for page in pages])
    answers = np.zeros((len(pages), len(DOMAIN_LABELS[head])))
    for number in range(FOLDS):
        inside = [page for page, place in zip(pages, fold, strict=True) if place != number]
        outside = np.flatnonzero(fold == number)
        model: LinearModel = train_linear(read_rows(inside, data.labels, head) + data.train[head], DOMAIN_LABELS[head])
        answers[outside] = model.probabilities([HEADS[head](pages[int(i)].title, pages[int(i)].text) for i in outside])
    return answers


def measure(model: DomainModel, pages: Sequence[TextRow], labels: Any) -> dict[str, float]:
    """Accuracy and macro-F1 of all predictions; share and precision of the predictions above the threshold."""
    found: dict[str, float] = {}
    for head in HEADS:
        chosen = [page for page in pages if head in labels[page.id]]
        truth = [labels[page.id][head] for page in chosen]
        items = [(page.url, page.title, page.text) for page in chosen]
        forced = [DOMAIN_LABELS[head][i] for i in model.probabilities(head, items).argmax(axis=1)]
        answers = [label for label, _ in (model.tag(items) if head == "topic" else model.kind(items))]
        right = [a == t for a, t in zip(answers, truth, strict=True) if a != UNKNOWN]
        found |= {
            f"{head}_rows": len(chosen),
            f"{head}_accuracy": round(float(np.mean([f == t for f, t in zip(forced, truth, strict=True)])), 4),
            f"{head}_macro_f1": round(macro_f1(confusion(truth, forced, DOMAIN_LABELS[head])), 4),
            f"{head}_answered": round(len(right) / max(len(chosen), 1), 4),
            f"{head}_precision_of_answers": round(float(np.mean(right)), 4) if right else 0.0,
        }
    return found


def training_data(data: DomainData) -> tuple[TrainingData, ...]:
    """The data sets, for the manifest."""
    ids = sha256("".join(f"{page.id}\n" for page in data.read).encode()).hexdigest()
    test = sha256("".join(f"{page.id}\n" for page in data.test).encode()).hexdigest()
    rows = sha256("".join(f"{row.label}\t{row.line}\n" for h in HEADS for row in data.train[h]).encode()).hexdigest()
    return (
        TrainingData(name="pages labeled by reading", role="training", rows=len(data.read), sha256=ids,
                     license="labels Apache-2.0; pages belong to their publishers and are not shipped"),
        TrainingData(name="pages labeled by reading, unseen domains", role="test", rows=len(data.test), sha256=test,
                     license="labels Apache-2.0; pages belong to their publishers and are not shipped"),
        TrainingData(name="topic words, Wikipedia articles, public tables of web sites, weakly labeled pages",
                     role="training", rows=sum(map(len, data.train.values())), sha256=rows,
                     license="Apache-2.0, CC BY-SA, none stated, UT1 CC BY-SA 4.0"),
    )  # fmt: skip
