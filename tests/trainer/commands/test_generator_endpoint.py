"""The commands that ask a model, against `gristmill train serve`: whatever it says, they end with counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tests.trainer.commands.invoke import run
from tests.trainer.runs import build_decoder
from tests.trainer.serving.models import decoder, serve, tokenizer
from trainer.chat.chat_template import ChatTemplate
from trainer.errors import UserError
from trainer.serving.served_model import ServedModel
from trainer.serving.server import ServeSettings, Serving


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
