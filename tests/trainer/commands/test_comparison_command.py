"""Stages are compared with one tokenizer only, and on prompts that neither they nor their starts have learned."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.trainer.commands.invoke import run, run_options
from tests.trainer.curated import pages, write_dataset
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import make_message
from trainer.errors import UserError
from trainer.tasks.start_model import open_start


def write_lines(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def asked(*texts: str) -> list[dict]:
    return [{"prompt": text, "verify": {"kind": "number", "answer": "1"}} for text in texts]


def preferred(*texts: str) -> list[dict]:
    return [{"prompt": text, "chosen": "1", "rejected": "2"} for text in texts]


def rated(*texts: str) -> list[dict]:
    return [{"prompt": text, "completion": "1", "label": True} for text in texts]


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
        data = (rated if name == "kto" else preferred)(text, text + "?")
        pairs = write_lines(tmp_path / f"{name}.jsonl", data)
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


def test_prompts_that_fill_the_smallest_context_are_counted(demo: Path, tmp_path: Path) -> None:
    """The second run reads 64 tokens, the first one 128: both are asked what the second one reads beside its answer."""
    wide = tmp_path / "wide"
    more = ["--set", "model.context_length=128", "--set", "loop.steps=1"]
    run("pretrain", "tiny", *run_options(demo), *more, "--output", wide)
    template = ChatTemplate(open_start(wide).tokenizer)
    texts = [" ".join(["word"] * count) for count in range(1, 100, 4)]
    lengths = [len(template.encode_prompt([make_message("user", text)])) for text in texts]
    fitting = sum(length <= 64 - 8 for length in lengths)
    assert 0 < fitting < sum(length <= 128 - 8 for length in lengths)
    prompts = write_lines(tmp_path / "asked.jsonl", asked(*texts))
    command = ["compare-assistants", f"wide={wide}", f"small={demo / 'run'}", "--prompts", prompts]
    command += ["--set", "max_new_tokens=8", "--output", tmp_path / "comparison"]
    left = len(texts) - fitting
    assert f"{fitting} prompts; 0 more were left out" in (printed := run(*command))
    assert f"{left} were left out, since they and max_new_tokens exceed the smallest context" in printed
    found = json.loads((tmp_path / "comparison" / "comparison.json").read_text())["prompts"]
    assert (found["answered"], found["left_out"], found["too_long"]) == (fitting, 0, left)
    assert f"{left} more were left out" in (tmp_path / "comparison" / "comparison.html").read_text()
    write_lines(prompts, asked(texts[-1]))
    with pytest.raises(UserError, match="no prompt fits into the context of 64 tokens"):
        run(*command)
