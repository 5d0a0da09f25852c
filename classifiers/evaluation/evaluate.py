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
from numpy.typing import NDArray

from classifiers.data import source_pages
from classifiers.data.cited_urls import Match
from classifiers.data.page_labels import DOMAIN_LABELS, HIGHEST, read_page_labels
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import Split, sample_order
from classifiers.data.source_pages import Sources
from classifiers.domain import HEADS, DomainModel
from classifiers.domain_labels import UNKNOWN
from classifiers.education import EducationModel
from classifiers.estimators.features import STATISTICS, statistics
from classifiers.estimators.function_words import ENGLISH
from classifiers.estimators.logistic import Array
from classifiers.estimators.metrics import (
    auc,
    auc_interval,
    bootstrap_interval,
    confusion,
    f1_by_label,
    length_bins,
    reliability,
    spearman,
)
from classifiers.estimators.page_scorer import PageScorer, has_signals
from classifiers.harm import HARM_LABELS, HarmModel
from classifiers.language import load_language_model
from classifiers.training.recipe_domain import MIN_CHARACTERS, item_of
from classifiers.training.recipe_harm import read_harm_rows, shares_above
from classifiers.training.recipe_quality import QUALITY_LABELS, quality_examples, read_targets
from classifiers.training.train_domain import answer_all, measure
from classifiers.training.train_page_scorer import Target

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


MEASURED_AGAINST = ("text length", "English stop words")


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


def evaluate_quality(model: PageScorer, sources: Sources) -> dict[str, Any]:
    """AUC on pages of test domains by what readers said (overall, by length, language, kind and collection),
    calibration, baselines, human agreement, cited or not, and example pages."""
    tested = [target for target in read_targets(sources, "quality") if target.split == Split.TEST]
    texts = [target.row.text for target in tested]
    scores = model.score(texts, [target.row.signals for target in tested])
    keep = [int(target.value == 1) for target in tested]
    usable = [int(target.value > 0) for target in tested]
    labels, language = read_page_labels(), load_language_model()
    lengths = [len(text) for text in texts]
    names = np.array([""] * len(texts), dtype=object)
    bins = length_bins(lengths, LENGTH_EDGES)
    for name, mask in bins:
        names[mask] = name
    by_length = _groups(list(names), keep, scores)
    human_texts, human_truth = human_agreement(sources.data)
    baselines = {name: [rule(text) for text in texts] for name, rule in BASELINES.items()}
    return {
        "test_digest": _digest(tested),
        "keep": _auc_row(keep, scores),
        "usable": _auc_row(usable, scores),
        "text_alone": _auc_row(keep, model.score(texts)),
        "baselines": {name: _auc_row(keep, values) for name, values in baselines.items()},
        "baselines_usable": {name: _auc_row(usable, values) for name, values in baselines.items()},
        "margin": round(auc(keep, scores) - max(auc(keep, baselines[name]) for name in MEASURED_AGAINST), 4),
        "calibration": reliability([target.value for target in tested], scores),
        "bias": _bias_of_layers(tested, model),
        "by_length": {name: by_length[name] for name, _ in bins if name in by_length},
        "by_language": _groups([language.identify(text)[0] for text in texts], keep, scores),
        "by_kind": _groups([labels[target.row.id].domains.get("kind", "none") for target in tested], keep, scores),
        "by_source": _groups([target.row.source for target in tested], keep, scores),
        "cited": _evaluate_cited(model, sources),
        "human": _auc_row(human_truth, model.score(human_texts)),
        "human_baselines": {
            name: _auc_row(human_truth, [rule(text) for text in human_texts]) for name, rule in BASELINES.items()
        },
        "score_by_length": _mean_by_length(lengths, scores),
        "pages": _choose_pages(tested, scores),
    }


def evaluate_education(model: EducationModel, sources: Sources) -> dict[str, Any]:
    """Spearman's correlation with the labels of test domains, with an interval; that of text alone and baselines."""
    tested = [target for target in read_targets(sources, "education") if target.split == Split.TEST]
    texts = [target.row.text for target in tested]
    truth = [target.value * HIGHEST["education"] for target in tested]
    scores = model.score(texts, [target.row.signals for target in tested])
    low, high = bootstrap_interval(spearman, truth, scores)
    found, rounded = np.array(scores), np.round(truth)
    means = {f"{label:.0f}": round(float(found[rounded == label].mean()), 2) for label in np.unique(rounded)}
    return {
        "test_digest": _digest(tested),
        "spearman": {"value": round(spearman(truth, scores), 4), "low": round(low, 4), "high": round(high, 4)},
        "rows": len(tested),
        "text_alone": round(spearman(truth, model.score(texts)), 4),
        "baselines": {name: round(spearman(truth, [rule(t) for t in texts]), 4) for name, rule in BASELINES.items()},
        "mean_score_by_label": means,
        "bias": _bias_of_layers(tested, model, HIGHEST["education"]),
    }


