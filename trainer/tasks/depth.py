"""One dial: the shape, rate, batch, steps and data of a run from its depth.

    width = aspect_ratio * depth                heads of head_dim each, feed-forward of 8/3 of the width
    tokens = tokens_per_parameter * weights     Hoffmann et al. 2022: about 20
    learning rate = rate * C^-0.125             C: FLOP of the whole run
    tokens of a batch = batch * C^0.327         to the nearest power of two of sequences
    optimizer: Muon for the matrices of blocks, AdamW for all other weights

The forms and exponents of rate and batch are DeepSeek LLM's (Bi et al. 2024, section 3.1), fitted from 1e17 to 2e19
FLOP with AdamW; their constants are 0.3118 and 0.292. The defaults here were fitted with Muon at 7e9 and 7e10 FLOP by
`python -m tests.benchmarks.one_dial`; `gristmill train scaling dial` fits them to other data and sizes.
"""

from __future__ import annotations

import math

from pydantic import Field

from trainer.model.model_settings import ModelSettings
from trainer.model.size import count_flops_per_token, count_parameters
from trainer.settings import Settings

RATE_EXPONENT, BATCH_EXPONENT = -0.125, 0.3271


class DepthSettings(Settings):
    """The constants of the rules. An aspect ratio of 64 is GPT-3 Small's and nanochat's."""

    aspect_ratio: int = Field(default=64, ge=1, description="width of the model divided by its depth")
    head_dim: int = Field(default=64, ge=2, description="width of an attention head; the width is a multiple of it")
    sequence_length: int = Field(default=2048, ge=1, description="tokens of a sequence")
    tokens_per_parameter: float = Field(
        default=20.0, gt=0, description="training tokens for each weight, embedding included"
    )
    rate: float = Field(default=0.577, gt=0, description="learning rate of a run of 1 FLOP: falls as FLOP^-0.125")
    batch: float = Field(default=0.150, gt=0, description="tokens in a batch of a run of 1 FLOP: grows as FLOP^0.327")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps in which the rate rises")


def plan_depth(depth: int, vocab_size: int, rules: DepthSettings) -> dict[str, dict[str, object]]:
    """The settings that a depth decides, by table.

    >>> plan_depth(12, 32768, DepthSettings())["model"]["hidden_size"]
    768
    """
    width = rules.head_dim * math.ceil(rules.aspect_ratio * depth / rules.head_dim)
    model = ModelSettings(
        vocab_size=vocab_size,
        hidden_size=width,
        layers=depth,
        heads=width // rules.head_dim,
        context_length=rules.sequence_length,
    )
    tokens = rules.tokens_per_parameter * count_parameters(model)
    flop = tokens * count_flops_per_token(model, rules.sequence_length)
    sequences = rules.batch * flop**BATCH_EXPONENT / rules.sequence_length
    batch_size = 2 ** max(0, round(math.log2(sequences)))
    steps = max(1, round(tokens / (batch_size * rules.sequence_length)))
    shape: dict[str, object] = {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "layers": depth,
        "heads": width // rules.head_dim,
        "kv_heads": None,
    }
    return {
        "model": shape | {"head_dim": None, "ffn_hidden_size": None, "context_length": rules.sequence_length},
        "data": {"sequence_length": rules.sequence_length, "batch_size": batch_size},
        "schedule": {
            "learning_rate": rules.rate * flop**RATE_EXPONENT,
            "warmup_steps": round(rules.warmup * steps),
            "shape": "wsd",
            "min_ratio": 0.0,
        },
        "optimizer": {"algorithm": "muon", "matrix_rate": 1.0},
        "loop": {"steps": steps},
    }
