"""Pairs of answers as rows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.trainer.curated import pages
from trainer.chat.chat_template import ChatTemplate, Encoded
from trainer.chat.pair_batches import PairBatches, PairSettings, SplitPairs, cut_answers, split_pairs
from trainer.chat.read_conversations import ReadReport
from trainer.chat.read_preferences import read_preferences
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import UserError


@pytest.fixture(scope="module")
def template() -> ChatTemplate:
    return ChatTemplate(train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768)))


def write_pairs(path: Path, count: int) -> Path:
    rows = [{"prompt": f"question {n}", "chosen": f"good {n}", "rejected": "bad" * (n % 3 + 1)} for n in range(count)]
    path.write_text("".join(json.dumps({**row, "margin": 0.5 * (n % 2)}) + "\n" for n, row in enumerate(rows)))
    return path


def split(settings: PairSettings, template: ChatTemplate, *, with_ties: bool = True) -> SplitPairs:
    return split_pairs(read_preferences(settings.files), settings, template, ReadReport(), with_ties=with_ties)


def texts(template: ChatTemplate, batch: dict[str, torch.Tensor]) -> list[tuple[str, str]]:
    """Prompt and learned part of each row."""
    rows = zip(batch["tokens"], batch["targets"], batch["weights"], batch["document_ids"], strict=True)
    return [
        (template.tokenizer.decode(a[(d >= 0) & ~w].tolist()), template.tokenizer.decode(b[w].tolist()))
        for a, b, w, d in rows
    ]


def test_both_answers_follow_one_another(template, tmp_path):
    settings = PairSettings(files=(write_pairs(tmp_path / "p.jsonl", 30),), held_out=0.2, batch_size=4)
    sides = split(settings, template)
    assert len(sides.training) + len(sides.held_out) == 30
    assert 1 <= len(sides.held_out) <= 14
    batch = PairBatches(sides.training, settings).batch(0)
    found = texts(template, batch)
    assert len(found) == 8
    for pair in range(4):
        (prompt, chosen), (second, rejected) = found[2 * pair : 2 * pair + 2]
        number = prompt.split("question ")[1].split("<")[0]
        assert prompt.startswith(second[:20])
        assert chosen == f"good {number}<|end|>"
        assert rejected.startswith("bad")
        assert batch["margins"][2 * pair].item() == 0.5 * (int(number) % 2)
    assert torch.equal(batch["margins"][::2], batch["margins"][1::2])


def test_a_score_is_read_at_the_end_of_the_answer(template, tmp_path):
    settings = PairSettings(files=(write_pairs(tmp_path / "p.jsonl", 5),), held_out=0, batch_size=5)
    batch = PairBatches(split(settings, template).training, settings, whole=True).batch(0)
    last = (batch["document_ids"] >= 0).sum(1) - 1
    assert batch["tokens"].gather(1, last[:, None])[:, 0].tolist() == [template.end] * 10
    assert len(batch["tokens"]) == 10


def test_a_loss_without_ties_gets_none(template, tmp_path):
    path = write_pairs(tmp_path / "p.jsonl", 9)
    tie = {"prompt": "which?", "chosen": "this", "rejected": "that", "tie": True}
    path.write_text(path.read_text() + json.dumps(tie) + "\n")
    settings = PairSettings(files=(path,), held_out=0)
    whole, without = (split(settings, template, with_ties=ties) for ties in (True, False))
    assert [pair.tie for pair in whole.training] == [False] * 9 + [True]
    assert [pair.tie for pair in without.training] == [False] * 9
    assert without.report.skipped == {"tie": 1}


@pytest.mark.parametrize(
    ("length", "chosen", "rejected"),
    [
        (9, [0, 1, 2, 3, 10, 11, 12], [0, 1, 2, 3, 20]),
        (7, [0, 1, 2, 3, 10, 11, 12], [0, 1, 2, 3, 20]),
        (5, [2, 3, 10, 11, 12], [2, 3, 20]),
        (3, [3, 10, 11], [3, 20]),  # of the prompt the token before the answer is left
    ],
)
def test_a_prompt_loses_its_beginning_and_an_answer_its_end(length, chosen, rejected):
    def side(answer: list[int]) -> Encoded:
        return Encoded(np.array([0, 1, 2, 3, *answer], np.int32), np.arange(4 + len(answer)) >= 4)

    found = cut_answers([side([10, 11, 12]), side([20])], length)
    for cut, expected in zip(found, (chosen, rejected), strict=True):
        assert cut.tokens.tolist() == expected
        assert cut.tokens[cut.learned].tolist() == [token for token in expected if token >= 10]


def test_a_long_prompt_costs_no_pair(template, tmp_path):
    path = tmp_path / "long.jsonl"
    path.write_text(json.dumps({"prompt": "question " * 40, "chosen": "good", "rejected": "bad"}) + "\n")
    settings = PairSettings(files=(path,), held_out=0, sequence_length=16)
    pairs = split(settings, template).training
    assert len(pairs) == 1
    batches = [PairBatches(pairs, settings, whole=whole).batch(0) for whole in (False, True)]
    assert [batch["tokens"].shape[1] for batch in batches] == [15, 16]  # not over the model's context


def test_without_a_pair_to_train_on_one_line_says_why(template, tmp_path):
    path, tie = tmp_path / "ties.jsonl", {"prompt": "which?", "chosen": "this", "rejected": "that", "tie": True}
    path.write_text(json.dumps(tie) + "\n")
    settings = PairSettings(files=(path,), held_out=0)
    report = ReadReport()
    with pytest.raises(UserError, match=r"no pair to train on, 0 held out \(.*; skipped: tie 1\)"):
        split_pairs(read_preferences([path], report), settings, template, report, with_ties=False)
    with pytest.raises(UserError, match="no pair to train on, 1 held out"):
        split(settings.model_copy(update={"held_out": 1.0}), template)
