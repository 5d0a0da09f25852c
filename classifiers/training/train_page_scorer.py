"""Train a page scorer (quality, education value) and write its folder; deterministic.

1. Each view is a linear model on words, trained on rows of its own; another one guesses the kind of source.
2. The layers are trained on the target rows, with out-of-fold predictions of these (folds by registered domain):
   in-sample predictions are too good and would get too large a weight. The target is a number from 0 to 1, and the
   layers estimate its mean, so the score is calibrated.
3. Everything that is chosen is chosen by out-of-fold predictions; the test domains only measure.

Both layers are measured and calibrated: `text` on all pages, as a run scores by default, and `page` on those that have
signals of the extraction.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifiers.artifacts import Manifest, TrainingData, digest_of, load_artifact, save_manifest
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import FOLDS, Example, Split, fold_of
from classifiers.errors import UserError
from classifiers.estimators.additive import Additive, fit_additive
from classifiers.estimators.features import FEATURE_VERSION, SHAPE, shape, style_counts
from classifiers.estimators.linear import LinearModel, Row, train_views
from classifiers.estimators.logistic import Array, Logistic, fit_logistic, sigmoid
from classifiers.estimators.metrics import auc
from classifiers.estimators.page_scorer import (
    LAYER,
    LAYERS,
    WEIGHTS,
    WORDS,
    PageScorer,
    bound,
    columns_of,
    has_signals,
    signal_columns,
    text_columns,
    threshold_name,
)
from classifiers.estimators.word_counts import WordCounts

VOCABULARY = 25_000
RIDGE = 3.0  # of the layers
MIN_PAGES = 200  # with signals, for a layer of their own
MIN_OF_KIND = 15  # pages of a kind that the text layer reads
# Signs of the weights: running text has more (1) or less (-1) of this than menus, which little data must not reverse.
SIGNS = {"exclamation_share": -1, "mark_share": -1}


@dataclass(frozen=True, slots=True)
class Target:
    """A page and what its score should be, from 0 to 1."""

    row: TextRow
    value: float
    split: Split
    group: str  # in one fold only: the registered domain, or the row's id where it has no URL
    kind: str = ""  # of source, where it is known

    @classmethod
    def of(cls, example: Example, positive: str) -> Target:
        """The target of a labeled example: 1 for the label `positive`."""
        return cls(example.row, float(example.label == positive), example.split, example.group)


@dataclass(frozen=True, slots=True)
class Description:
    """The content of the manifest and the model card that is not measured."""

    name: str
    labels: tuple[str, str]  # what 0 and 1 mean
    card: str
    sources: tuple[TrainingData, ...]
    license: str
    command: str


Measure = Callable[[Sequence[Target], Sequence[float]], dict[str, float]]


def measure_auc(targets: Sequence[Target], scores: Sequence[float]) -> dict[str, float]:
    """AUC of the upper half of the scale."""
    return {"auc": round(auc([target.value > 0.5 for target in targets], scores), 4)}


def train_page_scorer(
    views: Mapping[str, Sequence[Target]],
    targets: Sequence[Target],
    about: Description,
    folder: Path,
    keep: float = 0.5,
    measure: Measure = measure_auc,
) -> PageScorer:
    """Train, measure and write the model; `keep` is the share of the training targets above its threshold."""
    training = [target for target in targets if target.split != Split.TEST]
    test = [target for target in targets if target.split == Split.TEST]
    for name, rows in (("training", training), ("test", test)):
        if len({row.value for row in rows}) < 2:
            raise UserError(
                f"the {name} split holds {len(rows)} rows and not both labels {about.labels}: "
                "give more rows of more domains"
            )
    folder.mkdir(parents=True, exist_ok=True)
    known = WordRows.of(views, targets)
    fit_words(known).save(folder / WORDS, folder / WEIGHTS)
    tables = rows_by_layer(training, text_table(training), predict_out_of_fold(known, training), known)
    truth = np.array([target.value for target in training])
    layers, unseen = _fit_layers(tables, truth, folds_of(training))
    _write_layers(folder / LAYER, known, tables, layers)
    thresholds = {layer: float(np.quantile(scores, 1 - keep)) for layer, scores in unseen.items()}
    draft = _manifest(targets, about, folder, thresholds, keep)
    save_manifest(folder, draft, about.card)
    fitted = PageScorer(load_artifact(folder, about.name, FEATURE_VERSION))
    metrics: dict[str, float] = {}
    calibration: dict[str, Any] = {"cross_validation": {}, "test": {}}
    for layer, scores in unseen.items():
        trained, tested = _targets_of(layer, training), _targets_of(layer, test)
        found = np.array(_score(fitted, layer, tested))
        for part, rows, answers in (("cross-validation", trained, scores), ("test", tested, found)):
            measured = measure(rows, answers.tolist())
            metrics |= {f"{part} {name}, {LAYERS[layer]}": value for name, value in measured.items()}
            truths = np.array([target.value for target in rows])
            calibration[part.replace("-", "_")][layer] = _calibration_table(truths, answers)
    full = draft.model_copy(update={"metrics": metrics, "calibration": draft.calibration | calibration})
    save_manifest(folder, full, about.card)
    return PageScorer(load_artifact(folder, about.name, FEATURE_VERSION))


def _targets_of(layer: str, targets: Sequence[Target]) -> list[Target]:
    """What a layer is trained and measured on: all pages, or those that have signals."""
    return [target for target in targets if layer == "text" or has_signals(target.row.signals)]


def _score(model: PageScorer, layer: str, targets: Sequence[Target]) -> list[float]:
    signals = [target.row.signals for target in targets] if layer == "page" else ()
    return model.score([target.row.text for target in targets], signals)


@dataclass(frozen=True, slots=True)
class ViewRow:
    """A training row of a view: the words are counted once, not once a fold."""

    fold: int
    value: float
    kind: str
    counts: WordCounts

    @classmethod
    def of(cls, targets: Iterable[Target]) -> list[ViewRow]:
        """Of the targets that train."""
        return [
            cls(fold_of(target.group), target.value, target.kind, style_counts(target.row.text))
            for target in targets
            if target.split != Split.TEST
        ]


@dataclass(frozen=True, slots=True)
class WordRows:
    """What the linear models on words are trained on."""

    views: Mapping[str, Sequence[ViewRow]]
    kinds: tuple[str, ...]  # those with enough pages
    of_kinds: Sequence[ViewRow]  # the target rows of these

    @classmethod
    def of(cls, views: Mapping[str, Sequence[Target]], targets: Sequence[Target]) -> WordRows:
        pages = Counter(target.kind for target in targets if target.kind and target.split != Split.TEST)
        kinds = tuple(sorted(kind for kind, count in pages.items() if count >= MIN_OF_KIND))
        of_kinds = ViewRow.of(target for target in targets if target.kind in kinds)
        return cls({name: ViewRow.of(rows) for name, rows in views.items()}, kinds, of_kinds)


def fit_words(known: WordRows, without: Collection[int] = ()) -> LinearModel:
    """On the rows that are in none of the folds `without`: a column for each view, then one for each kind."""
    rows: dict[str, list[Row]] = {}
    for name, view in known.views.items():
        shares = ((row, (("0", 1 - row.value), ("1", row.value))) for row in view if row.fold not in without)
        rows[name] = [Row(label, row.counts, share) for row, pair in shares for label, share in pair if share]
    of_kinds = [Row(row.kind, row.counts) for row in known.of_kinds if row.fold not in without]
    return train_views(rows, VOCABULARY, of_kinds, known.kinds)


def folds_of(targets: Sequence[Target]) -> NDArray[np.int64]:
    """The fold of each target: an array of shape (targets)."""
    return np.array([fold_of(target.group) for target in targets], dtype=np.int64)


def predict_out_of_fold(known: WordRows, targets: Sequence[Target]) -> Array:
    """Log-odds of each view and kind for each target, from models that saw nothing of its fold."""
    fold, found = folds_of(targets), np.zeros((len(targets), len(known.views) + len(known.kinds)))
    for number in range(FOLDS):
        unseen = np.flatnonzero(fold == number)
        if len(unseen):
            model = fit_words(known, without=(number,))
            found[unseen] = bound(model.logits([[style_counts(targets[int(i)].row.text)] for i in unseen]))
    return found


def text_table(targets: Sequence[Target]) -> Array:
    """`text_columns` and `shape` of each target: an array of shape (targets, columns)."""
    texts = (target.row.text for target in targets)
    return np.array([[*text_columns(text), *shape(text)] for text in texts])


@dataclass(frozen=True, slots=True)
class LayerRows:
    """What a layer is trained on."""

    layer: str
    columns: tuple[str, ...]
    known: NDArray[np.bool_]  # which targets have its columns
    table: Array  # (these targets, columns)

    def at(self, rows: NDArray[np.bool_]) -> LayerRows:
        """Some of the rows of the table."""
        return replace(self, table=self.table[rows])


def rows_by_layer(targets: Sequence[Target], texts: Array, words: Array, known: WordRows) -> dict[str, LayerRows]:
    """Layer -> its rows, of the targets' `text_table` and their log-odds of views and kinds."""
    everything = np.ones(len(targets), dtype=bool)
    columns = tuple(columns_of("text", tuple(known.views), known.kinds))
    found = {"text": LayerRows("text", columns, everything, np.hstack([texts, words]))}
    with_signals = np.array([has_signals(target.row.signals) for target in targets])
    if with_signals.sum() >= MIN_PAGES:
        signals = [signal_columns(target.row.signals) for target in targets if has_signals(target.row.signals)]
        columns = tuple(columns_of("page", tuple(known.views)))
        text, views = texts[with_signals, : -len(SHAPE)], words[with_signals, : len(known.views)]
        found["page"] = LayerRows("page", columns, with_signals, np.hstack([text, views, np.array(signals)]))
    return found


