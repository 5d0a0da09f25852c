"""Stages are compared with one tokenizer only, and on prompts that neither they nor their starts have learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages, write_dataset
from trainer.errors import UserError


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(*texts: str) -> list[dict]:
    return [{"prompt": text, "verify": {"kind": "number", "answer": "1"}} for text in texts]


def preferred(*texts: str) -> list[dict]:
    return [{"prompt": text, "chosen": "1", "rejected": "2"} for text in texts]


STEP = ["loop.threads=1", "loop.precision=float32", "loop.steps=1", "schedule.warmup_steps=0"]


def changes(table: str, **more: object) -> list[str]:
    given = [*STEP, f"{table}.sequence_length=32", f"{table}.held_out=0", *(f"{k}={v}" for k, v in more.items())]
    return [word for change in given for word in ("--set", change)]


def test_a_model_with_another_tokenizer_is_refused_by_name(demo: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "set", pages(200, seed=5))
    run("tokenizer", tmp_path / "set", "--output", tmp_path / "tokenizer", "--vocab-size", 768)
    other, reward = tmp_path / "other", tmp_path / "reward"
    run("pretrain", "tiny", *run_options(tmp_path), "--set", "loop.steps=1", "--output", other)
    run("reward", other, write_lines(tmp_path / "pairs.jsonl", preferred("a?")), *changes("pairs"), "--output", reward)
    prompts = ["--prompts", write_lines(tmp_path / "asked.jsonl", asked("b?")), "--output", tmp_path / "comparison"]
    with pytest.raises(UserError, match=r"other cannot be compared with .*run, which has another tokenizer"):
        run("compare-assistants", f"first={demo / 'run'}", f"second={other}", *prompts)
    with pytest.raises(UserError, match="reward: the reward model has another tokenizer"):
        run("compare-assistants", f"one={demo / 'run'}", "--reference", "one", "--reward", reward, *prompts)
    with pytest.raises(UserError, match="other: not a reward model"):
        run("compare-assistants", f"one={other}", "--reference", "one", "--reward", other, *prompts)
    small = ["--set", "max_new_tokens=2", "--set", "documents=off"]
    run("compare-assistants", f"one={other}", *prompts, "--held-out", demo / "run", *small)  # its text, not its tokens
    (score,) = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["stages"]["one"]
    run("eval", other, "--data", demo / "set", "--output", tmp_path / "eval.json")
    evaluated = json.loads((tmp_path / "eval.json").read_text())["held_out"]["all"]
    assert score["bits_per_byte"] == pytest.approx(evaluated["bits_per_byte"], rel=1e-4)


def test_prompts_of_the_starts_are_left_out(demo: Path, tmp_path: Path) -> None:
    """pretrain -> sft on a and b -> dpo on c -> kto on d: the last one, alone, is asked none of them."""
    taught = write_lines(tmp_path / "sft.jsonl", [{"instruction": text, "output": "1"} for text in ("a?", "b?")])
    twice = changes("chat", **{"loop.steps": 2, "checkpoints.every": 1})
    run("sft", demo / "run", taught, *twice, "--output", tmp_path / "sft")
    start = tmp_path / "sft" / "checkpoints" / "step-00000001"  # a checkpoint, too, tells its run
    for name, begin, text in (("dpo", start, "c?"), ("kto", tmp_path / "dpo", "d?")):
        pairs = write_lines(tmp_path / f"{name}.jsonl", preferred(text, text + "?"))
        run(name, begin, pairs, *changes("pairs"), "--output", tmp_path / name)
    prompts = write_lines(tmp_path / "asked.jsonl", asked("a?", "b?", "c?", "d?", "e?", "f?", "g?"))
    command = ["compare-assistants", f"kto={tmp_path / 'kto'}", "--prompts", prompts, "--set", "max_new_tokens=2"]
    command += ["--output", tmp_path / "comparison"]
    assert "3 prompts; 4 more were left out" in run(*command)
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["prompts"]
    assert found["trained"] == {"kto": 2}  # of the stage itself
    shutil.rmtree(start)  # its run is still there
    assert "3 prompts; 4 more were left out" in run(*command)
    shutil.rmtree(tmp_path / "dpo")
    printed = run(*command)
    assert f"its start, {tmp_path / 'dpo'}, is gone" in printed
    assert "6 prompts; 1 more were left out" in printed
