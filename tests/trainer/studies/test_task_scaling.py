"""More tasks hold the fewer ones, none is held out, and all runs learn equally many tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from trainer.chat.chat_batches import ChatBatches, ChatSettings
from trainer.chat.chat_template import Encoded
from trainer.errors import UserError
from trainer.studies.task_scaling import split_tasks, steps_for_tokens


@pytest.mark.parametrize(("count", "sizes"), [(3, [1, 2]), (5, [1, 2, 4]), (6, [1, 2, 4, 5]), (10, [1, 2, 4, 8, 9])])
def test_each_number_of_tasks_holds_the_smaller_ones_and_none_that_is_held_out(count: int, sizes: list[int]) -> None:
    files = [Path(f"{number}.jsonl") for number in range(count)]
    held = set()
    for seed in range(30):
        split = split_tasks(files, 1, seed)
        assert split == split_tasks(files[::-1], 1, seed)
        assert [len(tasks) for tasks in split.sets] == sizes
        for fewer, more in zip(split.sets, split.sets[1:], strict=False):
            assert more[: len(fewer)] == fewer
        assert {*split.held_out, *split.sets[-1]} == set(files)
        assert not {*split.held_out} & {*split.sets[-1]}
        held |= {*split.held_out}
    assert len(held) > 1
    with pytest.raises(UserError, match="give 3 or more"):
        split_tasks(files[:2], 1, 0)
    with pytest.raises(UserError, match="two tasks have this name"):
        split_tasks([*files, Path("a/0.jsonl")], 1, 0)


@pytest.mark.parametrize("answer", [1, 3, 17])
def test_runs_of_short_and_of_long_answers_learn_equally_many_tokens(answer: int) -> None:
    items = [Encoded(np.zeros(20 + n % 3, np.int32), np.arange(20 + n % 3) >= 20 + n % 3 - answer) for n in range(50)]
    batches = ChatBatches(tuple(items), ChatSettings(sequence_length=64, batch_size=2))
    learned = [int(batches.batch(step)["weights"].sum()) for step in range(600)]
    for tokens in (1, 100, 700):
        steps = steps_for_tokens(batches, tokens)
        sums = np.cumsum(learned)
        assert abs(sums[steps - 1] - tokens) == np.abs(sums - tokens).min()
