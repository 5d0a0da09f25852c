"""Training of the extraction model: CatBoost's trees keep their scores, equal data gives equal bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from catboost import CatBoost, Pool
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import precision_recall_fscore_support

from classifiers.artifacts import MANIFEST
from classifiers.data.extraction_gold import GoldPage, read_piece_labels
from classifiers.evaluation.evaluate_extraction import digest_of_labels, score_choice
from classifiers.evaluation.gate import load_floors
from classifiers.extraction.choose import ONE, look_up
from classifiers.extraction.model import load_extraction_model
from classifiers.training import train_extraction as training
from classifiers.training.recipe_extraction import Sample, make_sample


@pytest.mark.parametrize(("loss", "outputs"), [("CrossEntropy", 1), ("MultiClass", 3)])
def test_scores_are_those_of_catboost(loss: str, outputs: int, tmp_path) -> None:
    generator = np.random.default_rng(2)
    rows = generator.normal(size=(600, 8)).astype(np.float32)
    target = (rows[:, 0] + rows[:, 1] * rows[:, 2] > 0).astype(int) + (rows[:, 3] > 1) * (outputs > 1)
    model = CatBoost({"loss_function": loss, "iterations": 30, "depth": 4, "verbose": 0, "allow_writing_files": False})
    model.fit(Pool(rows, target))
    model.save_model(str(tmp_path / "model.json"), format="json")
    forest = training.forest_of_catboost(json.loads((tmp_path / "model.json").read_text()))
    expected = np.asarray(model.predict(rows, prediction_type="RawFormulaVal")).reshape(len(rows), -1)
    assert np.abs(forest.scores(rows.T).T / training.SCALE - expected).max() < 31 * 0.5 / training.SCALE + 1e-6


def test_the_table_of_probabilities_is_the_logistic_function() -> None:
    scores = np.array([-20_000, -3_000, -8, 8, 3_000, 20_000], dtype=np.int32)
    found = look_up(scores, training.probability_table(), training.TABLE_STEP) / ONE
    assert found == pytest.approx(1 / (1 + np.exp(-scores / training.SCALE)), abs=0.005)


WORDS = ["miller", "river", "weir", "wheel", "stone", "grain", "parish", "flour", "sluice", "granary", "barn", "yard"]


def page(number: int) -> GoldPage:
    """A page of its own domain: a menu, an article in some container, a footer."""
    random = Random(number)
    prose = [" ".join(random.choices(WORDS, k=random.randint(12, 30))) + "." for _ in range(random.randint(2, 5))]
    menu = "".join(f"<li class=nav-item><a href=/{n}>{random.choice(WORDS)}</a></li>" for n in range(6))
    box = random.choice(["post-body", "entry-content"])
    body = f"<div class='{box}'>" + "".join(f"<p>{paragraph}</p>" for paragraph in prose) + "</div>"
    footer = f"<div class=footer>{random.choice(WORDS)} {number}</div>"
    html = f"<html><body><ul class=nav>{menu}</ul>{body}{footer}</body></html>"
    kind = ("article", "forum", "product")[number % 3]
    return GoldPage(f"page-{number}", f"https://site{number}.example/{kind}/1", "wcxb", html, kind, "\n".join(prose))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [sample for number in range(40) if (sample := make_sample(page(number))) is not None]


def test_weights_of_names_are_those_of_logistic_regression(samples: list[Sample]) -> None:
    table = training.find_names(samples)
    found = training.fit_names(samples, table, np.ones(len(samples), dtype=bool))
    weights = np.concatenate([sample.weights for sample in samples]).astype(float)
    target = np.concatenate([sample.shares for sample in samples]) >= 0.5
    rows = weights > 0
    model = LogisticRegression(C=1 / training.NAME_PENALTY, tol=1e-8, max_iter=1000)
    model.fit(
        table.matrix[table.row][rows], target[rows], sample_weight=weights[rows] * rows.sum() / weights[rows].sum()
    )
    expected = dict(zip(table.names, model.coef_[0], strict=True))
    assert set(found) <= set(expected)
    for name, value in expected.items():
        assert found.get(name, 0) / training.NAME_SCALE == pytest.approx(value, abs=0.02)


def test_the_same_pages_give_the_same_bytes_and_a_model_that_finds_the_article(
    samples: list[Sample], tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(training._BLOCK_SETTINGS, "iterations", 20)
    monkeypatch.setitem(training._PAGE_SETTINGS, "iterations", 5)
    for name in ("one", "two"):
        model = training.train_extraction(samples, tmp_path / name, "# A model of a test", "a test")
    names = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert MANIFEST in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    unseen = make_sample(page(999))
    assert unseen is not None
    chosen = model.find_main_content(unseen.blocks, unseen.url).choice.chosen
    assert chosen.tolist() == (unseen.shares >= 0.5).tolist()
    assert score_choice(model, unseen) == (1, 1, 1)


def test_the_score_of_a_choice_is_the_weighted_f1_of_its_blocks(samples: list[Sample]) -> None:
    """By scikit-learn, on labels that the choice does not fit."""
    model = load_extraction_model()
    for sample in samples[:10]:
        spoiled = replace(sample, shares=np.roll(sample.shares, 2))
        chosen = model.find_main_content(sample.blocks, sample.url).choice.chosen
        expected = precision_recall_fscore_support(
            spoiled.shares >= 0.5, chosen, sample_weight=sample.weights, average="binary"
        )
        assert score_choice(model, spoiled) == pytest.approx(expected[:3])


def test_the_floors_of_the_gate_are_pinned_on_the_gold_of_this_package() -> None:
    measured = [row for row in read_piece_labels() if row.split == "measure"]
    assert load_floors()["extraction"]["test_digest"] == digest_of_labels(measured)


def test_features_of_training_do_not_know_their_own_domain(samples: list[Sample]) -> None:
    """A name that stands around main content on one fold's domains only has no weight there."""
    fold = samples[0].fold
    marked = []
    for sample in samples:
        names = [f"{name} zebra" if name in ("post-body", "entry-content") else name for name in sample.blocks.names]
        marked.append(replace(sample, blocks=replace(sample.blocks, names=names)) if sample.fold == fold else sample)
    plain, _ = training.out_of_fold_features(samples, training.find_names(samples))
    told, _ = training.out_of_fold_features(marked, training.find_names(marked))
    for before, after, sample in zip(plain, told, samples, strict=True):
        if sample.fold == fold:
            assert np.array_equal(before, after)
