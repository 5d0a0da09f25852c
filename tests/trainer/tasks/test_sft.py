"""Sparse models are fine-tuned by settings of their own, and lose the dropout afterwards; long prompts are counted."""

from __future__ import annotations

import json
from pathlib import Path

from tests.trainer.curated import pages
from tests.trainer.model.small_models import SPARSE, TINY
from trainer.chat.chat_batches import ChatSettings
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import make_message
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.tasks.sft import SftSettings, open_conversations, suit_sparse
from trainer.tasks.start_model import StartModel, adapted


def test_sparse_models_have_settings_of_their_own_unless_these_are_given():
    dense = SftSettings(model=TINY)
    assert suit_sparse(dense) == dense
    sparse = suit_sparse(SftSettings(model=SPARSE))
    assert sparse.model.experts is not None
    assert sparse.model.experts.dropout == 0.4
    assert sparse.chat.batch_size == dense.chat.batch_size // 2
    assert sparse.schedule.learning_rate == 2 * dense.schedule.learning_rate
    rate = dense.schedule.learning_rate  # given, it is kept, though it is the default of dense models
    given = {"chat": {"batch_size": 16}, "schedule": {"learning_rate": rate}, "expert_dropout": 0.0, "model": SPARSE}
    kept = suit_sparse(SftSettings.model_validate(given))
    assert (kept.chat.batch_size, kept.schedule.learning_rate) == (16, rate)
    assert kept.model.experts == SPARSE.experts


def test_what_follows_has_no_dropout():
    tuned = suit_sparse(SftSettings(model=SPARSE)).model
    assert adapted(tuned, None).experts == SPARSE.experts


def test_a_prompt_that_leaves_no_room_for_its_answer_is_counted(tmp_path):
    tokenizer = train_tokenizer([row["text"] for row in pages(50)], TokenizerSettings(vocab_size=768))
    start, path = StartModel(Path("none"), TINY, tokenizer, "start"), tmp_path / "chat.jsonl"
    rows = [{"instruction": text, "output": "answer " * 30} for text in ("short?", "a longer one, with more words?")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    prompt = len(ChatTemplate(tokenizer).encode_prompt([make_message("user", rows[1]["instruction"])]))
    for length, kept, skipped in ((prompt, 2, {}), (prompt - 1, 1, {"prompt over chat.sequence_length": 1})):
        settings = SftSettings(model=TINY, chat=ChatSettings(files=(path,), held_out=0, sequence_length=length))
        found = open_conversations(settings, start)
        assert (len(found.training.items), found.report.skipped) == (kept, skipped)  # long answers are cut
