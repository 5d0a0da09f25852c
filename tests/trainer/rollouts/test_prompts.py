"""Prompts that leave room for their answer."""

from __future__ import annotations

import pytest

from trainer.chat.read_conversations import ReadReport
from trainer.config import ConfigError
from trainer.errors import UserError
from trainer.rollouts.prompts import Prompt, keep_fitting


def test_a_prompt_without_room_for_its_answer_is_left_out_and_counted() -> None:
    prompts = [Prompt((1,) * length, str(length), None) for length in (3, 4, 5, 9)]
    report = ReadReport()
    assert [len(prompt.tokens) for prompt in keep_fitting(prompts, 8, 4, report)] == [3, 4]
    assert report.skipped == {"prompt and answer over the model's context": 2}


def test_prompts_of_which_none_fits_are_refused() -> None:
    prompts = [Prompt((1,) * length, str(length), None) for length in (9, 5)]
    with pytest.raises(UserError, match=r"no prompt fits .* the shortest has 5 tokens; lower max_new_tokens"):
        keep_fitting(prompts, 8, 4, ReadReport())


@pytest.mark.parametrize("new_tokens", [8, 9])
def test_an_answer_that_fills_the_context_is_refused(new_tokens: int) -> None:
    with pytest.raises(ConfigError, match="leaves no room for a prompt in a context of 8 tokens"):
        keep_fitting([], 8, new_tokens, ReadReport())
