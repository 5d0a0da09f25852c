"""The commands that ask a model, with a run of this machine as the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run
from trainer.errors import UserError


def test_a_run_judges_and_writes_tasks_within_its_context(demo: Path, tmp_path: Path) -> None:
    """It has twelve steps of training and a context of 64 tokens: it is asked, and found to be of no use."""
    pairs = tmp_path / "pairs.jsonl"
    rows = [{"prompt": f"q{n}", "chosen": "yes", "rejected": "no"} for n in range(30)]
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=r"20 replies in a row .* prompt longer than the context"):
        run("judge", pairs, "--judge", demo / "run", "--output", tmp_path / "out.jsonl")
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"Task {n}", "output": "a"}) + "\n" for n in range(3)))
    with pytest.raises(UserError, match=r"20 replies in a row .* prompt longer than the context"):
        run("self-instruct", seeds, "--generator", demo / "run", "--output", tmp_path / "out.jsonl")
    with pytest.raises(UserError, match="is the input itself"):
        run("self-instruct", seeds, "--generator", demo / "run", "--output", seeds)
