"""More tasks hold the fewer ones, and none is held out."""

from __future__ import annotations

from pathlib import Path

import pytest

from trainer.errors import UserError
from trainer.studies.task_scaling import split_tasks


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
