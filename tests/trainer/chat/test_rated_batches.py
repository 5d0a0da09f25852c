"""Rated answers as rows, each beside its prompt with the answer to another one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from trainer.chat.chat_batches import ChatBatches
from trainer.chat.chat_template import Encoded, EncodedAnswer
from trainer.chat.pair_batches import PairSettings
from trainer.chat.rated_batches import RatedBatches, mismatch
from trainer.errors import UserError


def text(prompt: list[int], answer: list[int]) -> Encoded:
    tokens = [*prompt, *answer]
    return Encoded(np.array(tokens, np.int32), np.arange(len(tokens)) >= len(prompt))


def rated(count: int) -> tuple[EncodedAnswer, ...]:
    """Answer n is 50 + n, to the prompt 1, 10 + n."""
    return tuple(EncodedAnswer(text([1, 10 + n], [50 + n]), desirable=n % 3 == 0) for n in range(count))


def tokens(texts: list[Encoded | None]) -> list[list[int] | None]:
    return [None if one is None else one.tokens.tolist() for one in texts]


def test_the_next_answer_is_another_one_to_another_prompt():
    good, bad, same, other = text([1, 2], [7]), text([1, 2], [8]), text([3], [7]), text([4], [9, 5])
    found = mismatch([good, bad, same, other], 9)
    assert tokens(found) == [[1, 2, 9, 5], [1, 2, 7], [3, 9, 5], [4, 7]]
    assert next(one.learned.tolist() for one in found if one is not None) == [False, False, True, True]
    assert tokens(mismatch([good, bad], 9)) == [None, None]  # of one prompt
    assert tokens(mismatch([good, same], 9)) == [None, None]  # of one answer
    assert tokens(mismatch([good], 9)) == [None]


def test_a_mismatched_row_is_cut_as_others_are():
    long_prompt, long_answer = text([1, 2, 3, 4], [7]), text([5], [8, 9, 6, 0])
    assert tokens(mismatch([long_prompt, long_answer], 5)) == [[4, 8, 9, 6, 0], [5, 7]]


def test_each_answer_is_followed_by_its_mismatched_row():
    batches = RatedBatches(rated(7), PairSettings(batch_size=4))
    batch, order = batches.batch(0), [row[0] for row in batches.rows(0)]
    for place, number in enumerate(order):
        other = order[(place + 1) % 4]
        assert batch["tokens"][2 * place : 2 * place + 2].tolist() == [[1, 10 + number]] * 2
        assert batch["targets"][2 * place : 2 * place + 2, 1].tolist() == [50 + number, 50 + other]
        assert batch["desirable"][2 * place].item() == (number % 3 == 0)
    assert batch["mismatched"].tolist() == [False, True] * 4
    assert torch.equal(batch["desirable"][::2], batch["desirable"][1::2])


def test_ranks_mismatch_what_one_process_does():
    batches = RatedBatches(rated(7), PairSettings(batch_size=4))
    whole = batches.batch(1)
    for ranks in (2, 4):
        parts = [batches.batch(1, rank, ranks) for rank in range(ranks)]
        assert all(torch.equal(torch.cat([part[name] for part in parts]), whole[name]) for name in whole)
    with pytest.raises(UserError, match="cannot be divided among 3 ranks"):
        batches.batch(1, 0, 3)


def test_held_out_answers_are_mismatched_over_all_of_them():
    """Five answers by two: the last batch is one answer, and its mismatched one is of the first batch."""
    batches = RatedBatches(rated(5), PairSettings(batch_size=2))
    parts, order = batches.all_batches(), [row[0] for row in batches.epoch(0)]
    assert [len(part["tokens"]) for part in parts] == [4, 4, 2]
    assert parts[-1]["targets"][:, 1].tolist() == [50 + order[-1], 50 + order[0]]


def test_an_answer_without_another_one_measures_nothing():
    batch = RatedBatches(rated(1), PairSettings(batch_size=2)).batch(0)
    assert batch["mismatched"].tolist() == [False] * 4
    assert batch["targets"][:, 1].tolist() == [50] * 4


def test_a_rating_changes_the_fingerprint():
    items = rated(3)
    changed = (*items[:2], EncodedAnswer(items[2].text, desirable=not items[2].desirable))
    found: list[ChatBatches] = [RatedBatches(data, PairSettings()) for data in (items, items, changed)]
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
