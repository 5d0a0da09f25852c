"""The nested cross-validation: a fold has no part in its own scores, and intervals draw whole domains."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from classifiers.cli import classify
from classifiers.data.page_text import TextRow
from classifiers.data.sampling import FOLDS, Split, fold_of
from classifiers.estimators.metrics import auc, bootstrap_interval
from classifiers.evaluation.evaluate_nested import log_loss, score_nested
from classifiers.evaluation.report import nested_part
from classifiers.training.train_page_scorer import Target, WordRows, predict_out_of_fold

GOOD = "the committee published its report on history of canal and described how locks were built by hand"
BAD = "sale cart login free click here best price offer subscribe menu home next page buy now cheap deal"


def small_targets() -> list[Target]:
    chance = random.Random(7)
    targets = []
    for number in range(120):
        words, mixed = (GOOD.split(), BAD.split()) if number % 2 else (BAD.split(), GOOD.split())
        text = " ".join(chance.choice(words if chance.random() < 0.7 else mixed) for _ in range(40))
        host = f"site{number}.info"
        row = TextRow(f"row{number}", f"https://{host}/", "small", "", f"{text}.")
        targets.append(Target(row, number % 2, Split.TRAIN, host))
    return targets


def test_a_fold_has_no_part_in_its_own_scores() -> None:
    """Other labels and other texts of a fold's training rows change all scores but the fold's."""
    targets = small_targets()
    fold = np.array([fold_of(target.group) for target in targets])
    assert set(fold) == set(range(FOLDS))
    changed = [
        replace(target, value=1 - target.value, row=replace(target.row, text=f"{target.row.text} zebra"))
        if fold_of(target.group) == 1
        else target
        for target in targets
    ]
    relabeled = [replace(target, value=other.value) for target, other in zip(targets, changed, strict=True)]
    before = score_nested({"small": {"read": targets}}, targets)["text"]
    after = score_nested({"small": {"read": changed}}, relabeled)["text"]
    assert before.rows.all()
    assert np.array_equal(before.scores[fold == 1], after.scores[fold == 1])
    assert before.chosen[1] == after.chosen[1]
    assert not np.isclose(before.scores[fold != 1], after.scores[fold != 1]).any()
    assert auc([target.value for target in targets], before.scores) > 0.9


def test_the_layer_learns_from_log_odds_of_models_without_the_rows_fold() -> None:
    """Views and kinds that saw a row would be too good on it and get too much weight."""
    kinds = ("news", "shop")
    targets = [replace(target, kind=kinds[int(target.value)]) for target in small_targets()]
    fold = np.array([fold_of(target.group) for target in targets])
    changed = [
        replace(target, value=1 - target.value, kind=kinds[1 - int(target.value)]) if number == 1 else target
        for target, number in zip(targets, fold, strict=True)
    ]
    before, after = (predict_out_of_fold(WordRows.of({"read": rows}, rows), targets) for rows in (targets, changed))
    assert before.shape == (len(targets), 3)
    assert np.array_equal(before[fold == 1], after[fold == 1])
    assert not np.isclose(before[fold != 1], after[fold != 1]).any()


def test_views_that_help_on_the_other_folds_are_chosen() -> None:
    targets = small_targets()
    chance = random.Random(3)
    noise = [replace(target, value=chance.randint(0, 1)) for target in targets]
    found = score_nested({"noise": {"read": noise}, "labels": {"read": targets}}, targets)["text"]
    assert len(found.chosen) == FOLDS
    assert {choice.split(",")[0] for choice in found.chosen} == {"labels"}


def test_the_interval_over_groups_counts_groups_not_rows() -> None:
    """Of the mean of 100 groups of ten equal rows: 3.92 standard errors of 100 numbers."""
    values = np.sort(np.random.default_rng(5).normal(size=100))  # so that the first rows are not like all
    rows, groups = np.repeat(values, 10), np.repeat([f"g{number}" for number in range(100)], 10)
    low, high = bootstrap_interval(lambda _, scores: float(np.mean(scores)), rows > 0, rows, groups=groups)
    assert high - low == pytest.approx(3.92 * values.std() / 10, rel=0.15)
    assert (low + high) / 2 == pytest.approx(values.mean(), abs=0.02)


def test_the_report_holds_figures_and_choices_of_both_layers() -> None:
    interval = {"auc": 0.8765, "low": 0.7, "high": 0.9}
    bias = {"news": {"rows": 30, "bias": -0.0314}, "shop": {"rows": 20, "bias": 0.2}}
    layer = {"rows": 50, "keep": interval, "usable": interval, "log_loss": 0.4321, "bias": bias, "chosen": ("a", "b")}
    part = nested_part({"text": layer, "page": layer | {"rows": 40}})
    assert "| text alone | 50 | 0.432 | 0.876 (0.700 to 0.900) |" in part
    assert "| with signals of the page | 40 |" in part
    assert "- text alone: a; b" in part
    assert "| news | 30 | -0.031 | -0.031 |" in part


@pytest.mark.parametrize("option", [(), ("--nested",)])
def test_evaluate_validates_in_nested_folds_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: tuple[str, ...]
) -> None:
    written: list[dict[str, Any]] = []
    monkeypatch.setattr("classifiers.cli._load_models", lambda **models: None)
    monkeypatch.setattr("classifiers.evaluation.evaluate.evaluate_all", lambda models, sources: {"quality": {}})
    monkeypatch.setattr("classifiers.evaluation.evaluate_nested.evaluate_nested", lambda sources: "measured")
    monkeypatch.setattr("classifiers.evaluation.report.write_report", lambda numbers, folder: written.append(numbers))
    arguments = ["evaluate", "--data", str(tmp_path), "--output", str(tmp_path / "report"), *option]
    result = CliRunner().invoke(classify, arguments, obj=lambda: None)
    assert result.exit_code == 0, result.output
    assert written == [{"quality": {"nested": "measured"} if option else {}}]


def test_the_log_loss_takes_labels_between_no_and_yes() -> None:
    assert log_loss(np.array([1.0, 0.5]), np.array([0.5, 0.5])) == pytest.approx(np.log(2))
    assert log_loss(np.array([0.25]), np.array([0.25])) == pytest.approx(-0.25 * np.log(0.25) - 0.75 * np.log(0.75))