def _fit_layers(
    tables: Mapping[str, LayerRows], truth: Array, fold: NDArray[np.int64]
) -> tuple[dict[str, Additive | Logistic], dict[str, Array]]:
    """The layers, and the scores by layers that were trained without a target's fold."""
    layers = {name: fit_layer(rows, truth[rows.known]) for name, rows in tables.items()}
    return layers, {name: score_out_of_fold(rows, truth[rows.known], fold[rows.known]) for name, rows in tables.items()}


def fit_layer(rows: LayerRows, truth: Array, ridge: float = RIDGE) -> Additive | Logistic:
    """The layer on these rows: additive for text alone."""
    signs = [1 if column.startswith("view_") else SIGNS.get(column, 0) for column in rows.columns]
    if rows.layer == "text":
        return fit_additive(rows.table, truth, ridge, signs)
    return fit_logistic(rows.table, truth, ridge, signs, balanced=False)


def score_out_of_fold(rows: LayerRows, truth: Array, fold: NDArray[np.int64], ridge: float = RIDGE) -> Array:
    """The score of each row by a layer that was trained without the row's fold."""
    answers = np.zeros(len(truth))
    for number in np.unique(fold):
        layer = fit_layer(rows.at(fold != number), truth[fold != number], ridge)
        answers[fold == number] = sigmoid(layer.log_odds(rows.table[fold == number]))
    return answers


