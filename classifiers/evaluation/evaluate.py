"""Metrics for the report and the gate: each model on test pages of domains that are not in its training data."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from classifiers.data import source_pages
from classifiers.data.cited_urls import Match
from classifiers.data.sampling import Example, Split, digest_of_examples, sample_order, split_of
from classifiers.domain import HEADS, UNKNOWN, DomainModel
from classifiers.estimators.binary_scorer import BinaryScorer
from classifiers.estimators.features import STATISTICS, statistics
from classifiers.estimators.function_words import ENGLISH
from classifiers.estimators.metrics import (
    auc,
    auc_interval,
    calibration_error,
    confusion,
    f1_by_label,
    length_bins,
    reliability,
)
from classifiers.harm import HARM_LABELS, HarmModel
from classifiers.language import load_language_model
from classifiers.training.recipe_domain import DOMAIN_LABELS, read_labels
from classifiers.training.recipe_harm import read_harm_rows, shares_above
from classifiers.training.recipe_quality import QUALITY_LABELS, quality_examples
from classifiers.training.train_domain import measure

LENGTH_EDGES = (500, 1_000, 2_000, 4_000, 8_000)


def stop_word_share(text: str) -> float:
    """Share of the words that are English stop words: a baseline."""
    words = text.lower().split()
    return sum(word.strip(".,;:!?\"'()") in ENGLISH for word in words) / max(len(words), 1)


def gopher_pass(text: str) -> float:
    """1 where a text passes Gopher's quality rules (words 50-100,000, mean length 3-10, symbols, bullets, ellipses,
    letters, two of eight stop words), 0 otherwise: a baseline."""
    words = [word for word in text.split() if any(map(str.isalnum, word))]
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [""]
    count = max(len(words), 1)
    stops = {word.lower().strip(".,;:!?\"'()") for word in words}
    return float(
        50 <= len(words) <= 100_000
        and 3 <= sum(map(len, words)) / count <= 10
        and text.count("#") / count <= 0.1
        and (text.count("...") + text.count("…")) / count <= 0.1
        and sum(line.startswith(("•", "-")) for line in lines) / len(lines) <= 0.9
        and sum(line.endswith(("...", "…")) for line in lines) / len(lines) <= 0.3
        and sum(any(map(str.isalpha, word)) for word in text.split()) / max(len(text.split()), 1) >= 0.8
        and len(stops & {"the", "be", "to", "of", "and", "that", "have", "with"}) >= 2
    )


BASELINES: dict[str, Callable[[str], float]] = {
    "text length": lambda text: float(len(text)),
    "English stop words": stop_word_share,
    "Gopher pass": gopher_pass,
    "function words of 17 languages": lambda text: float(statistics(text)[STATISTICS.index("function_word_share")]),
}


def human_agreement(data: Path) -> tuple[list[str], list[int]]:
    """Texts and human judgments (1 good) of the DCLM agreement set."""
    rows = [json.loads(line) for line in source_pages.lines_of(data / "quality" / "dclm_human_agreement.jsonl.gz")]
    return [row["text"] for row in rows], [int(row["label"]) for row in rows]


def _auc_row(truth: Sequence[int], scores: Sequence[float]) -> dict[str, Any]:
    low, high = auc_interval(truth, scores)
    return {"auc": _number(auc(truth, scores)), "low": _number(low), "high": _number(high), "rows": len(truth)}


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 4)


def _groups(names: Sequence[str], truth: Sequence[int], scores: Sequence[float], least: int = 10) -> dict[str, Any]:
    found = {}
    for name, count in sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])):
        chosen = [i for i, other in enumerate(names) if other == name]
        labels = [truth[i] for i in chosen]
        if count >= least and min(sum(labels), count - sum(labels)) >= least // 2:
            found[name] = _auc_row(labels, [scores[i] for i in chosen])
    return found


def evaluate_quality(model: BinaryScorer, examples: Sequence[Example], data: Path) -> dict[str, Any]:
    """AUC (overall, by length, language and source), calibration, baselines, human agreement, and example pages."""
    tested = [example for example in examples if example.split != Split.TRAIN]
    only_test = [example for example in examples if example.split == Split.TEST]
    texts = [example.row.text for example in tested]
    truth = [int(example.label == QUALITY_LABELS[1]) for example in tested]
    scores = model.score(texts)
    language = load_language_model()
    test = [i for i, example in enumerate(tested) if example.split == Split.TEST]
    human_texts, human_truth = human_agreement(data)
    human_scores = model.score(human_texts)
    lengths = [len(text) for text in texts]
    names = np.array([""] * len(texts), dtype=object)
    bins = length_bins(lengths, LENGTH_EDGES)
    for name, mask in bins:
        names[mask] = name
    by_length = _groups(list(names), truth, scores)
    return {
        "test_digest": digest_of_examples(only_test),
        "test": _auc_row([truth[i] for i in test], [scores[i] for i in test]),
        "test_and_validation": _auc_row(truth, scores),
        "calibration": reliability([truth[i] for i in test], [scores[i] for i in test]),
        "calibration_error": round(calibration_error([truth[i] for i in test], [scores[i] for i in test]), 4),
        "baselines": {name: _auc_row(truth, [rule(text) for text in texts]) for name, rule in BASELINES.items()},
        "by_length": {name: by_length[name] for name, _ in bins if name in by_length},
        "by_language": _groups([language.identify(text)[0] for text in texts], truth, scores),
        "by_source": _groups([example.row.source for example in tested], truth, scores),
        "human": _auc_row(human_truth, human_scores),
        "human_baselines": {
            name: _auc_row(human_truth, [rule(text) for text in human_texts]) for name, rule in BASELINES.items()
        },
        "score_by_length": _mean_by_length(lengths, scores),
        "pages": _choose_pages(tested, scores),
    }


def _mean_by_length(lengths: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
    values = np.array(scores)
    return {
        name: round(float(values[mask].mean()), 3) for name, mask in length_bins(lengths, LENGTH_EDGES) if mask.any()
    }


def _choose_pages(examples: Sequence[Example], scores: Sequence[float], count: int = 12) -> dict[str, list[Any]]:
    """Pages with the highest, middle and lowest scores, for the report."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], examples[i].row.id))
    middle = len(order) // 2 - count // 2
    parts = {"top": order[:count], "middle": order[middle : middle + count], "bottom": order[-count:]}
    return {
        name: [
            [round(scores[i], 3), examples[i].label, examples[i].row.url, examples[i].row.text[:200]] for i in chosen
        ]
        for name, chosen in parts.items()
    }


