"""size: counted weights and FLOP equal those of the network."""

from __future__ import annotations

import pytest
from torch.utils.flop_counter import FlopCounterMode

from tests.trainer.model.small_models import SPARSE, TINY, tokens
from tests.trainer.runs import build_decoder
from trainer.model.size import count_flops_per_token, count_parameters


@pytest.mark.parametrize(
    "settings",
    [
        TINY,
        SPARSE,
        TINY.model_copy(update={"tie_embeddings": False, "kv_heads": 4}),
        TINY.model_copy(update={"head_dim": 16, "ffn_hidden_size": 50}),
    ],
)
def test_parameter_count_is_exact(settings):
    model = build_decoder(settings)
    assert count_parameters(settings) == sum(weight.numel() for weight in model.parameters())
    if settings.experts:
        idle = 2 * 3 * settings.hidden_size * settings.intermediate_size  # two of four experts, in one block
        assert count_parameters(settings, active=True) == count_parameters(settings) - idle


def test_flops_equal_those_that_torch_counts():
    settings = TINY.model_copy(update={"tie_embeddings": False, "kv_heads": 4})
    model = build_decoder(settings)
    ids = tokens(2, 65)
    with FlopCounterMode(display=False) as counter:
        model(ids[:, :-1], ids[:, 1:]).loss.backward()
    norms = (2 * settings.layers + 1) * settings.hidden_size  # have weights, but no products
    linear = 6 * (count_parameters(settings) - settings.padded_vocab_size * settings.hidden_size - norms) * 2 * 64
    assert counter.get_total_flops() == linear  # torch does not count the CPU's attention kernel
    causal = 12 * settings.layers * settings.heads * settings.dim_per_head * 2 * (64 * 65 // 2)
    assert count_flops_per_token(settings, 64) * 128 == linear + causal + 6 * norms * 128
