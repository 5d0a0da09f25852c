"""The commands that ask a model, against `gristmill train serve`: whatever it says, they end with counts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise, permutations
from pathlib import Path

import pytest
import torch

from tests.trainer.commands.invoke import run
from tests.trainer.runs import build_decoder
from tests.trainer.serving.models import decoder, serve, tokenizer
from trainer.chat.chat_batches import fill_rows
from trainer.chat.chat_template import ChatTemplate
from trainer.chat.conversation import Conversation, Message
from trainer.chat.read_conversations import ReadReport, read_conversations
from trainer.data.tokenizer import TokenizerSettings, train_tokenizer
from trainer.errors import UserError
from trainer.model.model_settings import ModelSettings
from trainer.rollouts.generator import ChatRequest
from trainer.serving.served_model import ServedModel
from trainer.serving.server import ServeSettings, Serving
from trainer.tasks.self_instruct import SelfInstructSettings, ask_instances, ask_kind, ask_tasks, read_seeds
from trainer.tasks.summed_losses import answer_log_probs


@contextmanager
def serve_answer(text: str) -> Iterator[str]:
    """The address of a decoder that answers `text` to everything; no token may occur in it twice.

    Attention and feed-forward add nothing, so the next token follows from the last one alone.
    """
    template = ChatTemplate(tokenizer())
    chain = [tokenizer().control["<|assistant|>"], *tokenizer().encode(text), template.end]
    assert len(set(chain)) == len(chain)
    shape = decoder(0).settings.model_copy(update={"tie_embeddings": False, "context_length": 1024})
    model = build_decoder(shape).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" not in name:
                weight.zero_()
        embedding, head = (dict(model.named_parameters())[f"{name}.weight"] for name in ("embedding", "head"))
        for place, (token, following) in enumerate(pairwise(chain)):
            embedding[token, place] = 1
            head[following, place] = 10
    served = ServedModel("served", model, tokenizer(), template)
    with serve(Serving([served], None, ServeSettings())) as address:
        yield f"{address}v1"


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    rows = [{"prompt": f"q{n}", "chosen": f"yes {n}", "rejected": "no"} for n in range(8)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path / "pairs.jsonl"


def test_a_served_judge_of_places_gives_ties(pairs: Path, tmp_path: Path) -> None:
    with serve_answer("Verdict: A") as address:
        printed = run("judge", pairs, "--judge", address, "--output", tmp_path / "out.jsonl")
    assert "8 pairs judged, 8 ties; both orders agree in 0.0%" in printed
    assert "the answer that stands first is preferred in 100.0%" in printed
    assert "agreement 0.0% (95% interval 0.0% to 0.0%), Cohen's kappa 0.000 (0.000 to 0.000)" in printed
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["tie"] for line in lines] == [True] * 8
    assert {line["judged"]["by"] for line in lines} == {"served"}


def test_nonsense_of_a_served_model_is_counted(pairs: Path, tmp_path: Path) -> None:
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps({"instruction": f"Task {n}", "output": "a"}) + "\n" for n in range(3)))
    with serve_answer("the river") as address:
        printed = run("judge", pairs, "--judge", address, "--output", tmp_path / "judged.jsonl")
        with pytest.raises(UserError, match=r"^no new task in 2 rounds, 0 of 5 are written \(too short 8\)"):
            run("self-instruct", seeds, "--generator", address, "--output", tmp_path / "tasks.jsonl",
                "--set", "count=5", "--set", "empty_rounds=2")  # fmt: skip
    assert "no pair has a verdict\n8 pairs without a verdict are left out\n16 requests, " in printed
    assert "of no use: no verdict 16" in printed
    assert "nan" not in printed


TASKS = {  # what the model has learned to write, with its instance
    "Name three rivers of the north": ("none", "Ob, Lena, Yukon"),
    "Describe a garden in one sentence": ("a rose, a bench", "A rose grows beside a bench."),
}


def learned_conversations(seeds: Path) -> list[Conversation]:
    """Every request of self-instruct for TASKS, in any order of the seeds, with its answer; one task is too short."""
    settings, given = SelfInstructSettings(examples=2), read_seeds([seeds], ReadReport())
    first, second = TASKS
    answers: list[tuple[ChatRequest, str]] = [
        (ask_tasks(shown, settings), f"{first}\n4. Be brief\n5. {second}")
        for shown in permutations([seed.instruction for seed in given], 2)
    ]
    for task, (text, answer) in TASKS.items():
        answers.append((ask_kind(task, given, settings), "no"))
        asked = ask_instances(task, given, settings, is_classification=False)
        answers.append((asked, f"Input: {text}\nOutput: {answer}"))
    return [Conversation((*asked.messages, Message("assistant", text, train=True))) for asked, text in answers]


def overfit(conversations: list[Conversation]) -> ServedModel:
    """A tiny decoder, trained until each answer has a probability of 70%: top_p = 0.5 then draws no other token."""
    texts = [message.content for conversation in conversations for message in conversation.messages]
    tokens = train_tokenizer(texts, TokenizerSettings(vocab_size=768))
    template = ChatTemplate(tokens)
    part = fill_rows([[template.encode(conversation)] for conversation in conversations])
    shape = ModelSettings(vocab_size=tokens.vocab_size, hidden_size=48, layers=2, heads=4, kv_heads=2)
    model = build_decoder(shape.model_copy(update={"context_length": 512}))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, betas=(0.9, 0.95))
    for _ in range(300):
        log_probs = answer_log_probs(model, part)
        if log_probs.min() > math.log(0.7):
            break
        optimizer.zero_grad()
        (-log_probs.sum() / part["weights"].sum()).backward()
        optimizer.step()
    return ServedModel("overfitted", model.eval(), tokens, template)


def test_a_served_model_writes_new_tasks(tmp_path: Path) -> None:
    """It knows the requests by heart; that it gets them, and what becomes of its answers, is the whole way's doing."""
    rows = [{"instruction": f"{verb} a short letter", "output": verb} for verb in ("Write", "Translate", "Shorten")]
    seeds = tmp_path / "seeds.jsonl"
    seeds.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with serve(Serving([overfit(learned_conversations(seeds))], None, ServeSettings())) as address:
        printed = run("self-instruct", seeds, "--generator", f"{address}v1", "--output", tmp_path / "tasks.jsonl",
                      "--set", "count=2", "--set", "examples=2", "--set", "requests=1",
                      "--set", "max_tokens=128")  # fmt: skip
    assert "2 tasks in 1 rounds, 0 of them classifications, 2 instances" in printed
    assert "dropped: too short 1\n" in printed
    assert "5 requests, " in printed
    written = [json.loads(line) for line in (tmp_path / "tasks.jsonl").read_text().splitlines()]
    assert [task["instruction"] for task in written] == list(TASKS)
    assert {task["by"] for task in written} == {"overfitted"}
    found = read_conversations([tmp_path / "tasks.jsonl"])
    assert [conversation.messages[-1].content for conversation in found] == [answer for _, answer in TASKS.values()]
