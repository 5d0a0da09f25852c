"""rotary against transformers' frequencies, and scores that depend only on distance."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from trainer.model.hugging_face import rope_scaling
from trainer.model.rotary import RopeSettings, rotate, rotation

KINDS = [
    RopeSettings(theta=10_000.0),
    RopeSettings(theta=500_000.0),
    RopeSettings(scaling="linear", factor=4.0),
    RopeSettings(scaling="llama3", factor=8.0, original_context_length=64, theta=500_000.0),
    RopeSettings(scaling="yarn", factor=4.0, original_context_length=64, low_freq_factor=1, high_freq_factor=32),
]


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: f"{s.scaling}-{s.theta:g}")
def test_tables_equal_transformers(settings):
    config = LlamaConfig(
        hidden_size=64,
        num_attention_heads=2,
        max_position_embeddings=256,
        rope_theta=settings.theta,
        rope_scaling=rope_scaling(settings),
    )
    positions = torch.arange(256)[None]
    cosines, sines = LlamaRotaryEmbedding(config)(torch.zeros(1, 1, 64), positions)
    ours = rotation(positions, settings, 32)
    signs = torch.tensor([-1.0] * 16 + [1.0] * 16)
    torch.testing.assert_close(ours[0][:, 0], cosines, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours[1][:, 0], sines * signs, rtol=1e-5, atol=1e-5)


def test_scores_depend_on_distance_alone():
    q, k = torch.randn(2, 1, 1, 1, 32, generator=torch.Generator().manual_seed(0))

    def score(i: int, j: int) -> torch.Tensor:
        turned = [rotate(x, *rotation(torch.tensor([[at]]), KINDS[0], 32)) for x, at in ((q, i), (k, j))]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(7, 3), score(107, 103), rtol=1e-4, atol=1e-4)
    assert abs(score(7, 3) - score(7, 4)) > 0.1


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"scaling": "linear", "factor": 0.5}, "shorten"),
        ({"scaling": "yarn", "factor": 2.0}, "original_context_length"),
        ({"low_freq_factor": 4.0, "high_freq_factor": 4.0}, "low_freq_factor"),
    ],
)
def test_impossible_positions_are_refused(values, fault):
    with pytest.raises(ValidationError, match=fault):
        RopeSettings(**values)


def test_the_gradient_of_a_rotation_is_the_inverse_rotation():
    tables = rotation(torch.arange(9)[None], KINDS[4], 8)
    x, weight = torch.randn(2, 2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    x = x.double().requires_grad_()
    tables = tuple(table.double() for table in tables)
    first, second = x.chunk(2, dim=-1)
    cosines, sines = (table[..., 4:] for table in tables)
    plain = torch.cat((first * cosines - second * sines, second * cosines + first * sines), dim=-1)
    torch.testing.assert_close(rotate(x, *tables), plain)
    grads = [torch.autograd.grad((y * weight).sum(), x)[0] for y in (rotate(x, *tables), plain)]
    torch.testing.assert_close(grads[0], grads[1])
