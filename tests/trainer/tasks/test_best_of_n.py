"""The curve of best-of-n is the mean over all subsets of the samples; what is written can be fine-tuned on."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.trainer.curated import pages
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Message
from trainer.chat.read_conversations import read_conversations
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.rollouts.policy_rollouts import Answer
from trainer.rollouts.prompts import Prompt
from trainer.tasks.best_of_n import SampledPrompts, best_reward_curve, write_best, write_pairs


def test_the_curve_is_the_mean_over_all_subsets():
    rewards = np.random.default_rng(0).normal(size=(3, 6)).round(1)  # with ties
    for n, reward, _, kl in best_reward_curve(rewards.tolist()):
        expected = np.mean([[max(subset) for subset in itertools.combinations(row, n)] for row in rewards.tolist()])
        assert reward == pytest.approx(expected)
        assert kl == pytest.approx(math.log(n) - (n - 1) / n)
    assert [point.n for point in best_reward_curve(rewards.tolist())] == [1, 2, 4, 6]


def test_the_gold_reward_is_that_of_the_chosen_answers():
    generator = np.random.default_rng(1)
    rewards, gold = (generator.normal(size=(3, 5)).tolist() for _ in range(2))
    for point in best_reward_curve(rewards, gold):
        expected = np.mean(
            [
                [b[max(subset, key=a.__getitem__)] for subset in itertools.combinations(range(5), point.n)]
                for a, b in zip(rewards, gold, strict=True)
            ]
        )
        assert point.verified == pytest.approx(expected)


def test_sft_reads_the_best_answers_and_learns_no_others(tmp_path):
    template = ChatTemplate(train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768)))

    def answer(text: str, reward: float) -> Answer:
        return Answer((0,), (*template.tokenizer.encode(text), template.end), True, reward)

    said = [("system", "Be kind."), ("user", "One?"), ("assistant", "Two."), ("user", "Three?")]
    messages = tuple({"role": role, "content": text} for role, text in said)
    prompts = (Prompt((0,), "a", None, messages), Prompt((0,), "b", None, messages[1:2]))
    groups = ((answer("worse", 0.1), answer("Four.", 0.9)), (answer(" ", 0.5), answer("worse", 0.2)))
    write_best(tmp_path / "best.jsonl", SampledPrompts(prompts, groups), template)
    (found,) = read_conversations([tmp_path / "best.jsonl"])  # the best answer to the other prompt is empty
    expected = [*said, ("assistant", "Four.")]
    assert found.messages == tuple(Message(role, text, train=text == "Four.") for role, text in expected)


def test_no_empty_file_is_written(tmp_path):
    template = ChatTemplate(train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768)))
    answers = tuple(Answer((0,), (*template.tokenizer.encode(text), template.end), True, 0.5) for text in (" ", "One"))
    sampled = SampledPrompts((Prompt((0,), "a", None, ({"role": "user", "content": "?"},)),), (answers,))
    for write, reason in ((write_best, "every best answer is empty"), (write_pairs, "of unequal rewards")):
        with pytest.raises(UserError, match=reason):
            write(tmp_path / "new.jsonl", sampled, template)
    assert list(tmp_path.iterdir()) == []
