"""What `transformers` needs to chat with an exported model: the chat template, and where an answer ends."""

from __future__ import annotations

import json
from pathlib import Path

from trainer.chat.chat_template import ChatTemplate
from trainer.files import write_atomically
from trainer.training.checkpoint import find_checkpoint, read_state


def is_assistant(run: Path) -> bool:
    """Whether a run is of post-training: its settings name conversations, pairs or prompts."""
    settings = read_state(find_checkpoint(run)).settings
    return not settings.keys().isdisjoint(("chat", "pairs", "prompts"))


def write_chat_files(folder: Path, template: ChatTemplate) -> None:
    """Adds the chat template to tokenizer_config.json, and the end of a turn to what ends a generation."""
    _add(folder / "tokenizer_config.json", chat_template=template.jinja)
    before = json.loads((folder / "generation_config.json").read_text("utf-8"))
    ends = [template.end, *([before["eos_token_id"]] if "eos_token_id" in before else [])]
    _add(folder / "generation_config.json", eos_token_id=ends)


def _add(path: Path, **values: object) -> None:
    config = json.loads(path.read_text("utf-8"))
    write_atomically(path, json.dumps(config | values, indent=2) + "\n")