def evaluate_domain(model: DomainModel, data: Path, work: Path) -> dict[str, Any]:
    """Macro-F1, F1 by label and the confusion matrix of both heads on hand-labeled pages of unseen domains."""
    labels = read_labels()
    pages = [row for row in sample_order(source_pages.pages(data, work)) if row.id in labels and len(row.text) >= 200]
    test = [row for row in pages if split_of(row.registered_domain) == Split.TEST]
    result: dict[str, Any] = {
        "test_digest": sha256("".join(f"{r.id}\t{sorted(labels[r.id].items())}\n" for r in test).encode()).hexdigest(),
        "test": measure(model, test, labels),
    }
    for head in HEADS:
        chosen = [row for row in test if head in labels[row.id]]
        truth = [labels[row.id][head] for row in chosen]
        items = [(row.url, row.title, row.text) for row in chosen]
        answers = [label for label, _ in (model.tag(items) if head == "topic" else model.kind(items))]
        names = (*DOMAIN_LABELS[head], UNKNOWN)
        table = confusion(truth, answers, names)
        forced = [DOMAIN_LABELS[head][i] for i in model.probabilities(head, items).argmax(axis=1)]
        f1 = f1_by_label(confusion(truth, forced, DOMAIN_LABELS[head]))
        result[head] = {
            "labels": names,
            "confusion": table.tolist(),
            "f1": {name: _number(float(value)) for name, value in zip(DOMAIN_LABELS[head], f1, strict=True)},
            "most_common_label": round(Counter(truth).most_common(1)[0][1] / len(truth), 4),
        }
    return result


def evaluate_harm(model: HarmModel, data: Path, work: Path) -> dict[str, Any]:
    """AUC on unseen rows, and the share above the threshold by source and on the SENSITIVE pages."""
    rows = [row for row in read_harm_rows(data, work) if row.split == Split.TEST]
    scores = model.score([row.text for row in rows])
    truth = [row.label == HARM_LABELS[1] for row in rows]
    above = shares_above(rows, scores, model.threshold)
    digest = sha256("".join(f"{row.id}\t{row.label}\n" for row in rows).encode()).hexdigest()
    return {
        "test_digest": digest,
        "test": {"auc": round(auc(truth, scores), 4), "rows": len(rows)},
        "above": {group: {"rows": count, "above_threshold": share} for group, (count, share) in above.items()},
        "spared": {group: round(1 - share, 4) for group, (_, share) in above.items() if group.startswith("web pages")},
    }


@dataclass(frozen=True)
class Models:
    """The models of one report."""

    quality: BinaryScorer
    domain: DomainModel
    harm: HarmModel


def evaluate_all(models: Models, data: Path, work: Path) -> dict[str, Any]:
    """All figures of the report."""
    return {
        "quality": evaluate_quality(models.quality, quality_examples(data, work, Match.HOST), data),
        "domain": evaluate_domain(models.domain, data, work),
        "harm": evaluate_harm(models.harm, data, work),
    }
