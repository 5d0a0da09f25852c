"""cache: cached steps equal one pass."""

from __future__ import annotations

import pytest
import torch

from tests.trainer.model.small_models import SPARSE, TINY, tokens
from tests.trainer.runs import build_decoder
from trainer.model.key_value_cache import KeyValueCache


@pytest.mark.parametrize("settings", [TINY, SPARSE], ids=["dense", "sparse"])
def test_cached_steps_equal_one_pass(settings):
    model = build_decoder(settings, seed=2).eval()
    row = tokens(2, 24)
    whole = model(row).logits
    cache = KeyValueCache(settings, 2, 24, model.embedding.weight)
    parts = [model(row[:, a:b], cache=cache).logits for a, b in ((0, 7), (7, 8), (8, 20), (20, 24))]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="holds 24"):
        model(row[:, :1], cache=cache)
