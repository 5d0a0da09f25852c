"""Which prompts a policy answers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

from tests.trainer.curated import pages
from tests.trainer.model.small_models import TINY
from trainer.contamination.leave_out import DecontaminateSettings
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.tasks import rewards, start_model
from trainer.tasks.policy_settings import PolicySettings
from trainer.tasks.rewards import open_policy_task, open_prompts
from trainer.tasks.start_model import StartModel


def test_a_prompt_that_is_too_long_is_counted(tmp_path: Path) -> None:
    tokenizer = train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768))
    start, path = StartModel(Path("none"), TINY, tokenizer, "start"), tmp_path / "prompts.jsonl"
    texts = ("short?", "a longer one, with more words?")
    rows = [{"prompt": text, "verify": {"kind": "number", "answer": "1"}} for text in texts]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def opened(tokens: int) -> tuple[list[int], dict[str, int]]:
        prompts = {"files": [path], "held_out": 0, "max_tokens": tokens}
        tables = {"model": TINY, "prompts": prompts, "rollout": {"max_new_tokens": 8}}
        found = open_policy_task(PolicySettings.model_validate(tables), start, None)
        return [len(prompt.tokens) for prompt in found.task.prompts], found.report.skipped

    (short, long), skipped = opened(256)
    assert short < long
    assert skipped == {}
    assert opened(long) == ([short, long], {})
    assert opened(long - 1) == ([short], {"prompt over prompts.max_tokens": 1})


def test_a_prompt_that_the_reward_model_cannot_read_whole_is_left_out(tmp_path: Path, monkeypatch) -> None:
    tokenizer = train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768))
    start, path = StartModel(Path("none"), TINY, tokenizer, "start"), tmp_path / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": "How many?"}) + "\n" + json.dumps({"prompt": "How many are there?"}) + "\n")
    monkeypatch.setattr(rewards, "read_trained_prompts", lambda run: set())

    def opened(context: int) -> list[int]:
        judge = {"model": TINY.model_copy(update={"context_length": context, "scalar_head": True}).model_dump()}
        monkeypatch.setattr(start_model, "read_run_state", lambda run: SimpleNamespace(settings=judge))
        found = open_prompts([path], start, Path("judge"), DecontaminateSettings(), 8)
        assert found.report.skipped.total() == 2 - len(found.prompts)
        return [len(prompt.tokens) for prompt in found.prompts]

    (short, long) = opened(512)
    assert short < long
    assert opened(long + 8 + 1) == [short, long]  # the answer and its end
    assert opened(long + 8) == [short]