def _bias_of_layers(tested: Sequence[Target], model: PageScorer | EducationModel, highest: int = 1) -> dict[str, Any]:
    """Layer -> group of pages (by length, by kind) -> rows, and by how much the mean score is above the mean label.

    Both layers on the pages that have signals, so that they can be compared. Labels and scores run from 0 to `highest`.
    """
    pages = [target for target in tested if has_signals(target.row.signals)]
    texts, truth = [page.row.text for page in pages], np.array([page.value * highest for page in pages])
    labels = read_page_labels()
    kinds = np.array([labels[page.row.id].domains.get("kind", "none") for page in pages], dtype=object)
    groups = {"length": length_bins(list(map(len, texts)), LENGTH_EDGES)}
    groups["kind"] = [(kind, kinds == kind) for kind in sorted(set(kinds))]
    scores = {"text": model.score(texts), "page": model.score(texts, [page.row.signals for page in pages])}
    return {
        layer: {group: bias_by_group(parts, truth, np.array(found)) for group, parts in groups.items()}
        for layer, found in scores.items()
    }


def bias_by_group(
    parts: Sequence[tuple[str, NDArray[np.bool_]]], truth: Array, scores: Array, least: int = 20
) -> dict[str, dict[str, float]]:
    """Name of a part -> rows, and the mean score minus the mean label; parts with less than `least` are left out."""
    return {
        name: {"rows": int(mask.sum()), "bias": round(float((scores[mask] - truth[mask]).mean()), 3)}
        for name, mask in parts
        if mask.sum() >= least
    }


def _digest(targets: Sequence[Target]) -> str:
    return sha256("".join(f"{target.row.id}\t{target.value}\n" for target in targets).encode()).hexdigest()


def _evaluate_cited(model: PageScorer, sources: Sources) -> dict[str, Any]:
    """Cited against uncited pages of test domains, of the same lengths."""
    tested = [example for example in quality_examples(sources, Match.HOST) if example.split == Split.TEST]
    truth = [int(example.label == QUALITY_LABELS[1]) for example in tested]
    scores = model.score([example.row.text for example in tested], [example.row.signals for example in tested])
    rules = {name: [rule(example.row.text) for example in tested] for name, rule in BASELINES.items()}
    return {"model": _auc_row(truth, scores)} | {name: _auc_row(truth, values) for name, values in rules.items()}


def _mean_by_length(lengths: Sequence[int], scores: Sequence[float]) -> dict[str, float]:
    values = np.array(scores)
    return {
        name: round(float(values[mask].mean()), 3) for name, mask in length_bins(lengths, LENGTH_EDGES) if mask.any()
    }


def _choose_pages(targets: Sequence[Target], scores: Sequence[float], count: int = 12) -> dict[str, list[Any]]:
    """Pages with the highest, middle and lowest scores, for the report."""
    order = sorted(range(len(scores)), key=lambda i: (-scores[i], targets[i].row.id))
    middle = len(order) // 2 - count // 2
    parts = {"top": order[:count], "middle": order[middle : middle + count], "bottom": order[-count:]}
    return {
        name: [
            [round(scores[i], 3), round(2 * targets[i].value), targets[i].row.url, targets[i].row.text[:200]]
            for i in chosen
        ]
        for name, chosen in parts.items()
    }


def evaluate_domain(model: DomainModel, sources: Sources) -> dict[str, Any]:
    """Macro-F1, F1 by label and the confusion matrix of both heads on hand-labeled pages of unseen domains."""
    labels = read_page_labels()
    pages = [row for row in sample_order(sources.pages()) if row.id in labels and len(row.text) >= MIN_CHARACTERS]
    test = [row for row in pages if labels[row.id].split == Split.TEST]
    result: dict[str, Any] = {
        "test_digest": sha256(
            "".join(f"{r.id}\t{sorted(labels[r.id].domains.items())}\n" for r in test).encode()
        ).hexdigest(),
        "test": measure(model, test, labels),
    }
    for head in HEADS:
        chosen = [row for row in test if head in labels[row.id].domains]
        truth = [labels[row.id].domains[head] for row in chosen]
        items = [item_of(row) for row in chosen]
        answers = answer_all(model, head, chosen)
        names = (*DOMAIN_LABELS[head], UNKNOWN)
        table = confusion(truth, answers, names)
        forced = [DOMAIN_LABELS[head][i] for i in model.probabilities(head, items).argmax(axis=1)]
        f1 = f1_by_label(confusion(truth, forced, DOMAIN_LABELS[head]))
        result[head] = {
            "labels": names,
            "confusion": table.tolist(),
            "f1": {name: _number(float(value)) for name, value in zip(DOMAIN_LABELS[head], f1, strict=True)},
            "most_common_label": round(Counter(truth).most_common(1)[0][1] / len(truth), 4),
            "left_empty": unknown_share(model, head, [row for row in test if head not in labels[row.id].domains]),
        }
    return result


def unknown_share(model: DomainModel, head: str, pages: Sequence[TextRow]) -> dict[str, Any]:
    """How many of the pages get no answer, of pages to which readers gave none either."""
    answers = answer_all(model, head, pages)
    return {"rows": len(pages), "unknown": round(answers.count(UNKNOWN) / len(pages), 4) if pages else None}


def evaluate_harm(model: HarmModel, sources: Sources) -> dict[str, Any]:
    """AUC on unseen rows, and the share above the threshold by source and on the SENSITIVE pages."""
    rows = [row for row in read_harm_rows(sources) if row.split == Split.TEST]
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

    quality: PageScorer
    education: EducationModel
    domain: DomainModel
    harm: HarmModel


def evaluate_all(models: Models, sources: Sources) -> dict[str, Any]:
    """All figures of the report."""
    return {
        "quality": evaluate_quality(models.quality, sources),
        "education": evaluate_education(models.education, sources),
        "domain": evaluate_domain(models.domain, sources),
        "harm": evaluate_harm(models.harm, sources),
    }