def _write_layers(
    path: Path, known: WordRows, tables: Mapping[str, LayerRows], layers: Mapping[str, Additive | Logistic]
) -> None:
    stored = {name: {"columns": tables[name].columns, **layer.to_json()} for name, layer in layers.items()}
    content = {"views": tuple(known.views), "kinds": known.kinds, "layers": stored}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _manifest(
    targets: Sequence[Target], about: Description, folder: Path, thresholds: Mapping[str, float], keep: float
) -> Manifest:
    digest = sha256("".join(f"{t.row.id}\t{t.value}\t{t.split}\n" for t in targets).encode()).hexdigest()
    everything = TrainingData(
        name="target rows", role="as split", rows=len(targets), sha256=digest, license=about.license
    )
    files = (WORDS, WEIGHTS, LAYER)
    return Manifest(
        name=about.name,
        version=sha256("".join(digest_of(folder / file) for file in files).encode()).hexdigest()[:12],
        feature_version=FEATURE_VERSION,
        files={file: digest_of(folder / file) for file in files},
        labels={about.name: about.labels},
        threshold={threshold_name(about.name, layer): round(value, 4) for layer, value in thresholds.items()},
        calibration={"method": "mean of the target, on domains that each fold had not seen", "threshold_keeps": keep},
        training_data=(*about.sources, everything),
        metrics={},
        license=about.license,
        command=about.command,
    )


def _calibration_table(truth: Array, scores: Array) -> list[dict[str, float]]:
    """For each tenth of the scale: rows, mean score, mean of the target."""
    place = np.minimum((scores * 10).astype(int), 9)
    return [
        {
            "from": number / 10,
            "rows": int((place == number).sum()),
            "score": round(float(scores[place == number].mean()), 3),
            "truth": round(float(truth[place == number].mean()), 3),
        }
        for number in range(10)
        if (place == number).any()
    ]
