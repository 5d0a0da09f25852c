"""Answers that share their prompt have the numbers and gradients that they have in rows of their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.model.small_models import TINY
from trainer.chat.chat_batches import fill_rows
from trainer.chat.chat_template import Encoded
from trainer.model.decoder import Decoder
from trainer.model.policy_and_value import PolicyAndValue
from trainer.rollouts.shared_prompts import read_answers, share_prompts

PROMPTS = [[5, 6, 7, 8, 9, 10, 11], [5, 6, 7, 8, 9, 10, 12], [20, 21, 22]]
ANSWERS = [[1], [2, 3], [2, 4], [2, 3], [2, 3, 4], [1]]  # two of them twice


def rows(prompts: list[list[int]], answers: list[list[int]]) -> dict[str, torch.Tensor]:
    texts = [(prompt, answer) for answer in answers for prompt in prompts]  # those to one prompt are apart
    return fill_rows([[Encoded(np.array(p + a, np.int32), np.arange(len(p + a)) >= len(p))] for p, a in texts])


def read(model: PolicyAndValue, part: dict[str, torch.Tensor], shared: bool) -> list[torch.Tensor]:
    model.zero_grad()
    output: Any = read_answers(model, part) if shared else model(**part, log_probs=True)
    assert output.values is not None
    weights = part["weights"]
    factors = torch.linspace(0, 1, weights.numel()).view(weights.shape)
    found = [values * weights for values in (*output.chosen, output.values)]
    sum((values * factors).sum() for values in found).backward()
    return [*(values.detach() for values in found), *(weight.grad for weight in model.parameters())]


def test_numbers_and_gradients_are_those_of_separate_rows():
    torch.manual_seed(0)
    model, part = PolicyAndValue(TINY, Decoder(TINY.model_copy(update={"scalar_head": True}))), rows(PROMPTS, ANSWERS)
    shared = share_prompts(part)
    assert shared is not None
    assert shared.inputs["weights"].sum() == 3 * (1 + 2 + 2 + 3)  # what was answered twice is read once
    assert shared.inputs["tokens"].numel() * 2 < part["tokens"].numel()
    for a, b in zip(read(model, part, True), read(model, part, False), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("answers", [[[1]], [[*range(1, 60)], [*range(2, 61)]]])
def test_rows_stay_apart_where_nothing_is_gained(answers):
    """One answer a prompt, and answers so long that attention would pay more than is saved."""
    assert share_prompts(rows(PROMPTS[:1], answers)) is None
