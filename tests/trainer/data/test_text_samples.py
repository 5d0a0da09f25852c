from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tokenizers import ByteLevelBPETokenizer
from transformers import GPT2TokenizerFast

from tests.trainer.curated import pages, row, write_dataset
from trainer.data.curated_dataset import DatasetError, open_dataset
from trainer.data.text_samples import Sample, count_draws, draw_samples, held_out_samples, training_texts
from trainer.data.tokenizer import TokenizerError, TokenizerSettings, train_tokenizer
from trainer.data.tokenizer_report import count_with, format_report, measure_tokenizers, open_peer


def test_a_small_dataset_is_taken_by_its_weights(tmp_path: Path) -> None:
    rows = pages(40, weights=(0.0, 1.0, 3.0))
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    counts = Counter({sample.text: sample.times for sample in draw_samples(dataset, 10**9, 0.0)})
    assert counts == {values["text"]: int(values["weight"]) for values in rows if values["weight"]}


def test_a_large_one_is_thinned_to_the_size_asked_for(tmp_path: Path) -> None:
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


def test_what_is_measured_was_not_trained_on(tmp_path: Path) -> None:
    rows = pages(400)
    dataset = open_dataset(str(write_dataset(tmp_path / "set", rows)))
    trained = set(training_texts(dataset, 10**9))
    measured = {sample.text for sample in held_out_samples(dataset, 10**9)}
    assert measured
    assert not trained & measured
    assert len(trained) + len(measured) == 400


def test_a_tiny_dataset_is_measured_on_itself(tmp_path: Path) -> None:
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


def test_bytes_per_token_by_domain_and_language(tmp_path: Path) -> None:
    rows = pages(120)
    tokenizer = train_tokenizer([values["text"] for values in rows], TokenizerSettings(vocab_size=768))
    tokenizer.save(tmp_path / "tokenizer.json")
    samples = [
        Sample(values["text"], 1, values["domain"], "en" if n % 2 else "", False) for n, values in enumerate(rows)
    ]
    report = measure_tokenizers(samples, {"gristmill": count_with(tokenizer), "again": open_peer(str(tmp_path))})
    texts = [values["text"] for values in rows if values["domain"] == "travel"]
    expected = sum(len(text.encode()) for text in texts) / sum(len(tokenizer.encode(text)) for text in texts)
    assert report["domain"]["travel"]["bytes_per_token"]["gristmill"] == pytest.approx(expected, abs=1e-3)
    assert report["domain"]["travel"]["bytes_per_token"]["again"] == pytest.approx(expected, abs=1e-3)
    assert report["domain"]["travel"]["documents"] == len(texts)
    assert report["all"]["bytes"] == sum(len(values["text"].encode()) for values in rows)
    assert set(report["language"]) == {"", "en"}
    lines = format_report(report).splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["bytes", "all"]
    assert len({len(line) for line in lines}) == 1


def test_a_peer_may_come_as_gpt2s_two_files(tmp_path: Path) -> None:
    """vocab.json and merges.txt, with GPT-2's own way of splitting text: counts as transformers has them."""
    texts = [values["text"] + " It's 1999, they'll  see!\n\n  x" for values in pages(60)]
    engine = ByteLevelBPETokenizer()
    engine.train_from_iterator(texts, vocab_size=500, show_progress=False)
    engine.save_model(str(tmp_path))
    theirs = GPT2TokenizerFast.from_pretrained(tmp_path)
    assert len(theirs) > 400  # it was read, merges and all
    assert open_peer(str(tmp_path))(texts) == [len(theirs(text)["input_ids"]) for text in texts]


def test_tokenizers_that_are_none_get_one_line(tmp_path: Path) -> None:
    with pytest.raises(TokenizerError, match="gpt17: neither a file nor an encoding of tiktoken"):
        open_peer("gpt17")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(TokenizerError, match="not a tokenizer"):
        open_peer(str(tmp_path))
