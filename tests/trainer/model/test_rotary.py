"""rotary against transformers' frequencies, and scores that depend only on distance."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from tests.trainer.runs import build_decoder
from trainer.model import decoder
from trainer.model.hugging_face import rope_scaling
from trainer.model.model_settings import ModelSettings
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


def test_bf16_is_rounded_once_and_tables_stay_fp32():
    """The score's error against fp64 is that of rotating in fp32 and rounding after, near 0 and far."""
    settings = RopeSettings(theta=500_000.0)
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 512, 1, 128, generator=generator).bfloat16().unbind(0)
    for start in (0, 4096, 100_000):
        tables = [rotation(torch.tensor([[start + shift]]), settings, 128) for shift in (64, 0)]

        def scores(kind: torch.dtype, after: torch.dtype, tables=tables) -> torch.Tensor:
            turned = [rotate(x.to(kind), *table).to(after) for x, table in zip((q, k), tables, strict=True)]
            return (turned[0].double() * turned[1].double()).sum(-1)

        found, rounded_once = scores(torch.bfloat16, torch.bfloat16), scores(torch.float32, torch.bfloat16)
        assert torch.equal(found, rounded_once)
        exact = scores(torch.float64, torch.float64)
        assert (found - exact).square().mean().sqrt() < 0.05
    x = q.detach().requires_grad_()
    out = rotate(x, *tables[0])
    assert out.dtype is torch.bfloat16
    (gradient,) = torch.autograd.grad(out.float().square().sum(), x)
    wide = q.detach().float().requires_grad_()
    (expected,) = torch.autograd.grad(rotate(wide, *tables[0]).square().sum(), wide)
    torch.testing.assert_close(gradient.float(), expected, rtol=0.02, atol=0.02)


def test_attention_rotates_with_fp32_tables_under_autocast(monkeypatch):
    seen = []
    monkeypatch.setattr(decoder, "rotate", lambda x, *tables: seen.append((x, *tables)) or rotate(x, *tables))
    net = build_decoder(ModelSettings(vocab_size=64, hidden_size=32, layers=1, heads=4))
    with torch.autocast("cpu", torch.bfloat16):
        net(torch.ones(1, 4, dtype=torch.long))
    assert [value.dtype for value in seen[0]] == [torch.bfloat16, torch.float32, torch.float32]
