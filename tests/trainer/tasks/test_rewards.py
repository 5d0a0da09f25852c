"""Which prompts a policy answers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.trainer.curated import pages
from tests.trainer.model.small_models import TINY
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.tasks.policy_settings import PolicySettings
from trainer.tasks.rewards import open_policy_task
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
