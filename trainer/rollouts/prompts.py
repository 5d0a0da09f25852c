"""Prompts to answer, and how their answers are rewarded: by a verifier of the item, or by a reward model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import ConversationError, make_message, prompt_key
from trainer.chat.read_conversations import ReadReport, read_items, read_messages
from trainer.config import ConfigError
from trainer.errors import UserError
from trainer.rollouts.verifiers import Check, check_verifier


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as tokens, which end where the answer begins."""

    tokens: tuple[int, ...]
    key: str  # `prompt_key`: sft, reward, dpo, grpo and ppo hold out the same prompts at the same share
    check: Check | None  # how an answer is verified
    messages: tuple[Mapping[str, str], ...] = ()  # role and content


def read_prompts(paths: Iterable[Path], template: ChatTemplate, report: ReadReport) -> list[Prompt]:
    """The prompts of files whose items have `prompt` or `messages`, and `verify` where code can check the answer."""

    def convert(item: Any, source: str) -> Iterator[Prompt]:
        if not isinstance(item, Mapping):
            raise ConversationError("not an object")
        yield _read_prompt(item, template)

    return read_items(paths, convert, report)


def keep_fitting(prompts: Sequence[Prompt], context: int, new_tokens: int, report: ReadReport) -> list[Prompt]:
    """The prompts that leave room for an answer: what a prompt loses, its rewards and losses would not know of.

    Raises ConfigError if the answer fills the context alone, UserError if none of the prompts fits beside it.
    """
    if new_tokens >= context:
        raise ConfigError(f"max_new_tokens = {new_tokens} leaves no room for a prompt in a context of {context} tokens")
    found = [prompt for prompt in prompts if len(prompt.tokens) + new_tokens <= context]
    if prompts and not found:
        shortest = min(len(prompt.tokens) for prompt in prompts)
        raise UserError(
            f"no prompt fits into the context of {context} tokens beside max_new_tokens = {new_tokens}: the shortest "
            f"has {shortest} tokens; lower max_new_tokens"
        )
    report.skipped["prompt and answer over the model's context"] += len(prompts) - len(found)
    return found


def _read_prompt(item: Mapping[str, Any], template: ChatTemplate) -> Prompt:
    if isinstance(item.get("messages"), list):
        messages = read_messages(item["messages"])
        while messages and messages[-1].role == "assistant":
            messages.pop()
    elif isinstance(item.get("prompt"), list):
        messages = read_messages(item["prompt"])
    else:
        messages = [make_message("user", item.get("prompt"))]
    if not messages:
        raise ConversationError("no prompt")
    check = item.get("verify")
    try:
        verifier = None if check is None else check_verifier(check)
    except UserError as error:
        raise ConversationError(str(error)) from error
    tokens = tuple(template.encode_prompt(messages))
    plain = tuple({"role": message.role, "content": message.content} for message in messages)
    return Prompt(tokens, prompt_key(messages), verifier, plain)
