from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.trainer.curated import pages, row, write_dataset
from trainer.data.curated_dataset import DatasetError, open_dataset
from trainer.data.text_samples import count_draws, draw_samples, held_out_samples, training_texts


def test_a_small_dataset_is_sampled_by_its_weights(tmp_path: Path) -> None:
    rows = pages(40, weights=(0.0, 1.0, 3.0))
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    counts = Counter({sample.text: sample.times for sample in draw_samples(dataset, 10**9, 0.0)})
    assert counts == {values["text"]: int(values["weight"]) for values in rows if values["weight"]}


def test_a_large_dataset_is_sampled_to_the_requested_size(tmp_path: Path) -> None:
    rows = pages(1500, weights=(0.5, 1.0, 2.0))
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    whole = sum(len(values["text"]) * values["weight"] for values in rows)
    drawn = sum(len(sample.text) * sample.times for sample in draw_samples(dataset, int(whole / 10), 0.0))
    assert drawn == pytest.approx(whole / 10, rel=0.1)


def test_draws_follow_the_weights() -> None:
    keys = np.arange(30_000, dtype=np.uint64)
    for weight, factor in ((1.0, 0.1), (3.0, 0.1), (2.5, 1.0)):
        counts = count_draws(keys, np.full(len(keys), weight), factor)
        assert counts.mean() == pytest.approx(weight * factor, abs=0.01)
        assert set(counts.tolist()) <= {int(weight * factor), int(weight * factor) + 1}


def test_evaluation_samples_are_not_in_the_training_sample(tmp_path: Path) -> None:
    rows = pages(400)
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    trained = set(training_texts(dataset, 10**9))
    measured = {sample.text for sample in held_out_samples(dataset, 10**9)}
    assert measured
    assert not trained & measured
    assert len(trained) + len(measured) == 400


def test_a_tiny_dataset_is_evaluated_on_its_training_sample(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_dataset(tmp_path / "set", [row(1, "one page")], 1)))
    assert [sample.text for sample in held_out_samples(dataset, 100)] == ["one page"]


def test_a_dataset_without_weight_cannot_be_sampled(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_dataset(tmp_path / "set", [row(1, "one page", weight=0.0)], 1)))
    with pytest.raises(DatasetError, match="nothing to sample"):
        list(draw_samples(dataset, 100, 0.0))


def test_many_shards_are_not_all_read(tmp_path: Path) -> None:
    dataset = open_dataset(str(write_dataset(tmp_path / "set", pages(800), shards=16)))
    first, second = ([sample.text for sample in draw_samples(dataset, 5_000, 0.0)] for _ in range(2))
    assert first == second
    (Path(dataset.shards[0].path).parent.parent / "manifest.json").unlink()  # the dataset is open already
    opened = {values["text"] for values in pages(800)}
    assert set(first) < opened
