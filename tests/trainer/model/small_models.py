"""Small decoders, and tokens for them."""

from __future__ import annotations

import torch

from trainer.model.experts import ExpertSettings
from trainer.model.model_settings import ModelSettings

TINY = ModelSettings(vocab_size=100, hidden_size=32, layers=2, heads=4, kv_heads=2, context_length=64)
SPARSE = TINY.model_copy(update={"experts": ExpertSettings(num_experts=4, every=2, capacity_factor=None)})


def tokens(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 100, shape, generator=torch.Generator().manual_seed(seed))
