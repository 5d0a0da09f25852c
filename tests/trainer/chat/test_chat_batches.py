"""Batches of conversations: every one once an epoch, resumable, and packed as good as padded."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.model.small_models import SPARSE, TINY
from tests.trainer.runs import build_decoder
from trainer.chat.chat_batches import ChatBatches, ChatSettings, cut_long, fill_rows, is_held_out, pack_rows
from trainer.chat.chat_template import Encoded
from trainer.training.distributed import World
from trainer.training.step import accumulate

ALONE = World(0, 1, torch.device("cpu"))


def item(length: int, seed: int = 0) -> Encoded:
    generator = np.random.default_rng(seed)
    learned = generator.random(length) < 0.5
    learned[0], learned[-1] = False, True
    return Encoded(generator.integers(0, 90, length).astype(np.int32), learned)


def items(count: int) -> tuple[Encoded, ...]:
    return tuple(item(3 + 7 * n % 29, n) for n in range(count))


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(50, 80))
def test_rows_hold_every_item_once_and_no_more_than_their_room(lengths, room):
    rows = pack_rows(lengths, room)
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
    assert all(0 < sum(lengths[number] for number in row) <= room for row in rows)
    half_full = [row for row in rows if 2 * sum(lengths[number] for number in row) <= room]
    assert len(half_full) <= 1  # best fit: a second one would have gone into the first


@pytest.mark.parametrize("packing", [True, False])
def test_an_epoch_reads_every_conversation_once_in_an_order_of_its_own(packing):
    batches = ChatBatches(items(40), ChatSettings(sequence_length=40, batch_size=3, packing=packing, seed=5))
    read = [number for row in batches.epoch(0) for number in row]
    assert Counter(read) == Counter(range(40))
    assert [number for row in batches.epoch(1) for number in row] != read
    assert batches.steps(1) == -(-len(batches.epoch(0)) // 3)
    assert batches.steps(2.5) == -(
        -(len(batches.epoch(0)) + len(batches.epoch(1)) + round(len(batches.epoch(2)) / 2)) // 3
    )
    rows = [row for step in range(batches.steps(2)) for row in batches.rows(step)]
    expected = [*batches.epoch(0), *batches.epoch(1), *batches.epoch(2)]
    assert rows == expected[: len(rows)]


def test_another_batch_size_goes_on_at_the_next_row():
    before = ChatBatches(items(40), ChatSettings(sequence_length=40, batch_size=3))
    after = ChatBatches(items(40), ChatSettings(sequence_length=40, batch_size=5)).resume_at(4, before.next_row(4))
    rows = [row for step in range(4) for row in before.rows(step)] + [row for n in (4, 5) for row in after.rows(n)]
    expected = [row for number in range(6) for row in before.epoch(number)]
    assert rows == expected[: len(rows)]
    assert before.fingerprint == after.fingerprint


def test_ranks_share_a_step():
    batches = ChatBatches(items(40), ChatSettings(sequence_length=40, batch_size=4))
    whole = batches.batch(2)
    parts = [batches.batch(2, rank, 2) for rank in (0, 1)]
    for row in range(4):
        part = parts[row // 2]["tokens"][row % 2]
        assert torch.equal(whole["tokens"][row, : len(part)], part)


@pytest.mark.parametrize("settings", [TINY, SPARSE])
def test_a_packed_batch_has_the_gradient_of_a_padded_one(settings):
    texts = [item(length, length) for length in (5, 17, 9, 12, 3)]
    packed, padded = fill_rows([[texts[0], texts[1]], [texts[2], texts[3], texts[4]]]), fill_rows([[t] for t in texts])
    gradients = []
    for batch in (packed, padded):
        model = build_decoder(settings, seed=1)
        found = accumulate(model, [batch], ALONE, experts=settings.experts)
        gradients.append([weight.grad for weight in model.parameters()])
        assert found.tokens == sum(int(text.learned.sum()) for text in texts)
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_targets_are_the_learned_tokens():
    text = item(9)
    batch = fill_rows([[text, text]])
    assert batch["targets"][batch["weights"]].tolist() == 2 * text.tokens[text.learned].tolist()
    assert batch["positions"][0].tolist() == 2 * list(range(8))


def test_long_conversations_are_cut_and_those_without_an_answer_left_out():
    text = Encoded(np.arange(10, dtype=np.int32), np.arange(10) >= 6)
    cut = cut_long(text, 7)
    assert cut is not None
    assert cut.tokens.tolist() == list(range(8))
    assert cut_long(text, 5) is None


def test_equal_prompts_are_on_one_side_and_the_share_is_kept():
    sides = [is_held_out(f"user {n}", 0.2) for n in range(3000)]
    assert 0.17 < sum(sides) / 3000 < 0.23
    assert not any(is_held_out(f"user {n}", 0.0) for n in range(50))
