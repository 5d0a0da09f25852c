"""Nested cross-validation of the quality model by registered domain.

The figures of training choose the recipe on the folds that measure it, and the layer's rows hold log-odds of views that
saw the measured fold. Here all that is chosen or fitted for a fold of domains is chosen and fitted on the other folds:
the views, those of the layer's rows (which leave out the row's own fold, too), the recipe and the layer. Test domains
are not read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.data.page_labels import read_page_labels
from classifiers.data.sampling import FOLDS, Split
from classifiers.data.source_pages import Sources
from classifiers.estimators.features import style_counts
from classifiers.estimators.logistic import Array, sigmoid
from classifiers.estimators.metrics import auc, bootstrap_interval
from classifiers.estimators.page_scorer import bound
from classifiers.estimators.word_counts import Parts
from classifiers.evaluation.evaluate import bias_by_group
from classifiers.training.recipe_quality import quality_views
from classifiers.training.train_page_scorer import (
    Target,
    WordRows,
    fit_layer,
    fit_words,
    folds_of,
    rows_by_layer,
    score_out_of_fold,
    text_table,
)

RIDGES = (1.0, 3.0, 10.0)  # penalties of the layer that are compared
Views = Mapping[str, Sequence[Target]]


@dataclass(frozen=True, slots=True)
class NestedScores:
    """Scores of one layer, each by a model in which its fold had no part."""

    rows: NDArray[np.bool_]  # the targets that have a score
    scores: Array  # of these
    chosen: tuple[str, ...]  # of each fold: the views and the penalty


@dataclass(frozen=True, slots=True)
class _WordModels:
    """Log-odds of views and kinds for all targets; each model is trained once."""

    rows: WordRows
    counts: Sequence[Parts]  # of the targets
    known: dict[frozenset[int], Array] = field(default_factory=dict)

    def without(self, *folds: int) -> Array:
        """Targets x (views and kinds), by models that saw none of the folds."""
        if (key := frozenset(folds)) not in self.known:
            self.known[key] = bound(fit_words(self.rows, without=key).logits(self.counts))
        return self.known[key]

    def columns(self, fold: NDArray[np.int64], outer: int) -> Array:
        """Targets x (views and kinds): of the fold `outer` by models without it, of other folds by models without
        both."""
        found = self.without(outer).copy()
        for inner in set(range(FOLDS)) - {outer}:
            found[fold == inner] = self.without(inner, outer)[fold == inner]
        return found


def score_nested(candidates: Mapping[str, Views], targets: Sequence[Target]) -> dict[str, NestedScores]:
    """Layer -> scores of the targets; `candidates` are views by name. Test targets are not to be given."""
    counts = [[style_counts(target.row.text)] for target in targets]
    models = {name: _WordModels(WordRows.of(views, targets), counts) for name, views in candidates.items()}
    fold, truth, texts = folds_of(targets), np.array([target.value for target in targets]), text_table(targets)
    known: dict[str, NDArray[np.bool_]] = {}
    scores: dict[str, Array] = {}
    chosen: dict[str, list[str]] = {}
    for outer in range(FOLDS):
        tables = {
            name: rows_by_layer(targets, texts, model.columns(fold, outer), model.rows)
            for name, model in models.items()
        }
        for layer in next(iter(tables.values())):
            used = known[layer] = next(iter(tables.values()))[layer].known
            unseen, labels, folds = fold[used] == outer, truth[used], fold[used]
            found: dict[tuple[str, float], float] = {}
            for name, ridge in product(models, RIDGES):
                inner = score_out_of_fold(tables[name][layer].at(~unseen), labels[~unseen], folds[~unseen], ridge)
                found[name, ridge] = log_loss(labels[~unseen], inner)
            name, ridge = min(found, key=lambda option: found[option])
            rows = tables[name][layer]
            fitted = fit_layer(rows.at(~unseen), labels[~unseen], ridge)
            scores.setdefault(layer, np.zeros(len(labels)))[unseen] = sigmoid(fitted.log_odds(rows.table[unseen]))
            chosen.setdefault(layer, []).append(f"{name}, penalty {ridge:g}")
    return {layer: NestedScores(known[layer], scores[layer], tuple(chosen[layer])) for layer in scores}


def evaluate_nested(sources: Sources) -> dict[str, Any]:
    """Layer -> AUC on the training domains with intervals over domains, log loss, bias by kind, what was chosen."""
    views = quality_views(sources)
    candidates: dict[str, Views] = {
        "readers": {"read": views["read"]},
        "readers and citations": quality_views(sources, hard_negatives=False),
        "readers, citations and hard negatives": views,
    }
    targets = [target for target in views["read"] if target.split != Split.TEST]
    labels = read_page_labels()
    groups = np.array([target.group for target in targets])
    kinds = np.array([labels[target.row.id].domains.get("kind", "none") for target in targets], dtype=object)
    truth = np.array([target.value for target in targets])
    result = {}
    for layer, found in score_nested(candidates, targets).items():
        values, kind = truth[found.rows], kinds[found.rows]
        result[layer] = {
            "rows": len(values),
            "keep": _auc_of_domains(values == 1, found.scores, groups[found.rows]),
            "usable": _auc_of_domains(values > 0, found.scores, groups[found.rows]),
            "log_loss": round(log_loss(values, found.scores), 4),
            "bias": bias_by_group([(name, kind == name) for name in sorted(set(kind))], values, found.scores),
            "chosen": found.chosen,
        }
    return result


def log_loss(truth: Array, scores: Array) -> float:
    """Mean over the rows; `truth` may lie between 0 and 1."""
    likely = np.clip(scores, 1e-9, 1 - 1e-9)
    return float(-(truth * np.log(likely) + (1 - truth) * np.log(1 - likely)).mean())


def _auc_of_domains(truth: NDArray[np.bool_], scores: Array, groups: NDArray[Any]) -> dict[str, float]:
    low, high = bootstrap_interval(auc, truth, scores, groups=groups)
    return {"auc": round(auc(truth, scores), 4), "low": round(low, 4), "high": round(high, 4)}
