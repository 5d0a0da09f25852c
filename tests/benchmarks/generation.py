"""Tokens per CPU-second of generation beside transformers, for one prompt, 16 and 64, and n samples of one prompt.

    python -m tests.benchmarks.generation [--rounds 3] [--new 32]

Both have the same weights (our export) and give the same greedy tokens, which is checked. Prompts have 64 tokens. The
two take turns in one process, so that other load affects both alike; the ratio is the median over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from tests.trainer.runs import build_decoder
from trainer.model.decoder import Decoder
from trainer.model.hugging_face import export_to_hugging_face
from trainer.model.model_settings import ModelSettings
from trainer.rollouts.generate import GenerateSettings, generate, sample_answers

SHAPE = ModelSettings(vocab_size=8192, hidden_size=384, layers=6, heads=6, context_length=512)  # 13.8M weights
PROMPT = 64  # tokens
SAMPLES = 64


def load_theirs(model: Decoder, folder: Path) -> Any:
    """The same weights in transformers."""
    weights = ((name, weight.detach()) for name, weight in model.named_parameters())
    return AutoModelForCausalLM.from_pretrained(export_to_hugging_face(SHAPE, weights, folder)).eval()


def seconds(call: Callable[[], object]) -> float:
    begin = time.process_time()
    call()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--new", type=int, default=32)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours, new = build_decoder(SHAPE).eval(), options.new
    generator = torch.Generator().manual_seed(0)
    with tempfile.TemporaryDirectory() as name:
        theirs = load_theirs(ours, Path(name))
    greedy = GenerateSettings(max_new_tokens=new, temperature=0)
    sampled = GenerateSettings(max_new_tokens=new, temperature=1, top_p=None)

    def run_theirs(rows: torch.Tensor, **how: Any) -> torch.Tensor:
        mask = torch.ones_like(rows)
        with torch.inference_mode():
            return theirs.generate(
                rows,
                attention_mask=mask,
                max_new_tokens=new,
                min_new_tokens=new,
                pad_token_id=0,
                eos_token_id=None,
                **how,
            )

    print(f"{'':>24}{'ours':>12}{'transformers':>14}{'ratio':>8}   tokens per CPU-second")
    for batch in (1, 16, 64):
        rows = torch.randint(1, 8192, (batch, PROMPT), generator=generator)
        prompts = rows.tolist()
        if generate(ours, prompts, greedy) != run_theirs(rows, do_sample=False)[:, PROMPT:].tolist():
            raise SystemExit("the greedy tokens differ")
        pairs = [
            (seconds(lambda: generate(ours, prompts, greedy)), seconds(lambda: run_theirs(rows, do_sample=False)))  # noqa: B023
            for _ in range(options.rounds)
        ]
        _print_row(f"{batch} prompts", batch * new, pairs)
    row = torch.randint(1, 8192, (1, PROMPT), generator=generator)
    pairs = [
        (
            seconds(lambda: sample_answers(ours, row.tolist(), sampled, samples=SAMPLES)),
            seconds(lambda: run_theirs(row, do_sample=True, num_return_sequences=SAMPLES, top_k=0)),
        )
        for _ in range(options.rounds)
    ]
    _print_row(f"{SAMPLES} samples of one", SAMPLES * new, pairs)


def _print_row(name: str, tokens: int, pairs: list[tuple[float, float]]) -> None:
    ours, theirs = (tokens / statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"{name:>24}{ours:>12,.0f}{theirs:>14,.0f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
