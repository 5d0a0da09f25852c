"""Tasks whose stored results are not computed again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.engines.options import LOCAL_OPTIONS
from pipeline.engines.resumable import StoreResult, read_results, run_task


@dataclass(frozen=True)
class Square:
    folder: str
    counter = "squares"

    def name(self, item: int) -> str:
        return f"{item}.json"

    def compute(self, item: int) -> dict[str, int]:
        (Path(self.folder).parent / f"computed-{item}").touch(exist_ok=False)
        return {"square": item * item}


def test_stored_results_are_not_computed_again_and_are_read_in_order(tmp_path):
    task = Square(str(tmp_path / "results"))
    run_task(task, [3, 1], "Square", LOCAL_OPTIONS, 2)
    run_task(task, [3, 2, 1], "Square", LOCAL_OPTIONS, 2)
    run_task(task, [3, 2, 1], "Square", ("--no-engine-is-needed",), 2)
    assert [result["square"] for result in read_results(task, [3, 2, 1])] == [9, 4, 1]


def test_a_second_attempt_at_an_item_is_counted_and_changes_nothing(tmp_path):
    task = Square(str(tmp_path / "results"))
    assert StoreResult(task)(2, None) == StoreResult(task)(2, None) == {"squares": 1}
